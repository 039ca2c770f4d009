"""Basic indexing of stored tensors: which elements, and which bytes they take."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.limits import CHUNK

#: Rows are read together up to so many bytes.
_BATCH: Final = 16 * CHUNK

#: Returns the elements between two positions of a tensor, counted in C order.
ReadElements = Callable[[int, int], npt.NDArray[Any]]


@attrs.frozen(slots=True)
class Range:
    """The positions along one dimension: `start`, `start + step`, ..., `count` of them."""

    start: int
    count: int
    step: int = 1

    def within(self, begin: int, end: int) -> tuple[slice, Range]:
        """Return which of the positions lie between two others, and where, from `begin` on."""
        first = max(-((self.start - begin) // self.step), 0)
        last = min(-((self.start - end) // self.step), self.count)
        count = max(last - first, 0)
        return slice(first, first + count), Range(
            self.start + first * self.step - begin, count, self.step
        )


@attrs.frozen
class Selection:
    """An index, understood.

    Attributes:
        ranges: per dimension of the tensor, in ascending order.
        finish: what remains to be done with the selected elements: drop the dimensions of
            integers, turn those with a negative step, insert new ones.
    """

    ranges: tuple[Range, ...]
    finish: tuple[Any, ...]

    @property
    def positions(self) -> tuple[slice, ...]:
        """The selected positions per dimension, in ascending order."""
        return tuple(slice(r.start, r.start + r.count * r.step, r.step) for r in self.ranges)


def select(index: Any, shape: tuple[int, ...]) -> Selection:
    """Understand a basic index: integers, slices, an ellipsis and new axes.

    Raises:
        IndexError: it is out of range, has too many parts, or is not basic.
    """
    ranges: list[Range] = []
    finish: list[Any] = []
    for part in _expand(index if isinstance(index, tuple) else (index,), len(shape)):
        if part is None:
            finish.append(None)
            continue
        size = shape[len(ranges)]
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            count = len(range(start, stop, step))
            backwards = step < 0
            lowest = start + (count - 1) * step if backwards and count else start
            ranges.append(Range(lowest, count, abs(step)))
            finish.append(slice(None, None, -1) if backwards else slice(None))
        else:
            ranges.append(Range(_position(part, size), 1))
            finish.append(0)
    return Selection(tuple(ranges), tuple(finish))


def _expand(parts: tuple[Any, ...], rank: int) -> list[Any]:
    """Replace the ellipsis and what is left out at the end by whole slices."""
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > rank:
        raise IndexError(f"too many indices: the tensor has {rank} dimensions, {used} were given")
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = dots[0] if dots else len(parts)
    fill = [slice(None)] * (rank - used)
    return [*parts[:at], *fill, *parts[at + 1 :]]


def _position(part: Any, size: int) -> int:
    if isinstance(part, (bool, np.bool_)):
        raise IndexError("booleans are no basic index: use integers and slices")
    try:
        position = operator.index(part)
    except TypeError:
        raise IndexError(
            f"a {type(part).__name__} is no basic index: use integers, slices, ... and None"
        ) from None
    if not -size <= position < size:
        raise IndexError(f"index {position} is out of bounds for a dimension of size {size}")
    return position % size


def gather(
    out: npt.NDArray[Any],
    shape: tuple[int, ...],
    ranges: Sequence[Range],
    read: ReadElements,
    base: int = 0,
) -> None:
    """Read the selected elements of a tensor, or of a block of one, and no more than needed.

    Args:
        out: receives them; one dimension per range.
        shape: of the block.
        ranges: what is selected of it.
        read: reads elements.
        base: the position of the block's first element.
    """
    if not out.size:
        return
    if not shape:
        out[()] = read(base, base + 1)[0]
        return
    row = int(np.prod(shape[1:], dtype=object))
    rows, item = ranges[0], out.dtype.itemsize
    batch = _rows_at_once(row * item, rows.step)
    if not batch:
        for i in range(rows.count):
            place = base + (rows.start + i * rows.step) * row
            gather(out[i, ...], shape[1:], ranges[1:], read, place)
        return
    rest = tuple(slice(r.start, r.start + r.count * r.step, r.step) for r in ranges[1:])
    for i in range(0, rows.count, batch):
        count = min(batch, rows.count - i)
        first = rows.start + i * rows.step
        last = first + (count - 1) * rows.step + 1
        block = read(base + first * row, base + last * row).reshape(last - first, *shape[1:])
        out[i : i + count] = block[(slice(None, None, rows.step), *rest)]


def _rows_at_once(row_bytes: int, step: int) -> int:
    """Return how many selected rows to read together; 0 to look into each row by itself."""
    if row_bytes > CHUNK:
        return 0
    return max(_BATCH // (row_bytes * step), 1) if row_bytes * step <= CHUNK else 1
