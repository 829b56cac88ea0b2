"""Store embeddings once and compare them later, without the photographs.

python examples/store_and_compare.py first.jpg second.jpg --store embeddings.json --url http://127.0.0.1:8000

An embedding is personal data: encrypt the store, and delete it when the person withdraws consent.
"""

import argparse
import json
import sys
from pathlib import Path

import httpx


def main() -> None:
    """Writes the store, reads it again and prints the decision, or ends with the service's error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photographs", type=Path, nargs=2)
    parser.add_argument("--store", type=Path, default=Path("embeddings.json"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    images = [("image", path.read_bytes()) for path in options.photographs]
    embedded = httpx.post(f"{options.url}/v1/embed", files=images, timeout=35).json()
    if "code" in embedded:
        sys.exit(f"{embedded['code']} in {embedded['field']}: {embedded['detail']}")
    # Embeddings of different models cannot be compared; the digest says which model made these.
    store = {"embedding_sha256": embedded["model"]["embedding_sha256"]}
    for side, face in enumerate(embedded["data"], 1):
        store |= {f"embedding{side}": face["embedding"], f"conditions{side}": face["conditions"]}
    options.store.write_text(json.dumps(store))
    answer = httpx.post(f"{options.url}/v1/compare", json=json.loads(options.store.read_text()), timeout=35).json()
    if "code" in answer:
        sys.exit(f"{answer['code']}: {answer['detail']}")
    print(f"{answer['decision']}: similarity {answer['similarity']:.3f}", *answer["warnings"], sep="\n")


if __name__ == "__main__":
    main()
