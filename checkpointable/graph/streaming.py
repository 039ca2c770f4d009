"""The tensors of an open checkpoint as they are written to another one: piece by piece.

Large tensors are read in slices of at most 4 MiB, small ones many at a time, so that neither the
size of one nor the number of all decides how much memory or time this takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from checkpointable.bundle.shards import byte_view
from checkpointable.format.dtypes import item_size, numpy_dtype, stored_dtype
from checkpointable.format.limits import OWN_CHUNKS
from checkpointable.format.records import Streamed, TensorInfo
from checkpointable.format.source import CheckpointSource

#: How many bytes of a large tensor are in memory at a time, unless one element is larger.
_PIECE: Final = 4 * 2**20
#: How many bytes of small tensors are read at a time.
_BATCH: Final = 2**20

#: Is told how many bytes were read and written.
Count = Callable[[int], None]


def streamed(source: CheckpointSource, numbers: Sequence[int], count: Count) -> dict[int, Streamed]:
    """Return tensors of fixed item size, by number, to be read while they are written.

    Args:
        source: holds them; it must stay open until they are written.
        numbers: which.
        count: is told how many bytes of a tensor were taken, after each piece; what it raises ends
            the save.

    Raises:
        MissingDependencyError: a dtype needs a package that is not installed.
    """
    small = _Small(source, [number for number in numbers if _is_small(source.tensors[number])])
    found: dict[int, Streamed] = {}
    for number in numbers:
        info = source.tensors[number]
        read = small.pieces if _is_small(info) else partial(_pieces, source)
        blocks = partial(_counted, partial(read, number), count)
        found[number] = Streamed(numpy_dtype(info.dtype), info.shape, blocks)
    return found


def byte_length(info: TensorInfo) -> int:
    """Return how many bytes a tensor of fixed item size has."""
    return info.size * item_size(info.dtype)


def spans(shape: tuple[int, ...], item: int, most: int) -> Iterator[tuple[int | slice, ...]]:
    """Yield basic indexes of the parts of an array, in C order, that have at most `most` bytes.

    >>> list(spans((4, 2), 1, 4)), list(spans((2, 3), 1, 2))[:2]
    ([(slice(0, 2, None),), (slice(2, 4, None),)], [(0, slice(0, 2, None)), (0, slice(2, 3, None))])
    """
    if not shape:
        yield ()
        return
    row = item
    for size in shape[1:]:
        row *= size
    rows = most // row
    if rows or len(shape) == 1:
        step = max(rows, 1)
        for start in range(0, shape[0], step):
            yield (slice(start, min(start + step, shape[0])),)
        return
    for position in range(shape[0]):
        for rest in spans(shape[1:], item, most):
            yield (position, *rest)


def _is_small(info: TensorInfo) -> bool:
    return byte_length(info) < OWN_CHUNKS or not info.shape


def _counted(read: Callable[[], Iterator[memoryview]], count: Count) -> Iterator[memoryview]:
    """Yield pieces, and tell of each once the next one is asked for."""
    for piece in read():
        yield piece
        count(len(piece))


def _pieces(source: CheckpointSource, number: int) -> Iterator[memoryview]:
    """Yield the bytes of a large tensor."""
    info = source.tensors[number]
    for index in spans(info.shape, item_size(info.dtype), _PIECE):
        yield _bytes(source.read_slice(number, index), info.dtype)


def _bytes(array: Any, dtype: str) -> memoryview:
    """Return the bytes of an array as they are stored."""
    return byte_view(np.ascontiguousarray(array, stored_dtype(dtype)))


class _Small:
    """Reads small tensors in batches, and keeps the last batch of each item size.

    Writers take tensors in order, or in order among those of one item size.
    """

    def __init__(self, source: CheckpointSource, numbers: Sequence[int]) -> None:
        self._source = source
        self._batches: dict[int, tuple[int, int]] = {}
        self._members: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._kept: dict[int, tuple[int, dict[int, memoryview]]] = {}
        lengths: dict[int, int] = defaultdict(int)
        for number in numbers:
            info = source.tensors[number]
            length = byte_length(info)
            if length:
                size = item_size(info.dtype)
                batch = (size, lengths[size] // _BATCH)
                lengths[size] += length
                self._batches[number] = batch
                self._members[batch].append(number)

    def pieces(self, number: int) -> Iterator[memoryview]:
        """Yield the bytes of a tensor, in one piece."""
        batch = self._batches.get(number)
        if batch is None:
            return
        size, ordinal = batch
        if size not in self._kept or self._kept[size][0] != ordinal:
            self._kept.pop(size, None)
            self._kept[size] = ordinal, self._read(self._members[batch])
        yield self._kept[size][1][number]

    def _read(self, numbers: Sequence[int]) -> dict[int, memoryview]:
        infos = [self._source.tensors[number] for number in numbers]
        arrays = [np.empty(info.shape, numpy_dtype(info.dtype)) for info in infos]
        self._source.read_into(numbers, arrays, threads=False)
        rows = zip(numbers, arrays, infos, strict=True)
        return {number: _bytes(array, info.dtype) for number, array, info in rows}
