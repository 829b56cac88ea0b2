"""Compare a photograph with one or several photographs of a person: with several, fewer pairs are wrongly rejected.

python examples/references.py new.jpg known1.jpg known2.jpg known3.jpg --url http://127.0.0.1:8000
"""

import argparse
import sys
from pathlib import Path

import httpx


def main() -> None:
    """Prints the decision, with and without the further photographs, or ends with the service's error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("new", type=Path)
    parser.add_argument("known", type=Path, nargs="+", help="photographs of one person")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    for count in sorted({1, len(options.known)}):
        # The part image2 comes once for each photograph; the service averages their embeddings.
        parts = [("image1", options.new), *(("image2", path) for path in options.known[:count])]
        files = [(name, path.read_bytes()) for name, path in parts]
        response = httpx.post(f"{options.url}/v1/verify", files=files, timeout=35)
        answer = response.json()
        if response.is_error:
            sys.exit(f"{answer['code']} in {answer['field']}: {answer['detail']}")
        print(f"with {count}: {answer['decision']}, similarity {answer['similarity']:.3f}")


if __name__ == "__main__":
    main()
