"""facepair's verifier behind a minimal FastAPI: its decoding, detector, alignment and network, without its service."""

import sys

from benchmarks.peers.pair_app import serve_pairs
from benchmarks.peers.same_verifier import SameVerifier

if __name__ == "__main__":
    weights, port = sys.argv[1:]
    same = SameVerifier(weights)
    serve_pairs(same.describe, same.similarity, same.threshold, int(port))
