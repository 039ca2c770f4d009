"""Reads the checkpoints of TensorFlow's first format: one file, or several, of slices (T-15).

Each file is complete in itself and says what it holds; together they make one name-based
checkpoint. All checksums are checked when it is opened, and those of a block again when something
in it is read. Of the values, one stored slice is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, final

import numpy as np
import numpy.typing as npt

from checkpointable.bundle.lifetime import Lifetime
from checkpointable.bundle.slices import Range, select
from checkpointable.bundle.verify import finding_of
from checkpointable.errors import CorruptCheckpointError, StorageError
from checkpointable.format.dtypes import numpy_dtype
from checkpointable.format.frame import corrupt
from checkpointable.format.records import TensorInfo
from checkpointable.format.source import CheckpointSource, Finding
from checkpointable.interop.tensorflow.messages import parse
from checkpointable.interop.tensorflow.packed_values import unpack
from checkpointable.interop.tensorflow.slice_table import (
    SlicedTensor,
    SliceTable,
    StoredSlice,
    extents_of,
)
from checkpointable.storage.base import ReadableFile, Storage

Array = npt.NDArray[Any]


def open_slice_files(storage: Storage, path: str, files: Sequence[str]) -> CheckpointSource:
    """Open a checkpoint of TensorFlow's first format.

    Args:
        storage: where it is.
        path: what the user calls it.
        files: its files: one, or all of a sharded set.

    Raises:
        CheckpointNotFoundError: a file is not there.
        CorruptCheckpointError: a file is damaged, or two do not belong together.
        MissingDependencyError: a package that this takes is not installed.
        UnsupportedFormatError: a file is for newer readers, or has an unknown dtype.
        StorageError: the storage failed.
    """
    with ExitStack() as stack:
        opened = []
        for file in files:
            opened.append(storage.open_read(file))
            stack.callback(opened[-1].close)
        source = SliceSource(storage, path, opened)
        stack.pop_all()
    return source


@final
class SliceSource(CheckpointSource):
    """An open checkpoint of TensorFlow's first format. Thread-safe."""

    def __init__(self, storage: Storage, path: str, files: Sequence[ReadableFile]) -> None:
        self.path = path
        self.format = "tensorflow"
        self.tells_text = False
        self.graph = None
        self.metadata = {}
        self._storage = storage
        self._files = files
        self._tables = [SliceTable(file) for file in files]
        self._tensors = _together(self._tables)
        self.tensors = [TensorInfo(tensor.dtype, tensor.shape) for tensor in self._tensors]
        names = [t.name.decode("utf-8", "surrogateescape") for t in self._tensors]
        self.names = {name: (number,) for number, name in enumerate(names)}
        self.keys = {name: number for number, name in enumerate(names)}
        self._life = Lifetime(path, self._close_files)
        self._last: tuple[StoredSlice, Array] | None = None

    def new_array(self, number: int) -> Array:
        """Return a new array to read a tensor into, if all its slices are there."""
        self._check_filled(self._tensors[number], _all(self._tensors[number].shape))
        return super().new_array(number)

    def read_into(
        self,
        numbers: Sequence[int],
        targets: Sequence[Array],
        done: list[int] | None = None,
        *,
        threads: bool = True,
    ) -> None:
        """Read tensors straight into arrays, one slice after the other."""
        noted = [] if done is None else done
        with self._life.reading():
            for number in numbers:
                self._check_filled(self._tensors[number], _all(self._tensors[number].shape))
            for position, (number, target) in enumerate(zip(numbers, targets, strict=True)):
                for i, stored in enumerate(self._tensors[number].slices):
                    values = self._values(self._tensors[number], stored)
                    if not i:
                        noted.append(position)
                    target[_place(stored)] = values

    def read(self, number: int) -> Array:
        """Return one tensor as a new array; strings as bytes."""
        with self._life.reading():
            tensor = self._tensors[number]
            return self._gather(tensor, _all(tensor.shape), keep=False)

    def read_slice(self, number: int, index: Any) -> Array:
        """Return a part of one tensor, out of the stored slices in which it lies."""
        with self._life.reading():
            tensor = self._tensors[number]
            selection = select(index, tensor.shape)
            part = self._gather(tensor, selection.ranges, keep=True)
            return part[*selection.finish, ...]

    def value(self, number: int) -> Any:
        """Refuse: there are no Python values in these files."""
        raise TypeError(f"value {number} is a tensor, expected a Python value")

    def verify(self) -> list[Finding]:
        """Read every byte of the open files and return what is wrong."""
        findings: list[Finding] = []
        with self._life.reading():
            for table in self._tables:
                try:
                    table.check()
                except (CorruptCheckpointError, StorageError) as error:
                    findings.append(finding_of(error, table.path))
            for tensor in [] if findings else self._tensors:
                try:
                    self._check(tensor)
                except (CorruptCheckpointError, StorageError) as error:
                    findings.append(finding_of(error, self.path))
        return findings

    def unchanged(self) -> bool:
        """Tell whether the paths still lead to these very files."""
        return all(self._storage.status(file.path) == file.status for file in self._files)

    def close(self) -> None:
        """Close the files, once the reads in progress have ended."""
        self._life.end()

    @property
    def closed(self) -> bool:
        """Whether the files are closed."""
        return self._life.ended

    def _check(self, tensor: SlicedTensor) -> None:
        self._check_filled(tensor, _all(tensor.shape))
        for stored in tensor.slices:
            self._values(tensor, stored)

    def _gather(self, tensor: SlicedTensor, ranges: Sequence[Range], *, keep: bool) -> Array:
        """Return the selected elements, in ascending order, out of the slices that have some."""
        self._check_filled(tensor, ranges)
        out: Array = np.empty([r.count for r in ranges], numpy_dtype(tensor.dtype))
        for stored in tensor.slices:
            place, within = _overlap(stored, ranges)
            if all(r.count for r in within):
                values = self._kept_values(tensor, stored) if keep else self._values(tensor, stored)
                chosen: Any = tuple(
                    slice(r.start, r.start + r.count * r.step, r.step) for r in within
                )
                target: Any = (*place, ...)
                out[target] = values[*chosen, ...]
        return out

    def _check_filled(self, tensor: SlicedTensor, ranges: Sequence[Range]) -> None:
        """Check that each selected element lies in one slice, before room for them is made."""
        places = [_overlap(stored, ranges) for stored in tensor.slices]
        counts = [math.prod(r.count for r in within) for _, within in places]
        wanted = math.prod(r.count for r in ranges)
        if sum(counts) == wanted and sum(count > 0 for count in counts) <= 1:
            return
        if sum(counts) == wanted:
            # No more elements than are stored, so this takes no more memory than they do.
            filled = np.zeros([r.count for r in ranges], bool)
            for place, _ in places:
                filled[place] = True
            if filled.all():
                return
        raise corrupt(
            self.path,
            "T-10",
            f"the slices of tensor {tensor.name.decode(errors='replace')[:200]!r} do not fill"
            " what is read, each element once",
            expected=f"{wanted} elements",
            found=sum(counts),
        )

    def _kept_values(self, tensor: SlicedTensor, stored: StoredSlice) -> Array:
        """Return the values of a slice, which are kept until those of another are asked for."""
        last = self._last
        if last is None or last[0] is not stored:
            last = self._last = stored, self._values(tensor, stored)
        return last[1]

    def _values(self, tensor: SlicedTensor, stored: StoredSlice) -> Array:
        """Return the values of a slice."""
        file = stored.table.path
        what = f"a slice of tensor {tensor.name.decode(errors='replace')[:200]!r}"
        value = stored.table.value(stored)
        saved = parse("SavedTensorSlices", value, file, what).data
        if saved.name != tensor.name or extents_of(saved.slice) != stored.extents:
            raise corrupt(file, "T-15", f"under the key of {what} there is something else")
        values = unpack(saved.data, tensor.number, stored.size, file, what)
        return values.reshape(stored.shape)

    def _close_files(self) -> None:
        self._last = None
        for file in self._files:
            file.close()


