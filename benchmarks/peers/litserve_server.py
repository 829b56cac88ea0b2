"""facepair's verifier in LitServe: two workers that decode, find faces and embed, in batches of up to 8 requests."""

import sys
from typing import Any

import litserve
from fastapi import Request

from benchmarks.peers.same_verifier import Answer, CropPair, SameVerifier

WORKERS = 2
MAX_BATCH = 8


class VerifyAPI(litserve.LitAPI):  # type: ignore[misc] # without LitServe its types are unknown
    """LitServe calls these methods in its workers: `setup` once, `decode_request` for each request of a batch."""

    def __init__(self, weights: str) -> None:
        super().__init__(max_batch_size=MAX_BATCH, api_path="/verify")
        self._weights = weights

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe names it)
        self._same = SameVerifier(self._weights)

    def decode_request(self, request: Request) -> CropPair:
        """LitServe hands over the form of the request."""
        form: Any = request
        return self._same.crop(form["image1"].file.read()), self._same.crop(form["image2"].file.read())

    def predict(self, batch: list[CropPair]) -> list[Answer]:
        return self._same.answer(batch)


if __name__ == "__main__":
    weights, port = sys.argv[1:]
    server = litserve.LitServer(VerifyAPI(weights), accelerator="cpu", workers_per_device=WORKERS, timeout=False)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
