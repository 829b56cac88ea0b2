"""The network and everything that must be identical in training and in serving."""

import os
import sys

__version__ = "0.1.0"

# ONNX Runtime (face detection) sends usage telemetry unless this is set before it is first imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# OpenVINO (networks on a CPU) reports to its maker when this part of it, which converts models, is imported; it can do
# without it.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
