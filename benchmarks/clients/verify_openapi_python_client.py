"""Verifies a pair by the client that openapi-python-client generated as `generated`: URL FIRST SECOND."""

import sys
from io import BytesIO
from pathlib import Path

from generated import Client
from generated.api.images import verify
from generated.models import Verification, VerifyForm
from generated.types import File

url, *paths = sys.argv[1:]
first, second = (File(payload=BytesIO(Path(path).read_bytes()), file_name="image.jpg") for path in paths)
answer = verify.sync(client=Client(base_url=url), body=VerifyForm(image1=[first], image2=[second], max_fmr=0.01))
assert isinstance(answer, Verification), answer
print(f"{answer.decision} {answer.similarity:.6f}")
