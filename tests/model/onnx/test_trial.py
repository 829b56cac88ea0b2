"""The first passes of a graph, in a child process with limits."""

import resource
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import NodeProto, helper

from model.errors import CheckpointError
from model.networks.configurations import GraphRuntime
from model.onnx import trial
from model.onnx.first_passes import require_bounded
from model.onnx.graph import input_of, read_graph
from model.onnx.trial import Question, Trial
from tests.model.support.onnx_graphs import CHANNELS, DIMENSION, SIDE_PX, model_bytes, tiny_graph


def try_out(data: bytes, side_px: int | None = SIDE_PX, output: str = "", *runtimes: GraphRuntime) -> Trial:
    return trial.try_out(data, Question(side_px=side_px, output=output, runtimes=runtimes or ("openvino",)))


def constant(name: str, values: Sequence[int]) -> NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=list(values))


def test_a_trial_says_what_the_graph_gives() -> None:
    found = try_out(tiny_graph(), SIDE_PX)
    assert (found.output, found.dimension, found.batch) == ("embedding", DIMENSION, "any")


def test_the_values_between_operators_are_counted() -> None:
    model, side = read_graph(tiny_graph()), (SIDE_PX - 3) // 2 + 1
    values = 2 * CHANNELS * side**2 + 2 * CHANNELS + DIMENSION
    assert require_bounded(model, input_of(model), 1, SIDE_PX) == 4 * values


def in_child(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Has the child process change one of its constants first."""
    real = subprocess.run

    def changed(command: list[str], **options: object) -> object:
        program = f"import sys, model.onnx.first_passes as first; first.{change}; first.main(sys.argv[1])"
        return real([sys.executable, "-c", program, command[-1]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", changed)


def test_openvino_is_taken_if_it_gives_the_embeddings_of_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    assert try_out(tiny_graph(), SIDE_PX, "", "onnxruntime", "openvino").runtime == "openvino"
    in_child(monkeypatch, "RUNTIME_AGREEMENT = -1")
    assert try_out(tiny_graph(), SIDE_PX, "", "onnxruntime", "openvino").runtime == "onnxruntime"


def test_onnx_runtime_is_taken_if_openvino_cannot_run_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    in_child(monkeypatch, "_Candidate.attempt = lambda self, runtime: None")
    assert try_out(tiny_graph(), SIDE_PX, "", "onnxruntime", "openvino").runtime == "onnxruntime"


def test_a_side_that_the_graph_does_not_name_is_asked_for() -> None:
    assert try_out(tiny_graph(side="S"), 48).side_px == 48
    with pytest.raises(CheckpointError, match="takes crops of any side; name one by --side"):
        try_out(tiny_graph(side="S"), None)


def test_a_file_of_many_parts_costs_this_process_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator without a name takes two bytes of a file, and a hundred in memory: only the child parses it."""
    data = b"\x0a\x00" * 4_000_000
    graph = b"\x3a" + varint(len(data)) + data
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="the graph has 4,000,000 operators; at most 10,000 are allowed"):
        try_out(graph)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    in_child(monkeypatch, "MEMORY_BYTES = 2**29")
    with pytest.raises(CheckpointError, match=r"GiB|not an ONNX file"):  # the parser does not say why it failed
        try_out(graph)


def varint(number: int) -> bytes:
    """A length as protobuf writes it: seven bits a byte, the smallest first."""
    rest, low = divmod(number, 128)
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


@pytest.mark.parametrize(
    "data",
    [tiny_graph(batch=1, flatten=(1, CHANNELS)), tiny_graph(batch="N", flatten=(1, CHANNELS))],
    ids=["fixed", "fixed by a Reshape alone"],
)
def test_graphs_for_one_crop_take_one(data: bytes) -> None:
    """OpenVINO drops the Reshape, so that it takes any number, but ONNX Runtime does not."""
    assert try_out(data, SIDE_PX, "", "onnxruntime", "openvino").batch == "one"


def test_a_graph_whose_rows_depend_on_the_batch_takes_one() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input.1"], ["batch_mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["input.1", "batch_mean"], ["apart"]),
        helper.make_node("Add", ["apart", "input.1"], ["crops"]),
    ]
    assert try_out(tiny_graph(first=nodes), SIDE_PX).batch == "one"


def test_an_output_is_taken_by_its_name() -> None:
    shape: dict[str, list[int | str]] = {"input.1": ["N", 3, 8, 8]}
    nodes = [helper.make_node("Flatten", ["input.1"], ["first"]), helper.make_node("Neg", ["first"], ["second"])]
    data = model_bytes(nodes, {}, shape, {"first": ["N", 192], "second": ["N", 192]})
    assert try_out(data, 8, "second").output == "second"
    with pytest.raises(CheckpointError, match="name one of the graph's outputs: 'first', 'second'"):
        try_out(data, 8)
    with pytest.raises(CheckpointError, match="name one of the graph's outputs"):
        try_out(data, 8, "third")


