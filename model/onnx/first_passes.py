"""`python -m model.onnx.first_passes QUESTION`: reads a graph from its standard input, checks it and runs it, under
limits of time and memory. Writes a `Trial`, or why the graph is refused.

B batch, D embedding
"""

import json
import resource
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from model.errors import CheckpointError
from model.networks.configurations import GraphRuntime
from model.onnx.graph import fixed_at, input_of, input_shape, read_graph, starts_with_normalisation
from model.onnx.session import MAX_PASS, MIN_LENGTH, Images, Session, open_session
from model.onnx.trial import CPU_S, MAX_ACTIVATION_BYTES, MEMORY_BYTES, GraphInput, Question, Trial

# Passes of one crop and of several agree if embeddings of length 1 differ by less.
AGREEMENT = 1e-5
# Two runtimes agree if embeddings of length 1 differ by less. Their sums have other orders, and quantised networks
# differ by more.
RUNTIME_AGREEMENT = 1e-4


def main(text: str) -> None:
    """Limits this process, then reads, checks and runs the graph of the standard input. It cannot open a file then."""
    question = Question.model_validate_json(text)
    draws = np.random.default_rng(0)  # loads a module
    for runtime in question.runtimes:
        _load(runtime)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_S, CPU_S + 1)  # the first sends SIGXCPU, the second SIGKILL
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_NOFILE, 0, 0)
    try:
        found = _try(sys.stdin.buffer.read(), question, draws).model_dump()
    except CheckpointError as error:
        found = {"error": str(error)}
    except MemoryError:
        found = {"error": f"the graph needs more than {MEMORY_BYTES // 2**30} GiB of memory"}
    except Exception as error:  # the parsers and the runtimes raise many types
        words = ascii(" ".join(str(error).split())[:200])
        found = {"error": f"the graph cannot be run: {words}"}
    print(json.dumps(found))  # noqa: T201 (the parent reads it)


def _load(runtime: GraphRuntime) -> None:
    """Has a runtime load its libraries, while files may be opened, for a graph of one operator."""
    shape = (1, 1, 32, 32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("crops", "embedding")]
    graph = helper.make_graph([helper.make_node("Neg", ["crops"], ["embedding"])], "first", ends[:1], ends[1:])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    open_session(data, "embedding", shape, runtime).run(np.zeros(shape, np.float32), 1, 1)


def _limit(kind: int, soft: int, hard: int) -> None:
    """Sets a limit of this process, or leaves it where it is lower already."""
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def _try(data: bytes, question: Question, draws: np.random.Generator) -> Trial:
    model = read_graph(data)
    entry, output = input_of(model), _output_of(model, question.output)
    side_px = entry.side_px or question.side_px
    if side_px is None:
        raise CheckpointError("the graph takes crops of any side; name one by --side")
    require_bounded(model, entry, 1, side_px)
    crops = draws.uniform(-1, 1, input_shape(entry, MAX_PASS, side_px)).astype(np.float32)
    candidate = _Candidate(data=data, model=model, entry=entry, side_px=side_px, output=output, crops=crops)
    first, *others = question.runtimes
    passes = candidate.passes(first)
    runtime, batch = first, passes.batch
    for other in others:
        found = candidate.attempt(other)
        if found and _apart(found.rows, passes.rows) <= RUNTIME_AGREEMENT:
            runtime, batch = other, "any" if batch == found.batch == "any" else "one"
    return Trial(
        input=entry,
        normalises=starts_with_normalisation(model),
        side_px=side_px,
        output=output,
        dimension=passes.rows.shape[1],
        batch=batch,
        runtime=runtime,
    )


def _output_of(model: ModelProto, wanted: str) -> str:
    """The name of the output that is wanted, or of the only one. Raises CheckpointError."""
    names: list[str] = [each.name for each in model.graph.output]
    if wanted in names:
        return wanted
    if wanted or len(names) != 1:
        raise CheckpointError(f"name one of the graph's outputs: {', '.join(map(ascii, names[:10]))}")
    return names[0]


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """The outputs float32 (B, D) of passes of one crop each, and how many crops a pass may have."""

    rows: Images
    batch: Literal["one", "any"]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A graph, and crops (B, ...) in its layout."""

    data: bytes
    model: ModelProto
    entry: GraphInput
    side_px: int
    output: str
    crops: Images

    def passes(self, runtime: GraphRuntime) -> _Passes:
        """Passes of one crop, and of several if the graph takes them. Raises various exceptions of the runtime."""
        shape = input_shape(self.entry, 1 if self.entry.batch == "one" else -1, self.side_px)
        session = open_session(self.data, self.output, shape, runtime)
        rows = np.concatenate([self._run(session, self.crops[each : each + 1]) for each in range(len(self.crops))])
        agree = self.entry.batch == "any" and self._agree(session, rows)
        return _Passes(rows=rows, batch="any" if agree else "one")

    def attempt(self, runtime: GraphRuntime) -> _Passes | None:
        """The passes, or None if this runtime cannot make them, as for an operator that it does not know."""
        try:
            return self.passes(runtime)
        except MemoryError:
            raise
        except Exception:
            return None

    def _agree(self, session: Session, rows: Images) -> bool:
        """Whether a pass of several crops gives the embeddings of passes of one, `rows` (B, D)."""
        try:
            require_bounded(self.model, self.entry, len(self.crops), self.side_px)
            return _apart(self._run(session, self.crops), rows) <= AGREEMENT
        except MemoryError:
            raise
        except Exception:  # such as a batch of one in a Reshape
            return False

    def _run(self, session: Session, crops: Images) -> Images:
        """Crops -> embeddings (B, D). Raises CheckpointError if they are anything else."""
        rows = np.asarray(session.run(crops, len(crops), 1))
        if rows.dtype != np.float32 or len(rows) != len(crops):
            raise CheckpointError(f"the output {self.output!a} is not float32 with a row for each crop")
        rows = rows.reshape(len(crops), -1)
        if not np.isfinite(rows).all():
            raise CheckpointError(f"the output {self.output!a} has values that are not finite")
        return rows


def _apart(found: Images, expected: Images) -> float:
    """The largest difference of embeddings (B, D) from those expected, as a share of the embedding's length."""
    lengths = np.linalg.norm(expected, axis=1, keepdims=True).clip(MIN_LENGTH)
    return float((np.abs(found - expected) / lengths).max())


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
    main(sys.argv[1])
