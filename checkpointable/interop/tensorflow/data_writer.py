"""Writes the data files of TensorFlow's format: tensors one after the other, without gaps (T-7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.bundle.array_bytes import as_bytes, as_stored, blocks, is_buffer, lies_as_stored
from checkpointable.format.limits import MOST_SHARDS
from checkpointable.format.records import Streamed
from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.string_data import StringData
from checkpointable.storage.base import WritableFile

#: How much is handed to the file at a time: enough for a system call, little enough for a cache.
_BATCH: Final = 2**20
#: Buffers below this are joined before they are handed on.
_SMALL: Final = 2**16
#: Of the dtypes whose elements do not fill a byte, the bits that they have: int4, uint4, int2,
#: uint2, float4_e2m1fn.
_USED_BITS: Final = {29: 0x0F, 30: 0x0F, 31: 0x03, 32: 0x03, 33: 0x0F}


@attrs.frozen(slots=True, eq=False)
class Piece:
    """What stands in one place of a data file: a tensor, or a slice of one.

    Attributes:
        dtype: TensorFlow's number of its dtype.
        shape: its own.
        content: an array of any byte order and stride, strings, or a tensor that is read meanwhile.
        length: the bytes in the file.
    """

    dtype: int
    shape: tuple[int, ...]
    content: npt.NDArray[Any] | StringData | Streamed
    length: int


@attrs.frozen(eq=False)
class Places:
    """Where pieces go.

    Attributes:
        shards: for each piece the number of its shard.
        offsets: for each piece where it begins there.
        members: for each shard the numbers of its pieces.
    """

    shards: list[int] = attrs.field(factory=list)
    offsets: list[int] = attrs.field(factory=list)
    members: list[list[int]] = attrs.field(factory=list)


def place_pieces(
    lengths: Sequence[int], max_shard_bytes: int | None, groups: Sequence[int] = ()
) -> Places:
    """Decide where each piece goes: in order, a new shard before one grows too large.

    Args:
        lengths: the bytes of each piece.
        max_shard_bytes: how large a shard may grow.
        groups: for each of the first pieces a number, those that follow go with the last of them;
            pieces of different numbers share no shard. By default all may.

    Raises:
        ValueError: there would be more than 99,999 shards.
    """
    places = Places()
    growing: dict[int, tuple[int, int]] = {}  # of each group the last shard, and its length
    for i, length in enumerate(lengths):
        group = groups[min(i, len(groups) - 1)] if groups else 0
        shard, end = growing.get(group, (-1, 0))
        if shard < 0 or (max_shard_bytes is not None and 0 < end > max_shard_bytes - length):
            shard, end = len(places.members), 0
            places.members.append([])
        places.members[shard].append(i)
        places.shards.append(shard)
        places.offsets.append(end)
        growing[group] = shard, end + length
    if len(places.members) > MOST_SHARDS:
        raise ValueError(
            f"max_shard_bytes={max_shard_bytes} gives {len(places.members)} shards, expected at"
            f" most {MOST_SHARDS}. Choose larger shards."
        )
    return places


def write_pieces(file: WritableFile, pieces: Sequence[Piece]) -> list[int]:
    """Write pieces one after the other; return their checksums as the index has them."""
    batches = _Batches(file)
    checksums = []
    for piece in pieces:
        checksum = 0
        if isinstance(piece.content, StringData):
            checksum = piece.content.start
            batches.add(piece.content.head)
        for buffer in _buffers(piece):
            checksum = crc(buffer, checksum)
            batches.add(buffer)
        checksums.append(mask(checksum))
    batches.flush()
    return checksums


class _Batches:
    """Hands buffers on to a file: small ones joined, large ones as they are.

    They may not be changed before the next `flush`.
    """

    def __init__(self, file: WritableFile) -> None:
        self._file = file
        self._pending: list[Any] = []
        self._length = 0

    def add(self, buffer: Any) -> None:
        """Append the bytes of a C-contiguous buffer."""
        length = len(buffer) if isinstance(buffer, bytes) else buffer.nbytes
        if length >= _SMALL:
            self.flush()
            self._file.write([buffer])
            return
        self._pending.append(buffer)
        self._length += length
        if self._length >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand on what is pending."""
        if self._length:
            self._file.write([b"".join(self._pending)])
        self._pending, self._length = [], 0


def _buffers(piece: Piece) -> Iterable[Any]:
    """Return buffers of the bytes to be stored, of about 1 MiB each where these are many."""
    content = piece.content
    if isinstance(content, StringData):
        return _cut(content.strings)
    if not piece.length:
        return ()
    if piece.dtype in _USED_BITS:
        bytes_of = content.blocks() if isinstance(content, Streamed) else blocks(content)
        return _masked(bytes_of, _USED_BITS[piece.dtype])
    if isinstance(content, Streamed):
        return content.blocks()
    if piece.length < _SMALL:
        direct = content.flags.c_contiguous and is_buffer(content.dtype)
        return (content,) if direct else (as_bytes(as_stored(content)),)
    return _cut(as_bytes(content).data) if lies_as_stored(content) else blocks(content)


def _cut(data: memoryview) -> Iterator[memoryview]:
    """Yield some bytes piece by piece."""
    for start in range(0, len(data), _BATCH):
        yield data[start : start + _BATCH]


def _masked(buffers: Iterable[Any], used: int) -> Iterator[bytes]:
    """Yield the bytes of elements of less than a byte, the unused bits of each zero."""
    for block in buffers:
        yield (np.frombuffer(block, np.uint8) & used).tobytes()
