"""The size of the frames in AV1 data (AV1 Bitstream and Decoding Process Specification, 5.3 to 5.5)."""

SEQUENCE_HEADER = 1
# Open bitstream units of a still picture; most have three.
MAX_UNITS = 32


def largest_frame_px(data: memoryview) -> int:
    """The most pixels of a frame by any sequence header; 0 without one. Raises ValueError."""
    at, largest = 0, 0
    for _ in range(MAX_UNITS):
        if at >= len(data):
            return largest
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        size, length = _leb128(data, at) if sized else (len(data) - at, 0)
        at += length
        if kind == SEQUENCE_HEADER:
            largest = max(largest, _frame_px(_Bits(bytes(data[at : at + min(size, 1024)]))))
        at += size
    raise ValueError("too many units")


class _Bits:
    """Reads numbers of bits, most significant first. Raises ValueError beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def next(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("beyond the end")
        return self._number >> self._left & (1 << count) - 1


def _frame_px(bits: _Bits) -> int:
    """`max_frame_width_minus_1` and its height, which come after what is skipped here."""
    bits.next(4)  # profile, still picture
    if bits.next(1):  # the short header of a still picture
        bits.next(5)
    else:
        _skip_operating_points(bits, _skip_timing(bits))
    width_bits, height_bits = bits.next(4) + 1, bits.next(4) + 1
    return (bits.next(width_bits) + 1) * (bits.next(height_bits) + 1)


def _skip_timing(bits: _Bits) -> int:
    """The bits of a delay, 0 without a model of the decoder."""
    if not bits.next(1):
        return 0
    bits.next(64)
    if bits.next(1):
        _skip_uvlc(bits)
    if not bits.next(1):
        return 0
    delay_bits = bits.next(5) + 1
    bits.next(42)
    return delay_bits


def _skip_operating_points(bits: _Bits, delay_bits: int) -> None:
    displayed = bits.next(1)
    for _ in range(bits.next(5) + 1):
        bits.next(12)
        if bits.next(5) > 7:
            bits.next(1)
        if delay_bits and bits.next(1):
            bits.next(2 * delay_bits + 1)
        if displayed and bits.next(1):
            bits.next(4)


def _skip_uvlc(bits: _Bits) -> None:
    zeros = 0
    while not bits.next(1):
        zeros += 1
    if zeros < 32:
        bits.next(zeros)


def _leb128(data: memoryview, at: int) -> tuple[int, int]:
    """A number, and the bytes that it has."""
    value = 0
    for length in range(8):
        if at + length >= len(data):
            break
        byte = data[at + length]
        value |= (byte & 0x7F) << 7 * length
        if not byte & 0x80:
            return value, length + 1
    raise ValueError("beyond the end")
