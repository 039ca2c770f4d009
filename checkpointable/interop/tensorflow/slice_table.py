"""One file of version 1: a table of slices, and what it says of the tensors in it (T-15)."""

from __future__ import annotations

import math
from typing import Any, Final, final, overload

import attrs

from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.dtypes import item_size
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import MOST_DIMENSIONS, TENSOR_BYTES
from checkpointable.interop.tensorflow.dtypes import dtype_name
from checkpointable.interop.tensorflow.messages import parse
from checkpointable.interop.tensorflow.packed_values import check_number
from checkpointable.interop.tensorflow.slice_keys import Extents, encode_slice_key
from checkpointable.interop.tensorflow.table import read_block, read_places
from checkpointable.storage.base import ReadableFile

#: What readers of this version are called in a file.
_CONSUMER: Final = 1
#: The length of a slice that goes over the whole dimension, where it is written at all.
_WHOLE: Final = -1
#: What an element of an array of strings takes.
_REFERENCE: Final = 8


@attrs.frozen(slots=True)
class StoredSlice:
    """A slice of a tensor, and where its values are.

    Attributes:
        start: its first position in every dimension of the whole.
        shape: its shape.
        table: the file that holds it.
        block: the handle of the block in which it stands.
        key: its key there.
        extents: as the file has them.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    table: SliceTable
    block: bytes
    key: bytes
    extents: Extents

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@attrs.frozen(slots=True)
class SlicedTensor:
    """What one file says of a tensor.

    Attributes:
        name: its name.
        number: TensorFlow's number of its dtype.
        dtype: the dtype here.
        shape: of the whole.
        slices: those that this file holds, in the order of their keys.
    """

    name: bytes
    number: int
    dtype: str
    shape: tuple[int, ...]
    slices: list[StoredSlice]


@final
class SliceTable:
    """An open file of version 1. Thread-safe.

    Attributes:
        path: its path.
        tensors: what it holds.
    """

    def __init__(self, file: ReadableFile) -> None:
        self.path = file.path
        self._data = _FileBytes(file)
        self._kept: tuple[bytes, dict[bytes, bytes]] = (b"", {})
        self.tensors = self._read_all()

    def value(self, stored: StoredSlice) -> bytes:
        """Return the message that holds a slice, its block verified.

        Raises:
            CorruptCheckpointError: it has been damaged, or replaced in place, meanwhile.
        """
        handle, entries = self._kept
        if handle != stored.block:
            entries = dict(read_block(self._data, stored.block, self.path))
            if len(entries) > 1:  # Then the next value is likely to stand there too.
                self._kept = stored.block, entries
        if stored.key not in entries:
            raise corrupt(self.path, "T-15", "the file was changed meanwhile")
        return entries[stored.key]

    def check(self) -> None:
        """Read the whole file and check it.

        Raises:
            CorruptCheckpointError: it is damaged.
        """
        for _ in read_places(self._data, self.path):
            pass

    def _read_all(self) -> list[SlicedTensor]:
        """Read the whole file: every checksum is checked, values are let go."""
        rows = read_places(self._data, self.path)
        key, value, _ = next(rows, (b"?", b"", b""))
        if key:
            raise corrupt(self.path, "T-15", "the table does not begin with what it holds")
        blocks = {key: (handle, len(value)) for key, value, handle in rows}
        meta = parse("SavedTensorSlices", value, self.path, "the list of tensors").meta
        self._check_version(meta.versions)
        tensors = [self._tensor(tensor, blocks) for tensor in meta.tensor]
        if blocks:
            raise corrupt(
                self.path,
                "T-15",
                "the table holds a slice that its list of tensors does not name",
                found=repr(next(iter(blocks))[:80]),
            )
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise corrupt(self.path, "T-15", "a tensor is listed twice")
        return tensors

    def _check_version(self, versions: Any) -> None:
        if versions.min_consumer > _CONSUMER or _CONSUMER in versions.bad_consumers:
            raise UnsupportedFormatError(
                f"{self.path}: is meant for readers of version {versions.min_consumer} or later,"
                f" expected at most {_CONSUMER} (T-15 of docs/tensorflow-format.md). A newer"
                " TensorFlow has written it: read it there."
            )

    def _tensor(self, meta: Any, blocks: dict[bytes, tuple[bytes, int]]) -> SlicedTensor:
        """Return what the list says of a tensor; its slices are taken out of `blocks`."""
        name, path = meta.name, self.path
        what = f"tensor {name.decode(errors='replace')[:200]!r}"
        check_number(meta.type, path, what)
        dtype = dtype_name(meta.type, path, what)
        shape = tuple(dim.size for dim in meta.shape.dim)
        _check_shape(shape, item_size(dtype), path, what)
        slices = [self._slice(name, shape, given, blocks, what) for given in meta.slice]
        slices.sort(key=lambda stored: stored.key)  # So that each block is read once.
        return SlicedTensor(name, meta.type, dtype, shape, slices)

    def _slice(
        self,
        name: bytes,
        shape: tuple[int, ...],
        given: Any,
        blocks: dict[bytes, tuple[bytes, int]],
        what: str,
    ) -> StoredSlice:
        extents = extents_of(given)
        start, sizes = _box(extents, shape, self.path, what)
        key = encode_slice_key(name, extents)
        block, length = blocks.pop(key, (b"", 0))
        if not block:
            raise corrupt(self.path, "T-15", f"a slice of {what} is missing, or listed twice")
        if math.prod(sizes) > length:  # Each element takes a byte at least.
            raise corrupt(
                self.path,
                "T-15",
                f"a slice of {what} has fewer bytes than elements",
                expected=f"at least {math.prod(sizes)}",
                found=length,
            )
        return StoredSlice(start, sizes, self, block, key, extents)


def extents_of(message: Any) -> Extents:
    """Return the extents of a slice as a message has them."""
    return tuple(
        (e.start, e.length if e.HasField("length") and e.length != _WHOLE else None)
        for e in message.extent
    )


def _check_shape(shape: tuple[int, ...], item: int, file: str, what: str) -> None:
    """Refuse a shape that no array can have."""
    length = math.prod(size or 1 for size in shape) * (item or _REFERENCE)
    if len(shape) > MOST_DIMENSIONS or any(n < 0 for n in shape) or length >= TENSOR_BYTES:
        raise corrupt(file, "T-6", f"the shape of {what} is impossible", found=list(shape[:64]))


def _box(
    extents: Extents, shape: tuple[int, ...], file: str, what: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return start and shape of a slice."""
    if len(extents) == len(shape):
        sizes = tuple(
            size if length is None else length
            for (_, length), size in zip(extents, shape, strict=True)
        )
        start = tuple(begin for begin, _ in extents)
        if all(0 <= b <= b + n <= size for b, n, size in zip(start, sizes, shape, strict=True)):
            return start, sizes
    raise corrupt(
        file,
        "T-10",
        f"a slice of {what} does not lie inside of it",
        expected=f"one inside of {list(shape)}",
        found=list(extents),
    )


@final
class _FileBytes:
    """The bytes of an open file, read when they are asked for."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return self._file.status.size

    @overload
    def __getitem__(self, place: int, /) -> int: ...

    @overload
    def __getitem__(self, place: slice, /) -> memoryview: ...

    def __getitem__(self, place: int | slice, /) -> int | memoryview:
        if not isinstance(place, slice):
            return self[place : place + 1][0]
        start, stop, _ = place.indices(len(self))
        buffer = memoryview(bytearray(max(stop - start, 0)))
        if self._file.read_into(start, buffer) != len(buffer):
            raise corrupt(self._file.path, "T-15", "the file was cut short meanwhile")
        return buffer
