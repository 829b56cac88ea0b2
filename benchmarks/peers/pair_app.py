"""A minimal FastAPI around a function that describes a face: its route is not async, so FastAPI uses threads."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, File, HTTPException
from numpy.typing import NDArray

Descriptor = NDArray[np.floating]
# The descriptor of the largest face of an image file, or None if no face is found.
Describe = Callable[[bytes], Descriptor | None]
KEEP_ALIVE_S = 600


def serve_pairs(
    describe: Describe, similarity: Callable[[Descriptor, Descriptor], float], threshold: float, port: int
) -> None:
    """Answers `POST /verify` until the process is ended. Similarities from the threshold on mean the same person."""
    app = FastAPI()

    @app.post("/verify")
    def verify(image1: Annotated[bytes, File()], image2: Annotated[bytes, File()]) -> dict[str, float | str]:
        left, right = describe(image1), describe(image2)
        if left is None or right is None:
            raise HTTPException(422, "no face was found")
        found = similarity(left, right)
        return {"similarity": found, "decision": "same" if found >= threshold else "different"}

    # A busy server may see a connection's next request only after uvicorn's 5 s, and would then have closed it.
    uvicorn.run(app, port=port, log_level="warning", timeout_keep_alive=KEEP_ALIVE_S)
