"""The first passes of a graph, in a child process with limits."""

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import NodeProto, helper

from model.errors import CheckpointError
from model.onnx import trial
from model.onnx.graph import read_graph
from model.onnx.trial import try_out
from tests.model.support.onnx_graphs import CHANNELS, DIMENSION, SIDE_PX, model_bytes, tiny_graph


def constant(name: str, values: Sequence[int]) -> NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=list(values))


def test_a_trial_says_what_the_graph_gives() -> None:
    found = try_out(tiny_graph(), SIDE_PX)
    assert (found.output, found.dimension, found.batch) == ("embedding", DIMENSION, "any")
    side = (SIDE_PX - 3) // 2 + 1
    values = 2 * CHANNELS * side**2 + 2 * CHANNELS + DIMENSION
    assert found.activation_bytes == 4 * values


@pytest.mark.parametrize(
    "data",
    [tiny_graph(batch=1, flatten=(1, CHANNELS)), tiny_graph(batch="N", flatten=(1, CHANNELS))],
    ids=["fixed", "fixed by a Reshape alone"],
)
def test_graphs_for_one_crop_take_one(data: bytes) -> None:
    assert try_out(data, SIDE_PX).batch == "one"


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
    real = subprocess.run

    def limited(_: list[str], **options: object) -> object:
        program = f"import model.onnx.trial as t; t.{change}; t.main('{side}', '')"
        return real([sys.executable, "-c", program], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", limited)
    with pytest.raises(CheckpointError, match=message):
        try_out(data, side)


def test_damaged_weights_are_refused_in_one_line() -> None:
    model = read_graph(tiny_graph())
    model.graph.initializer[0].raw_data = b"short"
    with pytest.raises(CheckpointError, match="cannot run the graph") as caught:
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
