"""Which networks there are, and how a configuration becomes one."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from model.networks.residual import ResidualConfig, ResidualNetwork
from model.networks.siamese import NetworkConfig, SiameseNetwork

FaceNetwork = SiameseNetwork | ResidualNetwork


def _kind(value: Any) -> str:
    """The first checkpoints say no kind: theirs is the Siamese network of the experiments."""
    kind = value.get("kind", "siamese") if isinstance(value, dict) else getattr(value, "kind", "siamese")
    return str(kind)


AnyNetworkConfig = Annotated[
    Annotated[NetworkConfig, Tag("siamese")] | Annotated[ResidualConfig, Tag("residual")], Discriminator(_kind)
]


def build(config: NetworkConfig | ResidualConfig) -> FaceNetwork:
    """A network as its configuration says, with weights that mean nothing yet."""
    if isinstance(config, ResidualConfig):
        return ResidualNetwork(config)
    return SiameseNetwork(config)
