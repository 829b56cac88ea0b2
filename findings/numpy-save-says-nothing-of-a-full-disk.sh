#!/usr/bin/env bash
# numpy.save and ndarray.tofile return as if all were well although the last bytes found no room on the disk.
#
# Guess: a file that could not be written as a whole is an error, as it is for file.write of the same bytes, and as it is
# for numpy.save of a larger array on the same disk.
#
# What happens: tofile writes through a buffered C stream of its own. What fills the buffer is checked; the rest, up to
# 4,095 bytes, is written when the stream is closed, and what the close returns is not looked at. So if the disk becomes
# full within that rest, numpy.save returns, no exception is raised, and the file is cut off. A later numpy.load finds
# it ("Failed to read all data"), after the original may be gone; a raw file of tofile says nothing at all. Whoever needs
# to know writes the bytes himself: file.write(array.tobytes()).
#
# The limit of a file's size (ulimit -f) stands in for a full disk. Both arrays below are cut within the rest: a small one
# that is nothing but rest, and one of 100,000 numbers of which the last 384 bytes find no room. For the third, of
# which a whole block is missing, the error comes.
#
# Versions: numpy 2.4.6, Python 3.11, x86-64, glibc 2.36.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "numpy==2.4.6" 2>/dev/null
cat > "$folder/save.py" <<'PYTHON'
import os
import sys

import numpy as np

path, count, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
numbers = np.arange(float(count))
try:
    if way == "numpy.save":
        np.save(path, numbers)
        whole = 128 + numbers.nbytes
    elif way == "tofile":
        numbers.tofile(path)
        whole = numbers.nbytes
    else:
        with open(path, "wb") as file:
            file.write(numbers.tobytes())
        whole = numbers.nbytes
    print(f"returned, {whole - os.path.getsize(path)} bytes are missing")
except OSError as error:
    print(f"OSError: {error}")
PYTHON
attempt() {  # KIBIBYTES COUNT WAY EXPECTED
  local said
  said=$(ulimit -f "$1"; "$folder/venv/bin/python" "$folder/save.py" "$folder/out.npy" "$2" "$3")
  printf '%7s numbers, room for %3s KiB, %-10s  %s\n' "$2" "$1" "$3" "$said"
  rm -f "$folder/out.npy"
  [[ $said == "$4"* ]] || { echo "changed: expected $4"; exit 1; }
}
attempt 1 125 numpy.save "returned, 104 bytes are missing"
attempt 1 130 tofile "returned, 16 bytes are missing"
attempt 781 100000 numpy.save "returned, 384 bytes are missing"
attempt 700 100000 numpy.save "OSError"
attempt 1 130 file.write "OSError"
