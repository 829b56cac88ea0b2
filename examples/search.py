"""Find the stored photographs most like another: inner products of vectors that a database could search.

python examples/search.py photograph.jpg stored/*.jpg --weights weights/experiment-10.safetensors
"""

import argparse
import sys
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
    checkpoint, embeddings = load(options.weights), []
    for path in (options.photograph, *options.stored):
        answer = httpx.post(f"{options.url}/v1/embed", files={"image": path.read_bytes()}, timeout=35).json()
        if "code" in answer:
            sys.exit(f"{path}: {answer['code']}: {answer['detail']}")
        assert answer["model"]["embedding_sha256"] == checkpoint.header.embedding_sha256
        embeddings.append(np.float32(answer["data"][0]["embedding"]))
    vectors = SearchVectors.of(checkpoint)
    [products] = vectors.queries(np.stack(embeddings[:1])) @ vectors.stored(np.stack(embeddings[1:])).T
    for place in np.argsort(-products)[: (products >= logit_of(checkpoint.header.threshold.value)).sum()]:
        print(f"{options.stored[place]}: similarity {1 / (1 + np.exp(-products[place])):.3f}")


if __name__ == "__main__":
    main()
