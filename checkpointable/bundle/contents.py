"""The tensors and values of an open checkpoint: read whole, in part, or into live arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from checkpointable.bundle.fetch import Wanted, fetch
from checkpointable.bundle.shards import OpenShards
from checkpointable.bundle.slices import gather, select
from checkpointable.format.boxes import Boxes, divided
from checkpointable.format.content import check_content, is_restricted
from checkpointable.format.dtypes import BYTES, PYTHON, STRING, UNSIZED, numpy_dtype, stored_dtype
from checkpointable.format.index import Index
from checkpointable.format.limits import CHUNK
from checkpointable.format.strings import decode_strings
from checkpointable.format.values import decode_value
from checkpointable.storage.base import ReadableFile

Array = npt.NDArray[Any]

#: How many bytes of a tensor are looked at together when only their content is checked.
_CHECKED_AT_ONCE: Final = 16 * CHUNK


@final
class BundleContents:
    """Reads tensors and values by number. Thread-safe."""

    def __init__(self, index: Index, path: str, files: Sequence[ReadableFile]) -> None:
        tensors = index.tensors
        self._path = path
        self._infos = tensors.infos
        self._inline = index.inline
        self._shards = OpenShards(index.shards, files)
        counts = tensors.extent_counts
        bases = np.array(self._shards.bases, dtype=np.int64)
        places = bases[tensors.extent_shards] + tensors.extent_offsets.astype(np.int64)
        self._counts: list[int] = counts.tolist()
        self._firsts: list[int] = (np.cumsum(counts, dtype=np.int64) - counts).tolist()
        self._begins: list[int] = places.tolist()
        self._lengths: list[int] = tensors.extent_lengths.tolist()
        self._divided: dict[int, Boxes] = {boxes.tensor: boxes for boxes in divided(tensors)}

    def read_into(
        self,
        numbers: Sequence[int],
        targets: Sequence[Array],
        done: list[int],
        *,
        threads: bool = True,
    ) -> None:
        """Read tensors into arrays; see `CheckpointSource.read_into`."""
        direct: list[Wanted] = []
        others: list[tuple[int, int, int, Array]] = []
        is_stored: dict[Any, bool] = {}
        for position, (number, target) in enumerate(zip(numbers, targets, strict=True)):
            dtype = target.dtype
            if dtype not in is_stored:
                is_stored[dtype] = dtype == stored_dtype(self._infos[number].dtype)
            for extent, view in self._extents(number, target):
                begin, length = self._begins[extent], self._lengths[extent]
                if is_stored[dtype] and view.flags.c_contiguous:
                    direct.append(Wanted(begin, length, view, position))
                else:
                    others.append((number, position, extent, view))
        fetch(self._shards, direct, done, threads=threads)
        for number, position, extent, view in others:
            copy = self._read_extent(number, extent, view.shape, threads=threads)
            if position not in done:
                done.append(position)
            view[...] = copy
        for number, target in zip(numbers, targets, strict=True):
            check_content(self._infos[number].dtype, target, self._path)

    def read(self, number: int) -> Array:
        """Return one tensor; see `CheckpointSource.read`."""
        info = self._infos[number]
        if info.dtype == STRING:
            return decode_strings(self._raw(number), info.shape, info.size, self._path)
        if info.dtype in UNSIZED:
            holder: Array = np.empty((), dtype=object)
            holder[()] = self.value(number)
            return holder
        array: Array = np.empty(info.shape, numpy_dtype(info.dtype))
        self.read_into([number], [array], [])
        return array

    def read_slice(self, number: int, index: Any) -> Array:
        """Return a part of one tensor; see `CheckpointSource.read_slice`."""
        info = self._infos[number]
        selection = select(index, info.shape)
        if info.dtype in UNSIZED:
            ascending: Any = (*selection.positions, ...)
            part: Array = self.read(number)[ascending]
            return part[*selection.finish, ...]
        out: Array = np.empty([r.count for r in selection.ranges], numpy_dtype(info.dtype))
        for extent, start, shape in self._boxes(number):
            parts = [
                r.within(begin, begin + size)
                for r, begin, size in zip(selection.ranges, start, shape, strict=True)
            ]
            places: Any = (*(place for place, _ in parts), ...)
            gather(
                out[places],
                shape,
                [r for _, r in parts],
                partial(self._read_elements, info.dtype, self._begins[extent]),
            )
        check_content(info.dtype, out, self._path)
        return out[*selection.finish, ...]

    def value(self, number: int) -> Any:
        """Return a Python value; see `CheckpointSource.value`."""
        if number >= len(self._infos):
            return decode_value(self._inline[number - len(self._infos)], self._path)
        dtype = self._infos[number].dtype
        if dtype == PYTHON:
            return decode_value(self._raw(number), self._path)
        if dtype == BYTES:
            return bytes(self._raw(number))
        raise TypeError(f"value {number} is a tensor of dtype {dtype}, expected a Python value")

    def check(self, number: int) -> None:
        """Check that the bytes of a tensor or value are what its dtype allows (F-25, F-36).

        Raises:
            CorruptCheckpointError: they are not.
        """
        if number >= len(self._infos) or self._infos[number].dtype == PYTHON:
            self.value(number)
            return
        info = self._infos[number]
        if info.dtype == STRING:
            self.read(number)
        elif info.dtype not in UNSIZED and is_restricted(info.dtype):
            dtype = stored_dtype(info.dtype)
            step = max(_CHECKED_AT_ONCE // dtype.itemsize, 1)
            for extent, _, shape in self._boxes(number):
                size = math.prod(shape)
                for first in range(0, size, step):
                    last = min(first + step, size)
                    part = self._read_elements(info.dtype, self._begins[extent], first, last)
                    check_content(info.dtype, part, self._path)

    def _boxes(self, number: int) -> Iterator[tuple[int, Sequence[int], tuple[int, ...]]]:
        """Yield number, start and shape of each extent of a tensor."""
        first, shape = self._firsts[number], self._infos[number].shape
        boxes = self._divided.get(number)
        if boxes is not None:
            rows = zip(boxes.starts.tolist(), boxes.shapes.tolist(), strict=True)
            for i, (start, size) in enumerate(rows):
                yield first + i, start, tuple(size)
        elif self._counts[number]:
            yield first, [0] * len(shape), shape

    def _extents(self, number: int, target: Array) -> Iterable[tuple[int, Array]]:
        """Return number and place in the target of each extent of a tensor."""
        if self._counts[number] == 1:
            return ((self._firsts[number], target),)
        return (
            (extent, target[tuple(slice(b, b + n) for b, n in zip(start, shape, strict=True))])
            for extent, start, shape in self._boxes(number)
        )

    def _read_extent(
        self, number: int, extent: int, shape: tuple[int, ...], *, threads: bool
    ) -> Array:
        copy: Array = np.empty(shape, stored_dtype(self._infos[number].dtype))
        wanted = Wanted(self._begins[extent], self._lengths[extent], copy, 0)
        fetch(self._shards, [wanted], [], threads=threads)
        return copy

    def _read_elements(self, dtype: str, begin: int, first: int, last: int) -> Array:
        """Return the elements between two positions of the extent that begins there."""
        stored = stored_dtype(dtype)
        size = stored.itemsize
        data = self._shards.read_range(begin + first * size, begin + last * size)
        return np.frombuffer(data, np.uint8).view(stored)

    def _raw(self, number: int) -> memoryview:
        """Return the bytes of a tensor without fixed item size."""
        if not self._counts[number]:
            return memoryview(b"")
        extent = self._firsts[number]
        data: Array = np.empty(self._lengths[extent], np.uint8)
        fetch(self._shards, [Wanted(self._begins[extent], len(data), data, 0)], [])
        return data.data
