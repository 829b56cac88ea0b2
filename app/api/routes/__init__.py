"""The routes: each gets a checked upload, hands the work to `Inference`, and reports the result."""
