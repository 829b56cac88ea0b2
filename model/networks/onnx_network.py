"""A network from elsewhere among those of PyTorch, so that it is measured and calibrated like them.

OpenVINO or ONNX Runtime computes its embeddings, and only when they are asked for: the graph is tried out then.

A B batches, C channels, H W pixels, D embedding
"""

import torch
from torch import Tensor
from torch.nn import functional

from model.networks.configurations import OnnxConfig
from model.networks.face_network import FaceNetwork
from model.networks.heads import IDENTICAL_COSINE
from model.onnx.embedder import open_runner, require_safe, runtime_on
from model.onnx.session import GraphRunner


class OnnxNetwork(FaceNetwork):
    """The graph's bytes, the only tensor, and the cosine. The calibration in a checkpoint's header makes it a logit."""

    calibrated = True
    graph: Tensor

    def __init__(self, config: OnnxConfig, graph: bytes = b"") -> None:
        """Without the bytes of the graph, they are to be loaded."""
        super().__init__()
        self.config = config
        self.unit_length = config.unit_length
        stored = torch.frombuffer(bytearray(graph), dtype=torch.uint8) if graph else torch.zeros(config.graph_bytes)
        self.register_buffer("graph", stored.to(torch.uint8))
        self._runner: GraphRunner | None = None

    def embed(self, images: Tensor) -> Tensor:
        """Normalised images float32 (B, C, H, W) -> float32 (B, D). Raises CheckpointError for an unsafe graph."""
        if self._runner is None:
            graph, device = self.graph.cpu().numpy().tobytes(), str(images.device)
            runtime = runtime_on(device, self.config)
            require_safe(self.config, graph, runtime)
            self._runner = open_runner(self.config, graph, runtime, device, torch.get_num_threads())
        return torch.from_numpy(self._runner.embed(images.cpu().numpy())).to(images.device)

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 -> (B,) float32 cosines; symmetric."""
        return (functional.normalize(left) * functional.normalize(right)).sum(1)

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 -> (A, B), the cosines of all pairs but for rounding."""
        return functional.normalize(left) @ functional.normalize(right).T

    def identical_logit(self) -> Tensor | None:
        """(1,), the cosine of two identical pictures."""
        return self.graph.new_tensor([IDENTICAL_COSINE], dtype=torch.float32)
