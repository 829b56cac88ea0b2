"""Verifies a pair by the client that openapi-generator's `python` generated as `generated`: URL FIRST SECOND."""

import base64
import sys
from pathlib import Path

import generated

url, *paths = sys.argv[1:]
first, second = (base64.b64encode(Path(path).read_bytes()).decode() for path in paths)
with generated.ApiClient(generated.Configuration(host=url)) as client:
    request = generated.VerifyRequest(image1=[first], image2=[second], max_fmr=0.01)
    answer = generated.ImagesApi(client).verify(request)
print(f"{answer.decision} {answer.similarity:.6f}")
