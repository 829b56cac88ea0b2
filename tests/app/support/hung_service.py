"""`python -m tests.app.support.hung_service`: the service, whose warm network never comes back from a pass."""

import sys
import threading

import app.server.replica
from app.__main__ import main
from app.server.replica import open_verifier
from app.settings import Settings
from model.arrays import Embeddings, Pixels
from model.verifier import Verifier


def open_hanging_verifier(settings: Settings) -> Verifier:
    """The checkpoint's, loaded and warm."""
    verifier = open_verifier(settings)

    def hang(pixels: Pixels, threads: int | None = None) -> Embeddings:
        threading.Event().wait()
        return Verifier.embed(verifier, pixels, threads)

    verifier.embed = hang  # type: ignore[method-assign]  # that it never returns is the point
    return verifier


if __name__ == "__main__":
    setattr(app.server.replica, "open_verifier", open_hanging_verifier)  # noqa: B010 (it is not exported there)
    sys.exit(main())
