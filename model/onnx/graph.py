"""Reads an ONNX graph and refuses what no face network needs, before any library computes with it.

Nothing here reads a file or runs an operator: the graph is only parsed.

B batch, C channels, H W pixels
"""

from typing import Literal

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from model.errors import CheckpointError
from model.imaging.preprocessing import MAX_SIDE_PX
from model.networks.configurations import MAX_GRAPH_BYTES
from model.onnx.trial import GraphInput

# Operators of feed-forward networks, with those of exported quantisation. None has a subgraph, reads a file, draws
# random numbers or keeps a state.
NAMES = """
    Abs Add AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvInteger CumSum
    DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather Gelu
    Gemm GlobalAveragePool GlobalMaxPool Greater GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
    LRN LayerNormalization LeakyRelu Less Log LpNormalization MatMul MatMulInteger Max MaxPool Mean Min Mish Mul Neg
    PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear Reciprocal ReduceL2 ReduceMax ReduceMean ReduceSum
    ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Slice Softmax Softplus Softsign SpaceToDepth Split
    Sqrt Squeeze Sub Sum Swish Tanh Tile Transpose Unsqueeze Where
"""
OPERATORS = frozenset(NAMES.split())
STANDARD_DOMAINS = {"", "ai.onnx"}
PLAIN_ATTRIBUTES = {
    AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.TENSOR,
    AttributeProto.FLOATS, AttributeProto.INTS, AttributeProto.STRINGS,
}  # fmt: skip
MAX_NODES = 10_000
# Stored tensors that say sizes, such as a Reshape's, are smaller.
MAX_SIZES_BYTES = 4096
MSG_TRAINING = "the graph was exported for training; export it in evaluation mode"


def read_graph(data: bytes) -> ModelProto:
    """The parsed graph. Raises CheckpointError, in one line, unless every part of it is allowed."""
    if len(data) > MAX_GRAPH_BYTES:
        raise CheckpointError(f"the graph has {len(data):,} bytes; at most {MAX_GRAPH_BYTES:,} are allowed")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own types
        raise CheckpointError("not an ONNX file, or a damaged one") from error
    if not model.graph.node:
        raise CheckpointError("not an ONNX file, or one without operators")
    if len(model.graph.node) > MAX_NODES:
        raise CheckpointError(f"the graph has {len(model.graph.node):,} operators; at most {MAX_NODES:,} are allowed")
    if model.functions or any(each.domain not in STANDARD_DOMAINS for each in model.opset_import):
        raise CheckpointError("the graph has operators of its own; only the standard ones of ONNX are allowed")
    if model.training_info:
        raise CheckpointError(MSG_TRAINING)
    if model.graph.sparse_initializer:
        raise CheckpointError("the graph has sparse tensors, which are not allowed; export them as dense ones")
    for tensor in model.graph.initializer:
        _require_inside(tensor)
    for node in model.graph.node:
        _require_allowed(node)
    _require_evaluation(model)
    return model


def _require_allowed(node: NodeProto) -> None:
    if node.domain not in STANDARD_DOMAINS or node.op_type not in OPERATORS:
        domain = f" of {_shown(node.domain)}" if node.domain not in STANDARD_DOMAINS else ""
        raise CheckpointError(f"the graph has the operator {_shown(node.op_type)}{domain}, which is not allowed")
    for attribute in node.attribute:
        if attribute.type not in PLAIN_ATTRIBUTES:
            raise CheckpointError(
                f"the operator {_shown(node.op_type)} has the attribute {_shown(attribute.name)} of a kind that is not "
                "allowed, such as a graph within the graph"
            )
        if attribute.type == AttributeProto.TENSOR:
            _require_inside(attribute.t)


def _require_inside(tensor: TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise CheckpointError(
            f"the tensor {_shown(tensor.name)} is in another file; save the network with its weights in one file"
        )


def _require_evaluation(model: ModelProto) -> None:
    """Raises CheckpointError for operators in training mode."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        values = {each.name: each for each in node.attribute}
        if node.op_type == "Constant" and "value" in values:
            constants[node.output[0]] = values["value"].t
        if node.op_type == "BatchNormalization":
            training = ("training_mode" in values and values["training_mode"].i != 0) or len(node.output) > 1
        elif node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            flag = constants.get(node.input[2])
            training = flag is None or any(flag.raw_data) or any(flag.int32_data)
        else:
            training = False
        if training:
            raise CheckpointError(MSG_TRAINING)


def input_of(model: ModelProto) -> GraphInput:
    """The input of a graph that `read_graph` has passed. Raises CheckpointError unless it takes square crops."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in stored]
    if len(inputs) != 1:
        raise CheckpointError(f"the graph has {len(inputs)} inputs; a face network has one, the crops")
    [entry] = inputs
    tensor = entry.type.tensor_type
    # 0 for a side that is a name or not given
    sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else 0 for dim in tensor.shape.dim]
    if tensor.elem_type != TensorProto.FLOAT or len(sizes) != 4:
        raise CheckpointError(f"the input {_shown(entry.name)} is not a batch of crops: float32 with four axes")
    batch, *rest = sizes
    if batch > 1:
        raise CheckpointError(f"the graph takes {batch} crops at a time; export it for one, or for any number")
    layout: Literal["nchw", "nhwc"] = "nchw" if rest[0] in (1, 3) else "nhwc"
    channels, height, width = rest if layout == "nchw" else (rest[2], *rest[:2])
    if channels not in (1, 3) or height != width or height > MAX_SIDE_PX:
        shape = " x ".join(str(size or "?") for size in sizes)
        raise CheckpointError(f"the input is {shape}; expected square crops of 1 or 3 channels")
    return GraphInput(
        name=entry.name,
        layout=layout,
        channels=1 if channels == 1 else 3,
        side_px=height or None,
        batch="one" if batch == 1 else "any",
    )


def fixed_at(model: ModelProto, entry: GraphInput, batch: int, side_px: int) -> ModelProto:
    """A copy for finding the sizes of values, whose input has this size.

    It lacks the file's own claims about the sizes of other values, and the large weights, so that it takes no memory.
    """
    copy = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    copy.graph.name = model.graph.name or "graph"
    copy.graph.node.extend(model.graph.node)
    copy.graph.input.extend(model.graph.input)
    copy.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= MAX_SIZES_BYTES:
            copy.graph.initializer.append(tensor)
        else:
            copy.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    [found] = [each for each in copy.graph.input if each.name == entry.name]
    shape = input_shape(entry, batch, side_px)
    for dim, size in zip(found.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    return copy


def input_shape(entry: GraphInput, batch: int, side_px: int) -> tuple[int, int, int, int]:
    """The shape of a batch of crops in the graph's layout."""
    if entry.layout == "nchw":
        return batch, entry.channels, side_px, side_px
    return batch, side_px, side_px, entry.channels


def starts_with_normalisation(model: ModelProto) -> bool:
    """Whether the graph normalises the crops itself: it subtracts and multiplies among its first operators.

    As InsightFace decides it (`ArcFaceONNX`), by the operators instead of their names.
    """
    first = [node.op_type for node in model.graph.node[:8]]
    return "Sub" in first[:2] and bool({"Mul", "Div"} & set(first[:3]))


def _shown(name: str) -> str:
    """A name from the file, safe and short enough for a message."""
    return ascii(name[:60])
