"""Learns the network from labelled faces and writes its checkpoint."""
