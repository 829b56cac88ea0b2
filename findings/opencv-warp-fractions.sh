#!/usr/bin/env bash
# OpenCV 4's warpAffine and remap know 32 positions between two pixels, in float32 pictures too; OpenCV 5's know them all.
#
# Guess: bilinear interpolation of a float32 picture at float32 positions is exact to float32's precision, so a shift of
# 0.01 pixels moves the values by 0.01 of their slope; and the same call gives the same picture in both versions, as
# resize, cvtColor, GaussianBlur, Laplacian and the JPEG codec do.
#
# What happens: 4.14 rounds positions to 1/32 pixel before it interpolates. A shift of 0.01 pixels gives the very same
# picture, one of 0.02 pixels that of 1/32. 5.0 interpolates where it was asked to. So between the versions some
# 5% of an 8-bit picture's values change after a turn, by up to several grey levels where it is steep: whoever stored
# embeddings or digests of aligned crops gets others, without any change in the API.
#
# Versions: opencv-python-headless 4.14.0.94 and 5.0.0.93, numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/warp.py" <<'PYTHON'
import sys

import cv2
import numpy as np

SIDE = 160
y, x = np.mgrid[0:200, 0:200]
smooth = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7 + x / 23)
picture = smooth.astype(np.float32)


def shifted(by: float) -> np.ndarray:
    return cv2.warpAffine(picture, np.array([[1, 0, by], [0, 1, 0]]), (SIDE, SIDE), flags=cv2.INTER_LINEAR)[:, 1:]


def remapped(by: float) -> np.ndarray:
    across, down = (x[:SIDE, 1:SIDE] - by).astype(np.float32), y[:SIDE, 1:SIDE].astype(np.float32)
    return cv2.remap(picture, across, down, cv2.INTER_LINEAR)


def exact(by: float) -> np.ndarray:
    return picture[:SIDE, 1:SIDE] * (1 - by) + picture[:SIDE, : SIDE - 1] * by


turned = cv2.warpAffine(smooth.astype(np.uint8), cv2.getRotationMatrix2D((100, 100), 7, 0.9), (200, 200))
reduced = cv2.resize(smooth.astype(np.uint8), (123, 131), interpolation=cv2.INTER_AREA)
moves = [float(np.abs(warp(0.01) - picture[:SIDE, 1:SIDE]).max()) for warp in (shifted, remapped)]
rounds = float(np.abs(shifted(0.02) - exact(1 / 32)).max())
wrong = float(max(np.abs(shifted(by) - exact(by)).max() for by in (0.01, 0.02, 0.3)))
print(f"opencv {cv2.__version__}: a shift of 0.01 px moves values by {moves[0]:.4f} (warpAffine) and {moves[1]:.4f} (remap);")
print(f"  0.02 px differs from 1/32 px by {rounds:.4f}; the largest error of 0.01, 0.02 and 0.3 px is {wrong:.4f}")
np.savez(sys.argv[1], turned=turned, reduced=reduced, numbers=[*moves, rounds, wrong])
PYTHON
for version in 4.14.0.94 5.0.0.93; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check \
    "opencv-python-headless==$version" "numpy==2.4.6" 2>/dev/null
  "$folder/$version/bin/python" "$folder/warp.py" "$folder/$version.npz"
done
"$folder/5.0.0.93/bin/python" - "$folder/4.14.0.94.npz" "$folder/5.0.0.93.npz" <<'PYTHON'
import sys

import numpy as np

old, new = (np.load(path) for path in sys.argv[1:])
difference = np.abs(old["turned"].astype(int) - new["turned"])
print(f"an 8-bit picture turned by 7 degrees: {(difference > 0).mean():.1%} of its values differ, by up to {difference.max()}")
print("the same picture reduced by area:", "equal" if (old["reduced"] == new["reduced"]).all() else "differs")
four, five = old["numbers"], new["numbers"]
as_recorded = (
    four[0] == four[1] == 0
    and four[2] < 1e-3 < 0.05 < four[3]
    and min(five[:2]) > 0.05
    and five[3] < 1e-3
    and 0.03 < (difference > 0).mean() < 0.08
    and (old["reduced"] == new["reduced"]).all()
)
print("as recorded" if as_recorded else "CHANGED: see the header")
sys.exit(not as_recorded)
PYTHON