BOMB = [
    constant("large", [1, 3, 20_000, 20_000]),
    helper.make_node("Expand", ["corner", "large"], ["spread"]),
    helper.make_node("ReduceMax", ["spread"], ["peak"], keepdims=1),
    helper.make_node("Add", ["input.1", "peak"], ["crops"]),
]
CORNER = [
    constant("from", [0, 0]), constant("to", [1, 1]), constant("axes", [2, 3]),
    helper.make_node("Slice", ["input.1", "from", "to", "axes"], ["corner"]),
]  # fmt: skip


def test_graphs_that_grow_are_refused_before_they_run() -> None:
    with pytest.raises(CheckpointError, match="more than 512 MiB for one crop"):
        try_out(tiny_graph(first=[*CORNER, *BOMB]), SIDE_PX)


def test_constants_that_grow_are_refused_before_a_session_folds_them() -> None:
    nodes = [
        constant("large", [200_000, 200_000]),
        helper.make_node("ConstantOfShape", ["large"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["peak"], keepdims=0),
        helper.make_node("Add", ["input.1", "peak"], ["crops"]),
    ]
    with pytest.raises(CheckpointError, match="more than 512 MiB for one crop"):
        try_out(tiny_graph(first=nodes), SIDE_PX)


def test_sizes_that_depend_on_pixels_are_refused() -> None:
    nodes = [
        helper.make_node("ReduceMax", ["input.1"], ["peak"], keepdims=0),
        helper.make_node("Cast", ["peak"], ["whole"], to=7),
        helper.make_node("Reshape", ["whole", "one"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["input.1", "nothing"], ["crops"]),
    ]
    with pytest.raises(CheckpointError, match="'ConstantOfShape' is not known before it runs"):
        try_out(tiny_graph(first=[constant("one", [1]), *nodes]), SIDE_PX)


def test_claims_about_sizes_are_not_believed() -> None:
    """The file may say that a value is small."""
    model = read_graph(tiny_graph(first=[*CORNER, *BOMB]))
    model.graph.value_info.append(helper.make_tensor_value_info("spread", 1, [1, 3, 1, 1]))
    with pytest.raises(CheckpointError, match="more than 512 MiB for one crop"):
        try_out(model.SerializeToString(), SIDE_PX)


def test_graphs_that_compute_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock here, so that the test is short."""
    monkeypatch.setattr(trial, "WALL_S", 0.05)
    with pytest.raises(CheckpointError, match=r"took more than 0.05 s"):
        try_out(tiny_graph(), SIDE_PX)


@pytest.mark.parametrize(
    ("change", "message"),
    [("CPU_S = 1", "more than 60 s of a core"), ("MEMORY_BYTES = 2**28", "GiB")],
    ids=["time", "memory"],
)
def test_the_child_keeps_its_limits(monkeypatch: pytest.MonkeyPatch, change: str, message: str) -> None:
    """With a lower limit, in the same child: a graph that computes for long, and one that needs memory."""
    side = 400
    weights = {"kernel": np.full((3, 3, 31, 31), 1e-6, np.float32)}
    nodes, last = [], "input.1"
    for number in range(40):
        nodes.append(helper.make_node("Conv", [last, "kernel"], [f"v{number}"], pads=[15] * 4))
        last = f"v{number}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["embedding"]))
    data = model_bytes(nodes, weights, {"input.1": ["N", 3, side, side]}, {"embedding": ["N", 3, 1, 1]})
    in_child(monkeypatch, change)
    with pytest.raises(CheckpointError, match=message):
        try_out(data, side)


def test_damaged_weights_are_refused_in_one_line() -> None:
    model = read_graph(tiny_graph())
    model.graph.initializer[0].raw_data = b"short"
    with pytest.raises(CheckpointError, match="the graph cannot be run") as caught:
        try_out(model.SerializeToString(), SIDE_PX)
    assert "\n" not in str(caught.value)


def test_outputs_that_are_not_finite_are_refused() -> None:
    nodes = [helper.make_node("Log", ["input.1"], ["crops"])]
    with pytest.raises(CheckpointError, match="not finite"):
        try_out(tiny_graph(first=nodes), SIDE_PX)


def test_a_child_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a package is missing."""
    real = subprocess.run

    def failing(_: list[str], **options: object) -> object:
        return real([sys.executable, "-c", "import no_such_package"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(CheckpointError, match=r"failed with status 1: .*No module named 'no_such_package"):
        try_out(tiny_graph(), SIDE_PX)
