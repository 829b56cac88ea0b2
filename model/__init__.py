"""The network and everything that must be identical in training and in serving."""

import os

__version__ = "0.1.0"

# ONNX Runtime, which finds faces, reports its use to its maker unless it finds this when it is first imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
