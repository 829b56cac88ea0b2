"""Compare one photograph with several others, and go on where one cannot be used.

python client/examples/reference.py reference.jpg others/*.jpg --url http://127.0.0.1:8000
"""

import argparse
from pathlib import Path

from facepair_client import Facepair

PAIRS = 7  # a request may have 8 images


def main() -> None:
    """Prints a line for each photograph."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reference", type=Path)
    parser.add_argument("others", type=Path, nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    with Facepair(options.url) as service:
        for start in range(0, len(options.others), PAIRS):
            others = options.others[start : start + PAIRS]
            answer = service.verify_batch(options.reference, others)
            for path, pair in zip(others, answer["pairs"], strict=True):
                if pair["decided"]:
                    print(f"{path.name}: {pair['decided']['decision']}, {pair['decided']['similarity']:.3f}")
                elif pair["problem"]:
                    print(f"{path.name}: {pair['problem']['code']} in {pair['problem']['field']}")


if __name__ == "__main__":
    main()
