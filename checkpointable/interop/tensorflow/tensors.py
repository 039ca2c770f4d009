"""The tensors of a bundle: one per key that is no slice; and where slices lie (T-10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import attrs
import numpy as np

from checkpointable.errors import CheckpointError, UnsupportedFormatError
from checkpointable.format.boxes import find_overlap
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import MOST_BOX_PAIRS
from checkpointable.format.records import Column, TensorInfo
from checkpointable.interop.tensorflow.entries import Entries
from checkpointable.interop.tensorflow.slice_keys import Extents, encode_slice_key


@attrs.frozen(slots=True)
class Piece:
    """A part of a tensor that is stored in one place.

    Attributes:
        entry: the number of its entry.
        start: its first position in every dimension of the tensor.
        shape: its shape.
    """

    entry: int
    start: tuple[int, ...]
    shape: tuple[int, ...]


@final
class Tensors:
    """The tensors of a bundle by number, in the order of their keys.

    Attributes:
        infos: dtype and shape of each.
        keys: their numbers by their keys; what is no UTF-8 in a key stands as lone surrogates.
        entries: the number of the entry of each.
    """

    def __init__(self, entries: Entries, file: str) -> None:
        self._divided: dict[int, list[Piece]] = {}
        hidden = self._resolve(entries, file)
        stored = range(len(entries))
        self.entries: Sequence[int] = (
            [i for i in stored if i not in hidden] if hidden else list(stored)
        )
        kinds, keys = entries.kinds, entries.keys
        self.infos: Sequence[TensorInfo] = [kinds[i].info for i in self.entries]
        self.keys: Mapping[str, int] = {
            keys[i].decode("utf-8", "surrogateescape"): number
            for number, i in enumerate(self.entries)
        }

    def __len__(self) -> int:
        return len(self.entries)

    def pieces(self, number: int) -> Sequence[Piece]:
        """Return the pieces of a tensor."""
        entry, shape = self.entries[number], self.infos[number].shape
        pieces = self._divided.get(entry)
        return [Piece(entry, (0,) * len(shape), shape)] if pieces is None else pieces

    def is_divided(self, number: int) -> bool:
        """Tell whether a tensor is stored in slices."""
        return self.entries[number] in self._divided

    def _resolve(self, entries: Entries, file: str) -> set[int]:
        """Find the slices of all divided tensors; return their entries, which are no tensors."""
        if not entries.slices:
            return set()
        positions = {key: i for i, key in enumerate(entries.keys)}
        hidden: set[int] = set()
        for i, slices in entries.slices.items():
            pieces = self._divided[i] = []
            for extents in slices:
                start, shape = _box(entries, i, extents, file)
                found = positions.get(encode_slice_key(entries.keys[i], extents))
                if found is not None:
                    _check_slice(entries, i, found, shape, file)
                    hidden.add(found)
                    pieces.append(Piece(found, start, shape))
        return hidden


def what_is_wrong(
    starts: Sequence[tuple[int, ...]], shapes: Sequence[tuple[int, ...]], size: int, file: str
) -> str:
    """Say why boxes do not fill a space of that many elements, each once; "" if they do.

    Args:
        starts: where each box begins in every dimension.
        shapes: of each; all lie inside the space.
        size: of the space.
        file: the index, for messages.

    Raises:
        UnsupportedFormatError: they are too many to see.
    """
    first, last = np.array(starts, dtype=np.int64), np.array(shapes, dtype=np.int64)
    counts = [int(np.prod(shape, dtype=object)) for shape in shapes]
    if sum(counts) < size:
        return f"expected {size} elements in slices, found {sum(counts)}"
    if sum(counts) > size:
        return "slices overlap"
    filled = np.flatnonzero(counts)
    if len(filled) < 2:
        return ""
    pairs, overlap = _overlap(first[filled], (first + last)[filled])
    if pairs > MOST_BOX_PAIRS:
        raise UnsupportedFormatError(
            f"{file}: a tensor lies in {len(starts)} slices, and seeing that no two overlap takes"
            f" {pairs} comparisons, expected at most {MOST_BOX_PAIRS} (T-10 of"
            " docs/tensorflow-format.md). Save it in fewer slices."
        )
    return "slices overlap, and others are missing" if overlap else ""


def _overlap(starts: Column, ends: Column) -> tuple[int, bool]:
    return find_overlap(starts, ends, MOST_BOX_PAIRS) if starts.shape[1] else (0, True)


def _box(
    entries: Entries, i: int, extents: Extents, file: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return start and shape of a slice, which must lie inside its tensor."""
    dims = entries.kinds[i].info.shape
    if len(extents) != len(dims):
        raise _bad_slice(
            entries, i, file, f"{len(dims)} dimensions", f"a slice of {len(extents)} dimensions"
        )
    shape = []
    for (start, length), dim in zip(extents, dims, strict=True):
        size = dim if length is None else length
        if start < 0 or size < 0 or size > dim - start:
            raise _bad_slice(
                entries, i, file, f"the shape {dims}", f"a slice of {size} from {start} on"
            )
        shape.append(size)
    return tuple(start for start, _ in extents), tuple(shape)


def _check_slice(entries: Entries, i: int, found: int, shape: tuple[int, ...], file: str) -> None:
    """Check that the entry of a slice is one of a tensor of its shape and dtype."""
    whole, part = entries.kinds[i], entries.kinds[found]
    if part.number != whole.number or part.info.shape != shape or found in entries.slices:
        raise _bad_slice(
            entries,
            i,
            file,
            f"an undivided slice of shape {shape} and dtype {whole.number}",
            f"one of shape {part.info.shape} and dtype {part.number}",
        )


def _bad_slice(entries: Entries, i: int, file: str, expected: str, found: str) -> CheckpointError:
    return corrupt(
        file,
        "T-10",
        f"a slice does not fit the tensor {entries.keys[i][:80]!r}",
        expected=expected,
        found=found,
    )
