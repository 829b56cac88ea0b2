"""What a graph may be: allowed shapes are read, everything else is refused in one line."""

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from model.errors import CheckpointError
from model.onnx import graph
from model.onnx.graph import input_of, read_graph, starts_with_normalisation
from model.onnx.trial import GraphInput
from tests.model.support.onnx_graphs import SIDE_PX, edited, tiny_graph


def refusal(data: bytes) -> str:
    with pytest.raises(CheckpointError) as caught:
        input_of(read_graph(data))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tiny_graph(), {"batch": "any"}),
        (tiny_graph(batch=1, name="x:0/odd name"), {"batch": "one", "name": "x:0/odd name"}),
        (tiny_graph(layout="nhwc"), {"layout": "nhwc", "batch": "any"}),
        (tiny_graph(side="S"), {"side_px": None, "batch": "any"}),
        (tiny_graph(channels=1), {"channels": 1, "batch": "any"}),
    ],
    ids=["dynamic", "odd name", "nhwc", "any side", "grey"],
)
def test_inputs_are_read(data: bytes, expected: dict[str, object]) -> None:
    usual = {"name": "input.1", "layout": "nchw", "channels": 3, "side_px": SIDE_PX}
    assert input_of(read_graph(data)) == GraphInput(**{**usual, **expected})  # type: ignore[arg-type]


def test_initializers_among_the_inputs_are_no_inputs() -> None:
    """As files of ONNX before version 4 have them."""
    model = edited(tiny_graph())
    model.graph.input.append(helper.make_tensor_value_info("kernel", TensorProto.FLOAT, [6, 3, 3, 3]))
    assert input_of(read_graph(model.SerializeToString())).name == "input.1"


def external(model: ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def external_constant(model: ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "hidden")
    tensor.external_data.add(key="location", value="../weights.bin")
    model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=tensor))


def branch(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["embedding"], ["z"], then_branch=inner, else_branch=inner))


def graph_in_attribute(model: ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "inner", [], [])))


def own_function(model: ModelProto) -> None:
    model.functions.add(name="f", domain="")


def second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def training_batch_norm(model: ModelProto) -> None:
    values = ["embedding", "bias", "bias", "bias", "bias"]
    model.graph.node.append(helper.make_node("BatchNormalization", values, ["z"], training_mode=1))


def training_dropout(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
    model.graph.node.append(helper.make_node("Dropout", ["embedding", "", "training"], ["z"]))


def training_info(model: ModelProto) -> None:
    model.training_info.add()


def sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add()


def foreign_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Conv", ["embedding"], ["z"], domain="com.example"))


def random_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["z"], shape=[1]))


def integers(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def no_nodes(model: ModelProto) -> None:
    del model.graph.node[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "the tensor 'kernel' is in another file"),
        (external_constant, "the tensor 'hidden' is in another file"),
        (branch, "the operator 'If', which is not allowed"),
        (graph_in_attribute, "the attribute 'body' of a kind that is not allowed"),
        (own_function, "operators of its own"),
        (second_input, "2 inputs; a face network has one"),
        (training_batch_norm, "exported for training"),
        (training_dropout, "exported for training"),
        (training_info, "exported for training"),
        (sparse, "sparse tensors"),
        (foreign_operator, "'Conv' of 'com.example', which is not allowed"),
        (random_operator, "'RandomNormal', which is not allowed"),
        (integers, "not a batch of crops: float32"),
        (no_nodes, "without operators"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_graphs_are_refused_in_one_line(change: Callable[[ModelProto], None], message: str) -> None:
    model = edited(tiny_graph())
    change(model)
    assert message in refusal(model.SerializeToString())


def test_a_set_of_other_operators_is_refused() -> None:
    assert "operators of its own" in refusal(tiny_graph(domain="ai.onnx.ml"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "without operators"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not an ONNX file"),
        (tiny_graph()[:-50], "not an ONNX file"),
        (tiny_graph(batch=4), "takes 4 crops at a time"),
        (tiny_graph(channels=4), "? x 4 x 32 x 32; expected square crops"),
        (tiny_graph(side=2000), "expected square crops"),
    ],
    ids=["empty", "PNG", "cut off", "batch of four", "four channels", "huge"],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    assert message in refusal(data)


def test_large_files_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_graph()
    monkeypatch.setattr(graph, "MAX_GRAPH_BYTES", len(data) - 1)
    assert refusal(data) == f"the graph has {len(data):,} bytes; at most {len(data) - 1:,} are allowed"


def test_dropout_in_evaluation_mode_is_allowed() -> None:
    model = edited(tiny_graph())
    model.graph.initializer.append(numpy_helper.from_array(np.array(False), "training"))
    model.graph.node.append(helper.make_node("Dropout", ["embedding", "", "training"], ["z"]))
    read_graph(model.SerializeToString())


def test_names_from_the_file_are_harmless_in_messages() -> None:
    model = edited(tiny_graph())
    model.graph.node.append(helper.make_node("\x1b[2J" + "x" * 1000, [], ["z"]))
    message = refusal(model.SerializeToString())
    assert "\x1b" not in message
    assert len(message) < 200


def test_graphs_that_normalise_are_recognised() -> None:
    nodes = [helper.make_node("Sub", ["input.1", "flat"], ["a"]), helper.make_node("Mul", ["a", "flat"], ["crops"])]
    assert starts_with_normalisation(edited(tiny_graph(first=nodes)))
    assert not starts_with_normalisation(edited(tiny_graph()))
