"""Find stored photographs of a person by inner products, as a database does, and compare those that it finds.

python examples/search.py photograph.jpg stored/*.jpg --weights weights/experiment-12.safetensors
"""

import argparse
from pathlib import Path

import httpx
import numpy as np

from model.checkpoint import load
from model.cpu.search_vectors import SearchVectors, logit_of


def main() -> None:
    """Prints the stored photographs of the same person."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photographs", type=Path, nargs="+", help="the first is looked for among the others")
    parser.add_argument("--weights", type=Path, required=True, help="the checkpoint that is served")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    checkpoint, embeddings = load(options.weights), []
    for path in options.photographs:
        answer = httpx.post(f"{options.url}/v1/embed", files={"image": path.read_bytes()}, timeout=35).json()
        if "code" in answer:
            parser.exit(1, f"{path}: {answer['code']}: {answer['detail']}\n")
        embeddings.append(answer["data"][0]["embedding"])
        digest = answer["model"]["embedding_sha256"]
    vectors, rows = SearchVectors.of(checkpoint), np.array(embeddings, np.float32)
    [products] = vectors.queries(rows[:1]) @ vectors.stored(rows[1:]).T
    for place in np.argsort(-products)[: (products >= logit_of(checkpoint.header.threshold.value)).sum()] + 1:
        pair = {"embedding1": embeddings[0], "embedding2": embeddings[place], "embedding_sha256": digest}
        if (answer := httpx.post(f"{options.url}/v1/compare", json=pair).json())["decision"] == "same":
            print(f"{options.photographs[place]}: similarity {answer['similarity']:.3f}")


if __name__ == "__main__":
    main()
