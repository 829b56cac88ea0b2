"""Ask whether two photographs show the same person.

python client/examples/verify.py first.jpg second.jpg --url http://127.0.0.1:8000
"""

import argparse
import sys
from pathlib import Path

from facepair_client import Facepair, ServiceError


def main() -> None:
    """Prints the decision and the warnings, or ends with the service's error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    with Facepair(options.url) as service:
        try:
            answer = service.verify(options.first, options.second)
        except ServiceError as error:
            sys.exit(str(error))
    print(f"{answer['decision']}: similarity {answer['similarity']:.3f}, threshold {answer['threshold']:.3f}")
    for image in answer["images"]:
        for warning in image["warnings"]:
            print(f"{image['field']}: {warning}")


if __name__ == "__main__":
    main()
