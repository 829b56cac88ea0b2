"""Find the stored photographs most like another: inner products of vectors that a database could search.

python examples/search.py photograph.jpg stored/*.jpg --weights weights/experiment-8.safetensors
"""

import argparse
from pathlib import Path

import httpx
import numpy as np

from model.checkpoint import load
from model.cpu.search_vectors import SearchVectors, logit_of


def main() -> None:
    """Prints the stored photographs that reach the threshold, the most similar first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photograph", type=Path)
    parser.add_argument("stored", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, required=True, help="the checkpoint that is served")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    checkpoint = load(options.weights)
    embeddings = []
    for path in (options.photograph, *options.stored):
        answer = httpx.post(f"{options.url}/v1/embed", files={"image": path.read_bytes()}, timeout=35).json()
        assert answer["model"]["embedding_sha256"] == checkpoint.header.embedding_sha256
        embeddings.append(answer["data"][0]["embedding"])
    vectors = SearchVectors.of(checkpoint)
    stored = vectors.stored(np.array(embeddings[1:], np.float32))  # what a database would keep
    [products] = vectors.queries(np.array(embeddings[:1], np.float32)) @ stored.T
    for place in np.argsort(-products):
        if products[place] >= logit_of(checkpoint.header.threshold.value):
            print(f"{options.stored[place]}: similarity {1 / (1 + np.exp(-products[place])):.3f}")


if __name__ == "__main__":
    main()
