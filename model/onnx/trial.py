"""The first passes of a graph, in a child process under limits of time and memory.

`python -m model.onnx.trial SIDE OUTPUT` reads a graph from its standard input and writes a `Trial`, or why it failed.

B batch, D embedding
"""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto
from pydantic import BaseModel, ConfigDict, ValidationError

from model.errors import CheckpointError
from model.onnx.graph import GraphInput, fixed_at, input_of, input_shape, read_graph
from model.onnx.session import MAX_PASS, open_session

# What the values between a graph's operators may take together, for one crop. ArcFace's ResNet-100 takes 0.2 GiB.
MAX_ACTIVATION_BYTES = 512 * 2**20
# The child's limits: address space, with the libraries and the copies of the graph that they make; processor seconds
# for all passes; and seconds on the clock, which a busy machine needs more of.
MEMORY_BYTES = 4 * 2**30
CPU_S = 60
WALL_S = 600
# Passes of one crop and of several agree if embeddings of length 1 differ by less.
AGREEMENT = 1e-5
ROOT = Path(__file__).parents[2]


class Trial(BaseModel):
    """What the first passes showed: the output's name and number of values, and how many crops a pass may have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    dimension: int
    batch: Literal["one", "any"]
    activation_bytes: int


def try_out(data: bytes, side_px: int, output: str = "") -> Trial:
    """Runs a graph that `read_graph` has passed, in a child process. Raises CheckpointError, in one line, if it fails.

    Without the name of an output the graph's only one is taken.
    """
    command = [sys.executable, "-m", "model.onnx.trial", str(side_px), output]
    try:
        done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT, timeout=WALL_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise CheckpointError(f"the graph's first passes took more than {WALL_S} s; take a smaller network") from None
    if done.returncode == -signal.SIGXCPU:
        raise CheckpointError(f"the graph's first passes took more than {CPU_S} s of a core; take a smaller network")
    if done.returncode < 0:
        raise CheckpointError(
            f"the graph's first passes ended by signal {-done.returncode}: it crashes ONNX Runtime, or needs more than "
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


def main(side: str, output: str) -> None:
    """Limits this process, then reads, checks and runs the graph of the standard input. It cannot open a file then."""
    draws = np.random.default_rng(0)  # loads a module
    _limit(resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_S, CPU_S + 1)  # the first sends SIGXCPU, the second SIGKILL
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_NOFILE, 0, 0)
    try:
        found = _try(sys.stdin.buffer.read(), int(side), output, draws).model_dump()
    except CheckpointError as error:
        found = {"error": str(error)}
    except MemoryError:
        found = {"error": f"the graph needs more than {MEMORY_BYTES // 2**30} GiB of memory"}
    except Exception as error:  # the parsers and ONNX Runtime raise many types
        words = ascii(" ".join(str(error).split())[:200])
        found = {"error": f"ONNX Runtime cannot run the graph: {words}"}
    print(json.dumps(found))  # noqa: T201 (the parent reads it)


def _limit(kind: int, soft: int, hard: int) -> None:
    """Sets a limit of this process, or leaves it where it is lower already."""
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def _try(data: bytes, side_px: int, output: str, draws: np.random.Generator) -> Trial:
    model = read_graph(data)
    entry = input_of(model)
    names = [each.name for each in model.graph.output]
    if output not in names:
        if output or len(names) != 1:
            raise CheckpointError(f"name one of the graph's outputs: {', '.join(map(ascii, names[:10]))}")
        [output] = names
    per_crop = require_bounded(model, entry, 1, side_px)
    session = open_session(data)
    crops = draws.uniform(-1, 1, input_shape(entry, MAX_PASS, side_px)).astype(np.float32)
    alone = [_run(session, entry, output, crops[each : each + 1]) for each in range(MAX_PASS)]
    rows = np.concatenate(alone)
    batch: Literal["one", "any"] = (
        "any" if entry.batch == "any" and _agrees(model, session, entry, output, crops, rows) else "one"
    )
    return Trial(output=output, dimension=rows.shape[1], batch=batch, activation_bytes=per_crop)


def _agrees(
    model: ModelProto,
    session: onnxruntime.InferenceSession,
    entry: GraphInput,
    output: str,
    crops: NDArray[np.float32],
    rows: NDArray[np.float32],
) -> bool:
    """Whether a pass of several crops gives the embeddings of passes of one, `rows` (B, D)."""
    side_px = crops.shape[2]
    try:
        require_bounded(model, entry, len(crops), side_px)
        together = _run(session, entry, output, crops)
    except MemoryError:
        raise
    except Exception:  # such as a batch of one in a Reshape
        return False
    lengths = np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)
    return bool(np.abs((together - rows) / lengths).max() <= AGREEMENT)


def _run(
    session: onnxruntime.InferenceSession, entry: GraphInput, output: str, crops: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Crops in the graph's layout -> embeddings (B, D). Raises CheckpointError if they are anything else."""
    [found] = session.run([output], {entry.name: crops})
    rows = np.asarray(found)
    if rows.dtype != np.float32 or len(rows) != len(crops):
        raise CheckpointError(f"the output {output!a} is not float32 with a row for each crop")
    rows = rows.reshape(len(crops), -1)
    if not np.isfinite(rows).all():
        raise CheckpointError(f"the output {output!a} has values that are not finite")
    return rows


def require_bounded(model: ModelProto, entry: GraphInput, batch: int, side_px: int) -> int:
    """The bytes of all values between the operators, by the shapes that ONNX infers, without running any.

    Raises CheckpointError if they exceed `MAX_ACTIVATION_BYTES` for each crop, or if a shape cannot be inferred.
    """
    inferred = onnx.shape_inference.infer_shapes(
        fixed_at(model, entry, batch, side_px), check_type=True, strict_mode=True, data_prop=True
    )
    known = {each.name: each.type.tensor_type for each in (*inferred.graph.value_info, *inferred.graph.output)}
    total = 0
    for node in model.graph.node:
        for name in filter(None, node.output):
            tensor = known.get(name)
            if tensor is None or not tensor.HasField("shape"):
                raise CheckpointError(_unknown(node.op_type))
            total += _bytes_of(tensor, node.op_type)
            if total > batch * MAX_ACTIVATION_BYTES:
                raise CheckpointError(
                    f"the graph's values take more than {MAX_ACTIVATION_BYTES // 2**20} MiB for one crop"
                )
    return total


def _bytes_of(tensor: "onnx.TypeProto.Tensor", operator: str) -> int:
    count = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    for dim in tensor.shape.dim:
        if not dim.HasField("dim_value") or dim.dim_value < 0:
            raise CheckpointError(_unknown(operator))
        count *= dim.dim_value
    return count


def _unknown(operator: str) -> str:
    return (
        f"the size of a value of the operator {operator!a} is not known before it runs; export the graph for one "
        "crop, or simplify it"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
