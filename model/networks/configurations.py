"""The configurations of networks as checkpoints store them, and the tensors of each. Imports no torch.

B batch, C channels, H W pixels, D embedding
"""

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from model.imaging import gradient_cells
from model.imaging.gradient_cells import MIN_SIDE_PX
from model.imaging.preprocessing import MAX_SIDE_PX

Shapes: TypeAlias = dict[str, tuple[int, ...]]

KERNELS = (10, 7, 4, 4)
# The bounds are far beyond use. They keep a header from demanding a network of absurd size.
Width = Annotated[int, Field(ge=1, le=8192)]
Dimension = Annotated[int, Field(ge=1, le=65536)]
# Whether facepair knows a network's layers, or runs its graph.
Runtime: TypeAlias = Literal["own", "onnx"]
# What runs a graph. OpenVINO is faster on a CPU, and ONNX Runtime can use a GPU.
GraphRuntime: TypeAlias = Literal["openvino", "onnxruntime"]


class NetworkConfig(BaseModel):
    """A Siamese network. Widths default to those of the paper (see `siamese`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: ClassVar[Runtime] = "own"
    unit_length: ClassVar[bool] = False
    """Whether every embedding has length 1."""

    batch_norm: bool
    embedding_activation: Literal["sigmoid", "relu"]
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    side_px: int = Field(default=105, ge=66, le=MAX_SIDE_PX)
    channels: tuple[Width, Width, Width, Width] = (64, 128, 128, 256)
    dimension: Dimension = 4096

    @property
    def unit_parts(self) -> tuple[int, ...]:
        """The numbers of values of the parts of an embedding that have the same length; none."""
        return ()

    @property
    def input_shape(self) -> tuple[int, int]:
        """Channels, always 1, and side of the crops."""
        return 1, self.side_px

    @property
    def features(self) -> int:
        """Inputs of the fully connected layer: 6 x 6 x 256 = 9,216 in the paper."""
        side = self.side_px
        for kernel in KERNELS[:-1]:
            side = (side - kernel + 1) // 2
        return (side - KERNELS[-1] + 1) ** 2 * self.channels[-1]

    def tensor_shapes(self) -> Shapes:
        """The shape of every tensor of the network, by its name in a checkpoint."""
        shapes: Shapes = {}
        layer = 0
        for entering, leaving, kernel in zip((1, *self.channels), self.channels, KERNELS, strict=False):
            shapes |= _prefix(f"twin.{layer}", {"weight": (leaving, entering, kernel, kernel), "bias": (leaving,)})
            if self.batch_norm:
                shapes |= _prefix(f"twin.{layer + 1}", _batch_norm(leaving))
            layer += 4 if self.batch_norm else 3  # convolution, normalisation, ReLU, pooling
        shapes |= _prefix("fully_connected", {"weight": (self.dimension, self.features), "bias": (self.dimension,)})
        return shapes | _prefix("comparison", {"weight": (1, self.dimension), "bias": (1,)})


# The stem and each of the last three stages halve the sides.
STRIDE = 16
# How many sums of the parts' scores the head "fused" takes the soft minimum of: one for each kind of strangers.
FUSED_SUMS = 3
Share = Annotated[float, Field(ge=0.05, le=1)]
Blocks = Annotated[int, Field(ge=0, le=256)]


class ResidualConfig(BaseModel):
    """A residual network with a tower for each region of the crop.

    `views` are the regions, as shares of the crop's side; each is resized to `view_px`. In colour networks the
    `grey_views`, counted from 0, see only the luma, standardised again. The towers' outputs, the gradients and the
    thumbnail have `dimension` values together. With `flip_average` the embedding is the mean of those of the crop and
    of its mirror image.

    With `thumbnail_values` an embedding ends with so many values of a thumbnail of the crop, which is `thumbnail_cells`
    wide and high: by them the head knows how alike two pictures are in light, pose and background.

    With `gradient_values` so many values of the embedding, between those of the towers and of the thumbnail, come from
    gradient histograms (`networks.gradients`).

    The head "fused" compares these parts one by one (`networks.heads.FusedHead`).
    Fields added since the first checkpoints are omitted at their defaults, so that older digests stay valid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    runtime: ClassVar[Runtime] = "own"
    unit_length: ClassVar[bool] = True
    """Whether every embedding has length 1."""

    kind: Literal["residual"] = "residual"
    side_px: int = Field(default=100, ge=STRIDE, le=MAX_SIDE_PX)
    input_channels: Literal[1, 3] = Field(default=1, exclude_if=lambda channels: channels == 1)
    views: tuple[Share, ...] = Field(default=(1.0, 0.64), min_length=1, max_length=64)
    grey_views: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(), exclude_if=lambda views: not views)
    view_px: int = Field(default=64, ge=STRIDE, le=MAX_SIDE_PX)
    channels: tuple[Width, Width, Width, Width] = (24, 48, 96, 192)
    blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (1, 1, 2, 2)
    thumbnail_cells: int = Field(default=0, ge=0, le=128, exclude_if=lambda cells: cells == 0)
    thumbnail_values: int = Field(default=0, ge=0, le=8192, exclude_if=lambda values: values == 0)
    gradient_values: int = Field(default=0, ge=0, le=8192, exclude_if=lambda values: values == 0)
    dimension: Dimension = 512
    flip_average: bool = True
    head: Literal["cosine", "joint-bayesian", "fused"] = "joint-bayesian"

    @model_validator(mode="after")
    def _check_dimension(self) -> Self:
        if self.tower_values <= 0 or self.tower_values % len(self.views):
            raise ValueError("the dimension without gradients and thumbnail must be a multiple of the number of views")
        return self

    @model_validator(mode="after")
    def _check_thumbnail(self) -> Self:
        if bool(self.thumbnail_cells) != bool(self.thumbnail_values):
            raise ValueError("a thumbnail has both thumbnail_cells and thumbnail_values")
        if self.thumbnail_cells and (self.side_px % self.thumbnail_cells or self.head == "cosine"):
            raise ValueError("thumbnail_cells must divide side_px, and need the head joint-bayesian or fused")
        if self.head == "fused" and not self.thumbnail_cells:
            raise ValueError("the head fused needs a thumbnail")
        if self.thumbnail_cells and self.flip_average:
            raise ValueError("a thumbnail has no mean with its mirror image; leave out flip_average")
        return self

    @model_validator(mode="after")
    def _check_gradients(self) -> Self:
        if self.gradient_values and (self.input_channels == 1 or self.head != "fused"):
            raise ValueError("gradients need colour crops (input_channels 3) and the head fused")
        if self.gradient_values and (self.side_px < MIN_SIDE_PX or self.side_px % 2):
            raise ValueError(f"gradients need an even side_px of at least {MIN_SIDE_PX}")
        return self

    @model_validator(mode="after")
    def _check_grey_views(self) -> Self:
        if self.grey_views and self.input_channels == 1:
            raise ValueError("grey_views need colour crops (input_channels 3)")
        if self.grey_views and max(self.grey_views) >= len(self.views):
            raise ValueError(f"grey_views must be below {len(self.views)}, the number of views")
        return self

    @property
    def input_shape(self) -> tuple[int, int]:
        """Channels and side of the crops."""
        return self.input_channels, self.side_px

    @property
    def region_channels(self) -> tuple[int, ...]:
        """Channels of each region, 1 or 3."""
        return tuple(1 if region in self.grey_views else self.input_channels for region in range(len(self.views)))

    @property
    def unit_parts(self) -> tuple[int, ...]:
        """The numbers of values of an embedding's parts of the same length: towers', gradients', the thumbnail's."""
        return tuple(filter(None, (self.tower_values, self.gradient_values, self.thumbnail_values)))

    @property
    def thumbnail_means(self) -> int:
        """The numbers of a thumbnail from which its values are made: a mean for each cell and channel."""
        return self.input_channels * self.thumbnail_cells**2

    @property
    def tower_values(self) -> int:
        """How many values of the embedding come from the towers, the first ones."""
        return self.dimension - self.gradient_values - self.thumbnail_values

    @property
    def histogram_values(self) -> int:
        """The values of gradient histograms, from which the gradients' are computed."""
        return gradient_cells.histogram_values(self.side_px)

    @property
    def features(self) -> int:
        """Inputs of each tower's fully connected layer: 4 x 4 x 192 = 3,072 by default."""
        return (-(-self.view_px // STRIDE)) ** 2 * self.channels[-1]

    def tensor_shapes(self) -> Shapes:
        """The shape of every tensor of the network, by its name in a checkpoint."""
        shapes: Shapes = {}
        for tower, channels in enumerate(self.region_channels):
            shapes |= _prefix(f"towers.{tower}", self._tower_shapes(channels))
        shapes |= {"head.scale": (1,), "head.bias": (1,)}
        if self.head != "cosine":
            vector = (self.tower_values if self.head == "fused" else self.dimension,)
            shapes |= _prefix("head", {"mean": vector, "own": vector, "cross": vector, "projection": vector * 2})
        if self.head == "fused":
            shapes |= _prefix("head", {"weights": (FUSED_SUMS, len(self.unit_parts)), "biases": (FUSED_SUMS,)})
        if self.thumbnail_cells:
            shapes["thumbnail.mean"] = (self.thumbnail_means,)
            shapes["thumbnail.projection"] = (self.thumbnail_values, self.thumbnail_means)
        if self.gradient_values:
            values = self.gradient_values
            shapes |= _prefix("gradients", {"weight": (values, self.histogram_values), "bias": (values,)})
        return shapes

    def _tower_shapes(self, channels: int) -> Shapes:
        stem = self.channels[0]
        shapes: Shapes = {"trunk.0.weight": (stem, channels, 3, 3), "trunk.2.weight": (stem,)}
        shapes |= _prefix("trunk.1", _batch_norm(stem))
        leaving = [width for width, count in zip(self.channels, self.blocks, strict=True) for _ in range(count)]
        halves = [stage > 0 and block == 0 for stage, count in enumerate(self.blocks) for block in range(count)]
        for block, (widths, half) in enumerate(zip(pairwise([stem, *leaving]), halves, strict=True)):
            shapes |= _prefix(f"trunk.{3 + block}", _residual_block(*widths, half))
        part = self.tower_values // len(self.views)
        return shapes | {"fully_connected.weight": (part, self.features)} | _prefix("normalisation", _batch_norm(part))


# The tensor with the bytes of an ONNX graph. ArcFace's ResNet-100, a large one, has 250 MB.
GRAPH = "graph"
MAX_GRAPH_BYTES = 512 * 2**20
Name = Annotated[str, Field(min_length=1, max_length=256)]


class OnnxConfig(BaseModel):
    """A network from elsewhere: an ONNX graph, whose output of that name is the embedding.

    The graph takes crops as the preprocessing normalises them, in that layout and order of channels: one at a time, or
    with `batch` "any" several. With `flip_average` its output is averaged over the crop and its mirror image. With
    `unit_length` the embedding is scaled to length 1, otherwise its length is kept. The head is the cosine. On a CPU
    `cpu_runtime` computes: ONNX Runtime if OpenVINO would give other embeddings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: ClassVar[Runtime] = "onnx"

    kind: Literal["onnx"] = "onnx"
    family: Name
    side_px: int = Field(ge=STRIDE, le=MAX_SIDE_PX)
    input_channels: Literal[1, 3] = 3
    layout: Literal["nchw", "nhwc"] = "nchw"
    channel_order: Literal["rgb", "bgr"] = "rgb"
    batch: Literal["one", "any"] = "any"
    cpu_runtime: GraphRuntime = Field(default="openvino", exclude_if=lambda runtime: runtime == "openvino")
    output: Name
    dimension: Dimension
    flip_average: bool = False
    unit_length: bool = True
    graph_bytes: int = Field(ge=1, le=MAX_GRAPH_BYTES)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Channels and side of the crops."""
        return self.input_channels, self.side_px

    @property
    def unit_parts(self) -> tuple[int, ...]:
        """The numbers of values of the parts of an embedding that have the same length: all, or none."""
        return (self.dimension,) if self.unit_length else ()

    @property
    def graph_shape(self) -> tuple[int, int, int, int]:
        """The shape of the graph's input; -1 for any number of crops."""
        batch, side = 1 if self.batch == "one" else -1, self.side_px
        if self.layout == "nchw":
            return batch, self.input_channels, side, side
        return batch, side, side, self.input_channels

    def tensor_shapes(self) -> Shapes:
        """The shape of the only tensor, by its name in a checkpoint."""
        return {GRAPH: (self.graph_bytes,)}


def _prefix(prefix: str, shapes: Shapes) -> Shapes:
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def _batch_norm(channels: int) -> Shapes:
    vectors: Shapes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
    return vectors | {"num_batches_tracked": ()}


def _residual_block(entering: int, leaving: int, half: bool) -> Shapes:
    shapes: Shapes = {
        "body.0.weight": (leaving, entering, 3, 3),
        "body.2.weight": (leaving,),
        "body.3.weight": (leaving, leaving, 3, 3),
        "activation.weight": (leaving,),
    }
    shapes |= _prefix("body.1", _batch_norm(leaving)) | _prefix("body.4", _batch_norm(leaving))
    if entering == leaving and not half:
        return shapes
    return shapes | {"shortcut.0.weight": (leaving, entering, 1, 1)} | _prefix("shortcut.1", _batch_norm(leaving))


def _kind(value: Any) -> str:
    """Configurations without a kind, such as those of the first checkpoints, are of Siamese networks."""
    kind = value.get("kind", "siamese") if isinstance(value, dict) else getattr(value, "kind", "siamese")
    return str(kind)


AnyNetworkConfig = Annotated[
    Annotated[NetworkConfig, Tag("siamese")]
    | Annotated[ResidualConfig, Tag("residual")]
    | Annotated[OnnxConfig, Tag("onnx")],
    Discriminator(_kind),
]
