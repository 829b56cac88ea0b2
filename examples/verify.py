"""Ask whether two photographs show the same person.

python examples/verify.py first.jpg second.jpg --url http://127.0.0.1:8000
"""

import argparse
import sys
from pathlib import Path

import httpx


def main() -> None:
    """Prints the decision and the warnings, or ends with the service's error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--max-fmr", help="accept at most this share of pairs of strangers, for example 0.01")
    options = parser.parse_args()
    files = {"image1": options.first.read_bytes(), "image2": options.second.read_bytes()}
    data = {"max_fmr": options.max_fmr} if options.max_fmr else {}
    response = httpx.post(f"{options.url}/v1/verify", files=files, data=data, timeout=35)
    answer = response.json()
    if response.is_error:
        sys.exit(f"{answer['code']} in {answer['field']}: {answer['detail']}")
    print(f"{answer['decision']}: similarity {answer['similarity']:.3f}, threshold {answer['threshold']:.3f}")
    for image in answer["images"]:
        for warning in image["warnings"]:
            print(f"{image['field']}: {warning}")


if __name__ == "__main__":
    main()
