"""Makes checkpoints of networks from elsewhere: what they need, whether they get it, and their calibration."""
