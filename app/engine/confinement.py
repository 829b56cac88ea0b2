"""What decoders and the process that they are forked from give up before they see an image."""

import ctypes
import logging
from pathlib import Path

logger = logging.getLogger("facepair")

# linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38
# The highest: the system ends a decoder before the service.
OOM_SCORE = 1000
OOM_SCORE_FILE = Path("/proc/self/oom_score_adj")


def gain_no_privileges() -> None:
    """This process and all that come from it get no rights by running set-user-id files. Logs where that fails."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None or prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        logger.warning("decoders may gain privileges: the system refuses no_new_privs")


def be_ended_first(file: Path = OOM_SCORE_FILE) -> None:
    """If memory is short, the system ends this process before others. Logs where that fails."""
    try:
        file.write_text(str(OOM_SCORE))
    except OSError as error:
        fields = {"reason": error.strerror}
        logger.warning("the system may end the service before a decoder if memory is short", extra={"fields": fields})
