#!/usr/bin/env bash
# The wheel of ONNX Runtime carries the whole runtime twice, and Python loads one of them.
#
# Guess: `onnxruntime_pybind11_state`, the Python module, is a thin binding of `libonnxruntime.so`, which lies next to it
# in the wheel, as OpenVINO's module is of `libopenvino.so`. So a container needs both.
#
# What happens: the module contains the runtime itself (36.6 MB) and is not linked with the library (34.8 MB). A session
# that is read, runs and ends never opens the library. Without it the same session gives the same numbers, so half of
# the native code in an image that only serves from Python can go; programs in C that use the wheel's library need it.
#
# Versions: onnxruntime 1.32.0 (CPU, manylinux), onnx 1.23.2, numpy 2.4.6, Python 3.11, x86-64 Linux.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/run.py" <<'PYTHON'
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

draws = np.random.default_rng(0)
kernel = draws.normal(size=(8, 3, 3, 3)).astype(np.float32)
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (1, 3, 32, 32)), ("y", (1, 8, 30, 30)))]
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "k"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
    "g", ends[:1], ends[1:], [numpy_helper.from_array(kernel, "k")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
[found] = session.run(None, {"x": draws.normal(size=(1, 3, 32, 32)).astype(np.float32)})
mapped = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines() if "onnxruntime" in line}
print("mapped:", *sorted(mapped))
print("result:", hashlib.sha256(found.tobytes()).hexdigest()[:16])
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
capi=$(echo "$folder"/venv/lib/python3*/site-packages/onnxruntime/capi)
library=$(echo "$capi"/libonnxruntime.so.*)
module=$(echo "$capi"/onnxruntime_pybind11_state*.so)
stat -c '%s %n' "$module" "$library" | sed "s|$folder.*/||"
before=$("$folder/venv/bin/python" "$folder/run.py")
rm "$library"
after=$("$folder/venv/bin/python" "$folder/run.py")
printf 'with the library\n%s\nwithout\n%s\n' "$before" "$after"
[[ $before == "$after" ]] || { echo "changed: the library is used" >&2; exit 1; }
[[ $before != *libonnxruntime.so* ]] || { echo "changed: the library is loaded" >&2; exit 1; }
