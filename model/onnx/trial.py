"""Has a graph tried out in a child process, before this process reads it.

B batch
"""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from model.errors import CheckpointError
from model.networks.configurations import MAX_GRAPH_BYTES, GraphRuntime

# What the values between a graph's operators may take together, for one crop. ArcFace's ResNet-100 takes 0.2 GiB.
MAX_ACTIVATION_BYTES = 512 * 2**20
# The child's limits: address space, with the libraries and the copies of the graph that they make; processor seconds
# for all passes; and seconds on the clock, which a busy machine needs more of.
MEMORY_BYTES = 4 * 2**30
CPU_S = 60
WALL_S = 600
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """The only input of a graph: crops float32 (B, C, H, W), or (B, H, W, C) with the layout nhwc.

    `batch` is "one" if B is fixed at 1. `side_px` is None if the graph does not say its side.
    """

    name: str
    layout: Literal["nchw", "nhwc"]
    channels: Literal[1, 3]
    side_px: int | None
    batch: Literal["one", "any"]


class Question(BaseModel):
    """What is to be tried out: a graph with crops of a side, by default the one that the graph names.

    Without the name of an output the graph's only one is taken. With several `runtimes` the first is the reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side_px: int | None
    output: str = ""
    runtimes: tuple[GraphRuntime, ...]


class Trial(BaseModel):
    """What a graph is, and what its first passes showed.

    `normalises` says whether it normalises crops itself. `runtime` is the last of those asked for that gives the
    embeddings of the first. A pass may have one crop, or any number if that works in both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: GraphInput
    normalises: bool
    side_px: int
    output: str
    dimension: int
    batch: Literal["one", "any"]
    runtime: GraphRuntime


def try_out(graph: bytes, question: Question) -> Trial:
    """Checks and runs a graph in a child process. Raises CheckpointError, in one line, if any part is not allowed."""
    if len(graph) > MAX_GRAPH_BYTES:
        raise CheckpointError(f"the graph has {len(graph):,} bytes; at most {MAX_GRAPH_BYTES:,} are allowed")
    command = [sys.executable, "-m", "model.onnx.first_passes", question.model_dump_json()]
    try:
        done = subprocess.run(command, input=graph, capture_output=True, cwd=ROOT, timeout=WALL_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise CheckpointError(f"the graph's first passes took more than {WALL_S} s; take a smaller network") from None
    if done.returncode == -signal.SIGXCPU:
        raise CheckpointError(f"the graph's first passes took more than {CPU_S} s of a core; take a smaller network")
    if done.returncode < 0:
        raise CheckpointError(
            f"the graph's first passes ended by signal {-done.returncode}: it crashes a library, or needs more than "
            f"{MEMORY_BYTES // 2**30} GiB"
        )
    try:
        found = json.loads(done.stdout)
        if "error" in found:
            raise CheckpointError(str(found["error"]))
        return Trial.model_validate(found)
    except (ValueError, ValidationError) as error:
        last = ascii(done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200])
        raise CheckpointError(f"the graph's first passes failed with status {done.returncode}: {last}") from error
