"""facepair's verifier in Ray Serve, with two replicas."""

import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from benchmarks.peers.same_verifier import SameVerifier

REPLICAS = 2


class Replica:
    """Ray Serve makes one in each replica's process."""

    def __init__(self, weights: str) -> None:
        self._same = SameVerifier(weights)

    async def __call__(self, request: Request) -> JSONResponse:
        form: Any = await request.form()
        left, right = [self._same.crop(await form[name].read()) for name in ("image1", "image2")]
        return JSONResponse(self._same.answer([(left, right)])[0])


if __name__ == "__main__":
    weights, port = sys.argv[1:]
    ray.init(include_dashboard=False)
    serve.start(http_options={"port": int(port)})
    deployment = serve.deployment(Replica, num_replicas=REPLICAS)
    serve.run(deployment.bind(weights), route_prefix="/verify", blocking=True)
