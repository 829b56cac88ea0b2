#!/usr/bin/env bash
# Pillow scales PNG greys of 2 and 4 bits to 8, but not the grey that is transparent, so that none is.
#
# Guess: a grey PNG may name one of its grey levels as transparent (the chunk tRNS, section 11.3.1.1 of the PNG
# specification), in the file's own depth. Whatever that depth is, `convert("RGBA")` makes these pixels transparent.
#
# What happens: with 1, 8 and 16 bits it does. Of 2 and 4 bits the pixels are scaled to 0..255, and
# `info["transparency"]` keeps the unscaled number: level 1 of 2 bits is the pixel value 85, which is compared with 1.
# The clear pixels come out opaque. Level 0 is the same in both, so a transparent black does come out clear.
#
# Versions: pillow 13.0.0, Python 3.11, x86-64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pillow==13.0.0" 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys
import zlib

import PIL
from PIL import Image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits: int, clear: int, other: int) -> bytes:
    """Eight pixels in a row, of the clear and the other level by turns."""
    row = int("".join(f"{value:0{bits}b}" for value in [clear, other] * 4), 2).to_bytes(bits)
    head = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    parts = (b"IHDR", head), (b"tRNS", struct.pack(">H", clear)), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


print(f"Pillow {PIL.__version__}: alpha of a clear and of an opaque pixel")
found = {}
for bits in (1, 2, 4, 8, 16):
    image = Image.open(io.BytesIO(png(bits, clear=1, other=0)))
    found[bits] = [image.convert("RGBA").getpixel((x, 0))[3] for x in (0, 1)]
    print(f"  {bits:2} bits: {found[bits]}; mode {image.mode}, level 1 is transparent, info says {image.info['transparency']}")
black = Image.open(io.BytesIO(png(4, clear=0, other=1))).convert("RGBA").getpixel((0, 0))[3]
print(f"   4 bits: {black} if level 0 is transparent")
expected = {1: [0, 255], 2: [255, 255], 4: [255, 255], 8: [0, 255], 16: [0, 255]}
changed = found != expected or black != 0
print("CHANGED: see the header" if changed else "as recorded")
sys.exit(changed)
PYTHON
