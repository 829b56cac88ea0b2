"""The network and everything that must be identical in training and in serving."""

import os

__version__ = "0.1.0"

# ONNX Runtime (face detection) sends usage telemetry unless this is set before it is first imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
