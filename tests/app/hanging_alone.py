"""`python -m tests.app.hanging_alone`: the service, whose network, once it is warm, never comes back from a pass."""

import sys
import threading

import app.serving
from app.__main__ import main
from app.main import open_verifier
from app.settings import Settings
from model.arrays import Embeddings, Pixels
from model.verifier import Verifier


def open_hanging_verifier(settings: Settings) -> Verifier:
    """The checkpoint's, loaded and warm."""
    verifier = open_verifier(settings)

    def hang(pixels: Pixels) -> Embeddings:
        threading.Event().wait()
        return Verifier.embed(verifier, pixels)

    verifier.embed = hang  # type: ignore[method-assign]  # that it never returns is the point
    return verifier


if __name__ == "__main__":
    setattr(app.serving, "open_verifier", open_hanging_verifier)  # noqa: B010 (it is not exported there)
    sys.exit(main())
