"""Whether a JPEG's blocks have means that no encoder writes: the mark of bytes that were lost in between.

Each block's mean is stored as the difference to the block before (ITU-T T.81, F.1.2.1), so after one wrong difference
all following blocks are too bright, too dark or coloured. The rest of the file often decodes without an error.
"""

import io
from typing import cast

import numpy as np
from PIL import Image, features

from model.imaging.formats import jpeg

# Samples of 8 bits lie at most this far from the middle.
MIDDLE = 128
BLOCK_PX = 8
WHITE = 255
# Means beyond black or white leave pixels at an end of the scale, most in one colour: the least share of all pixels. It
# is judged by so many rows and columns.
TELLING_SHARE, TELLING_NEUTRAL_SHARE = 0.04, 0.3
SAMPLES = (64, 64)
# libjpeg-turbo keeps ten bits of a block's mean and then cuts it off (jdmaster.c, prepare_range_limit_table), so that
# seven times as far from the middle as white is black, and what is brighter than white is not.
WRAPPING_STEP, SLACK = 7, 8


def has_impossible_means(data: bytes, picture: Image.Image) -> bool:
    """Whether the JPEG that gave `picture` (L or RGB) has a block whose mean is beyond black, white or a full colour.

    It decodes the file once or twice more, without its details, unless the picture shows no sign of it. Colours whose
    means are stored in steps of 1 (about quality 97 and more) cannot be told; their light can. False for files of four
    colours.
    """
    if not _is_often_at_an_end(picture):
        return False
    try:
        image, steps = _open_means(data, 1)
        if len(steps) not in (1, 3) or image.info.get("adobe_transform") == 0:
            return False
        bands = [cast(tuple[int, int], band.getextrema()) for band in image.split()]
        # A mean is rounded to a step, and then to a sample.
        return any(
            max(MIDDLE - lowest, highest - MIDDLE) * step > MIDDLE + step
            for (lowest, highest), step in zip(bands, steps, strict=True)
        ) or (steps[0] == 1 and (bands[0][0] == 0 or bands[0][1] == WHITE) and _leaves_scale(image, data))
    except MemoryError:
        raise
    except Exception:  # of many types: the colours are stored in another way, or the tables are unusual
        return False


def _open_means(data: bytes, step: int) -> tuple[Image.Image, list[int]]:
    """The blocks' means in another step, a pixel each, as L or YCbCr, and the steps in which they were stored."""
    means, steps = jpeg.isolate_means(data, step)
    image = Image.open(io.BytesIO(means), formats=["JPEG"])
    image.draft("L" if len(steps) == 1 else "YCbCr", (image.width // BLOCK_PX, image.height // BLOCK_PX))
    return image, steps


def _leaves_scale(shown: Image.Image, data: bytes) -> bool:
    """Whether a block that is shown as black or white is darker or brighter; with other libraries False."""
    if not features.check("libjpeg_turbo"):
        return False
    means, wrapped = (np.asarray(image.getchannel(0)) for image in (shown, _open_means(data, WRAPPING_STEP)[0]))
    brighter = (means == WHITE) & (wrapped > SLACK)
    darker = (means == 0) & (wrapped < WHITE - SLACK)
    return bool((brighter | darker).any())


def _is_often_at_an_end(picture: Image.Image) -> bool:
    """Whether many pixels are 0 or 255 in one colour and not in another, or in all."""
    counts, pixels = picture.resize(SAMPLES, Image.Resampling.NEAREST).histogram(), SAMPLES[0] * SAMPLES[1]
    for end in (0, 255):
        shares = [count / pixels for count in counts[end::256]]
        least = min(shares) if len(shares) > 1 else 0.0
        if max(shares) - least >= TELLING_SHARE or least >= TELLING_NEUTRAL_SHARE:
            return True
    return False
