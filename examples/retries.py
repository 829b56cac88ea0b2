"""Try again while the service is busy, and stop if the request itself is wrong.

python examples/retries.py first.jpg second.jpg --url http://127.0.0.1:8000
"""

import argparse
import sys
import time
from pathlib import Path

import httpx

BUSY = (429, 503)  # other errors come back if the request is repeated
ATTEMPTS = 5


def main() -> None:
    """Prints the decision, or ends with the service's error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    files = {"image1": options.first.read_bytes(), "image2": options.second.read_bytes()}
    for attempt in range(1, ATTEMPTS + 1):
        response = httpx.post(f"{options.url}/v1/verify", files=files, timeout=35)
        answer = response.json()
        if response.status_code not in BUSY or attempt == ATTEMPTS:
            break
        pause_s = int(response.headers["Retry-After"]) * attempt
        print(f"{answer['code']}: trying again in {pause_s} s", flush=True)
        time.sleep(pause_s)
    if response.is_error:
        sys.exit(f"{answer['code']} in {answer['field']}: {answer['detail']} (request {answer['request_id']})")
    print(answer["decision"])


if __name__ == "__main__":
    main()
