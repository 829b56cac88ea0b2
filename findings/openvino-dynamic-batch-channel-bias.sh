#!/usr/bin/env bash
# OpenVINO's CPU plugin adds a value per channel to a matrix product as if it were a value per column, if the batch is
# dynamic.
#
# Guess: `x @ w + b` with x of shape (B, C, H, K), w (K, N) and b (C, 1, 1) broadcasts as in NumPy and ONNX: b has one
# value for each channel. A model compiled for any B gives what the same model compiled for B = 2 gives.
#
# What happens: with B fixed the result is right. With B dynamic and C equal to N the CPU plugin fuses the addition into
# the product as a bias of its columns: the result has the right shape, no warning, and other values. (With C different
# from N the dynamic model does not compile.) A product of rows (B C H, K), reshaped to four axes after it, avoids it.
#
# Versions: openvino 2026.4.1, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "openvino==2026.4.1" "numpy==2.4.6" 2>/dev/null
HOME=$folder "$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import openvino as ov
from openvino import opset13 as ops

C, H, K, N = 4, 6, 8, 4
draws = np.random.default_rng(0)
x = draws.normal(size=(2, C, H, K)).astype(np.float32)
w = draws.normal(size=(K, N)).astype(np.float32)
b = np.array([10, 20, 30, 40], np.float32)


def result(batch: int) -> np.ndarray:
    images = ops.parameter([batch, C, H, K], ov.Type.f32)
    product = ops.matmul(images, ops.constant(w), False, False)
    model = ov.Model([ops.add(product, ops.constant(b.reshape(C, 1, 1)))], [images])
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(x)[0]


by_channel, by_column = x @ w + b.reshape(C, 1, 1), x @ w + b
print("openvino", ov.__version__, "numpy", np.__version__)
found = {}
for name, batch in (("fixed", 2), ("dynamic", -1)):
    value = result(batch)
    found[name] = [float(np.abs(value - each).max()) for each in (by_channel, by_column)]
    print(f"batch {name:7}: differs from a value per channel by {found[name][0]:.6f}, per column by {found[name][1]:.6f}")
as_recorded = found["fixed"][0] < 1e-4 and found["dynamic"][0] > 1 and found["dynamic"][1] < 1e-4
print("as recorded" if as_recorded else "CHANGED: see the header")
sys.exit(not as_recorded)
PYTHON