def _together(tables: Sequence[SliceTable]) -> list[SlicedTensor]:
    """Return the tensors of all files in the order of their names, each with all its slices."""
    found: dict[bytes, SlicedTensor] = {}
    for table in tables:
        for tensor in table.tensors:
            known = found.setdefault(tensor.name, tensor)
            if known is tensor:
                continue
            if (known.number, known.shape) != (tensor.number, tensor.shape):
                raise corrupt(
                    table.path,
                    "T-15",
                    f"another file says something else of tensor {tensor.name!r}",
                    expected=f"{known.dtype} {list(known.shape)}",
                    found=f"{tensor.dtype} {list(tensor.shape)}",
                )
            known.slices.extend(tensor.slices)
    return [found[name] for name in sorted(found)]


def _all(shape: tuple[int, ...]) -> list[Range]:
    return [Range(0, size) for size in shape]


def _place(stored: StoredSlice) -> tuple[Any, ...]:
    return (*(slice(b, b + n) for b, n in zip(stored.start, stored.shape, strict=True)), ...)


def _overlap(stored: StoredSlice, ranges: Sequence[Range]) -> tuple[tuple[slice, ...], list[Range]]:
    """Return where in a selection the elements of a slice stand, and which of its own they are."""
    rows = zip(ranges, stored.start, stored.shape, strict=True)
    parts = [r.within(begin, begin + size) for r, begin, size in rows]
    return tuple(place for place, _ in parts), [r for _, r in parts]
