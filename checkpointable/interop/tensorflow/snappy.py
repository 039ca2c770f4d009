"""Decompresses Snappy, in which a table of TensorFlow's may be stored (T-16)."""

from __future__ import annotations

from checkpointable.errors import CheckpointError
from checkpointable.format.frame import corrupt
from checkpointable.interop.tensorflow.varints import read_varint


def decompress(data: bytes, file: str) -> bytes:
    r"""Return the bytes that were compressed: Snappy's plain form, without framing.

    What comes out is at most 22 times as long as what goes in, whatever that claims to be: no
    element gives more than 64 bytes for three.

    >>> decompress(b"\x0a\x04ab\x11\x02", "file")
    b'ababababab'

    Raises:
        CorruptCheckpointError: they are not compressed so.
    """
    length, position = read_varint(data, 0, len(data), file, "T-16")
    out, end = bytearray(), len(data)
    while position < end:
        tag = data[position]
        position += 1
        kind, high = tag & 3, tag >> 2
        if not kind:
            if high >= 60:
                extra = high - 59
                high = int.from_bytes(data[position : position + extra], "little")
                position += extra
            stop = position + high + 1
            if stop > end or len(out) + high + 1 > length:
                raise _damaged(file, "a literal is too long")
            out += data[position:stop]
            position = stop
            continue
        extra = (0, 1, 2, 4)[kind]
        offset = int.from_bytes(data[position : position + extra], "little")
        count = high + 1
        if kind == 1:
            offset |= high >> 3 << 8
            count = (high & 7) + 4
        position += extra
        start = len(out) - offset
        if position > end or not offset or start < 0 or len(out) + count > length:
            raise _damaged(file, "a copy reaches beyond what is there")
        if offset >= count:
            out += out[start : start + count]
        else:
            out += (out[start:] * (count // offset + 1))[:count]
    if len(out) != length:
        raise _damaged(file, f"expected {length} bytes, found {len(out)}")
    return bytes(out)


def _damaged(file: str, what: str) -> CheckpointError:
    return corrupt(file, "T-16", f"a compressed block is damaged: {what}")
