#!/usr/bin/env bash
# On Linux, `import onnxruntime` alone makes an identity of the device and a database of events in the home folder.
#
# Guess: telemetry, which Linux wheels have since 1.29, begins with a session or a model, so an import writes nothing and
# starts no thread, and `disable_telemetry_events()` right after the import is in time.
#
# What happens: the import makes `~/.cache/Microsoft/DeveloperTools/.onnxruntime/` with a random `deviceid`, which the
# next process finds again, and an SQLite database, and starts a thread. Whoever forks after the import, as servers with
# worker processes do, forks a process with two threads. `disable_telemetry_events()` comes too late: the files are there.
# `ORT_DISABLE_TELEMETRY=1`, set before the import, leaves neither files nor the thread.
#
# Versions: onnxruntime 1.32.0 (CPU, manylinux), numpy 2.4.6, Python 3.11, x86-64 Linux.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/run.py" <<'PYTHON'
import os
import sys

import numpy  # noqa: F401 (whose own threads are then counted before)

before = len(os.listdir("/proc/self/task"))
import onnxruntime

if "late" in sys.argv:
    onnxruntime.disable_telemetry_events()
print("further threads:", len(os.listdir("/proc/self/task")) - before)
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 numpy==2.4.6
try() { # NAME [VARIABLE=VALUE...] COMMAND...: what an import leaves in a home folder of that name
  local name=$1 home=$folder/home-$1
  shift
  mkdir -p "$home"
  echo "$name: $(env -i PATH="$PATH" HOME="$home" OPENBLAS_NUM_THREADS=1 "$@" 2>&1)"
  (cd "$home" && find . -type f ! -name '*-wal' ! -name '*-shm' | sort | sed 's/^/  /')
}
python=$folder/venv/bin/python
try plain "$python" "$folder/run.py"
first=$(cat "$folder"/home-plain/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid)
try plain "$python" "$folder/run.py" >/dev/null
second=$(cat "$folder"/home-plain/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid)
try late "$python" "$folder/run.py" late
try disabled ORT_DISABLE_TELEMETRY=1 "$python" "$folder/run.py"
[[ $first == "$second" ]] && echo "the second process has the first one's identity"
[[ $first == "$second" && -f $folder/home-late/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid ]] ||
  { echo "changed: no identity" >&2; exit 1; }
[[ -z $(find "$folder/home-disabled" -type f) ]] || { echo "changed: files in spite of the variable" >&2; exit 1; }
