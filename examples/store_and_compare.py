"""Store embeddings once and compare them later, without the photographs.

python examples/store_and_compare.py first.jpg second.jpg --store embeddings.json --url http://127.0.0.1:8000

An embedding is personal data: encrypt the store, and delete it when the person withdraws consent.
"""

import argparse
import json
from pathlib import Path

import httpx


def main() -> None:
    """Writes the store, reads it again and prints the decision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--store", type=Path, default=Path("embeddings.json"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    with httpx.Client(base_url=options.url, timeout=35) as client:
        images = [("image", path.read_bytes()) for path in (options.first, options.second)]
        embedded = client.post("/v1/embed", files=images, data={"encoding_format": "base64"}).raise_for_status().json()
        embeddings = [face["embedding"] for face in embedded["data"]]
        # Embeddings of different models cannot be compared; the digest says which model made these.
        store = {"embedding_sha256": embedded["model"]["embedding_sha256"], "embeddings": embeddings}
        options.store.write_text(json.dumps(store))

        store = json.loads(options.store.read_text())
        first, second = store["embeddings"]
        body = {"embedding1": first, "embedding2": second, "embedding_sha256": store["embedding_sha256"]}
        answer = client.post("/v1/compare", json=body).raise_for_status().json()
        print(f"{answer['decision']}: similarity {answer['similarity']:.3f}")


if __name__ == "__main__":
    main()
