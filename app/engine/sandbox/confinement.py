"""What decoders and the process that they are forked from give up before they see an image."""

import ctypes
import logging
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.engine.sandbox.landlock import find_version, forbid_all
from app.engine.sandbox.seccomp import build_filter, install_filter
from app.engine.sandbox.system_calls import own_architecture
from model.errors import FacepairError

logger = logging.getLogger("facepair")

# linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38
# The highest: the system ends a decoder before the service.
OOM_SCORE = 1000
OOM_SCORE_FILE = Path("/proc/self/oom_score_adj")
DESCRIPTORS = Path("/proc/self/fd")
PAGE_BYTES = resource.getpagesize()

MSG_FILTER_REQUIRED = "the kernel refuses to filter the decoders' system calls, as FACEPAIR_SANDBOX=required wants"

SandboxSetting = Literal["required", "on", "off"]


class SandboxError(FacepairError):
    """The kernel refuses the filter of system calls, and the settings require it."""


class Sandbox(BaseModel):
    """What a decoder cannot do: `system_calls` is `filtered`, `refused` by the kernel, or `off` by the settings.

    `landlock` is the version that also forbids files and connections, 0 without one. `memory_bytes` is how much memory
    an image may take in addition to what the decoder has, null without a limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system_calls: Literal["filtered", "refused", "off"]
    landlock: Annotated[int, Field(ge=0, lt=2**31)]
    memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] | None


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


def confine(setting: SandboxSetting, memory_bytes: int | None, channel: int) -> Sandbox:
    """Limits this process's memory to what it has and `memory_bytes`, and its system calls to those of decoding.

    Of its descriptors it keeps `channel`, so it cannot log afterwards. Raises SandboxError if a filter is required but
    refused.
    """
    landlock, filtered = 0, False
    limited = _limit_memory(memory_bytes)
    if setting != "off":
        _close_others(channel)
        landlock = _forbid_files()
        filtered = _filter_calls()
        if setting == "required" and not filtered:
            raise SandboxError(MSG_FILTER_REQUIRED)
    system_calls: Literal["filtered", "refused", "off"] = "off" if setting == "off" else "refused"
    return Sandbox(
        system_calls="filtered" if filtered else system_calls,
        landlock=landlock,
        memory_bytes=memory_bytes if limited else None,
    )


def _limit_memory(further_bytes: int | None, statm: Path = Path("/proc/self/statm")) -> bool:
    """Whether the process may only grow by so much (RLIMIT_AS). What exceeds it is a MemoryError."""
    if further_bytes is None:
        return False
    try:
        most = int(statm.read_text().split()[0]) * PAGE_BYTES + further_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (OSError, ValueError):
        return False
    return True


def _close_others(channel: int) -> None:
    """Standard streams lead nowhere: the log is the service's, and nobody forges a line of it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for descriptor in map(int, os.listdir(DESCRIPTORS) if DESCRIPTORS.exists() else []):
        if descriptor > 2 and descriptor != channel:
            with suppress(OSError):  # that of the folder itself
                os.close(descriptor)


def _forbid_files() -> int:
    """The version of Landlock that forbids them, 0 if none does."""
    try:
        if version := find_version():
            forbid_all(version)
    except OSError:
        return 0
    return version


def _filter_calls() -> bool:
    """Whether they are filtered."""
    architecture = own_architecture()
    if architecture is None:
        return False
    try:
        install_filter(build_filter(architecture, os.getpid()))
    except OSError:
        return False
    return True
