"""The work behind a request: decoders in processes of their own, the network in batches on a thread."""
