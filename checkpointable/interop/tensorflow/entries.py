"""What the index of a bundle says: its header (T-5) and an entry for every key (T-6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.errors import CheckpointError, CorruptCheckpointError, UnsupportedFormatError
from checkpointable.format.dtypes import UNSIZED, item_size
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import MOST_DIMENSIONS
from checkpointable.format.records import Column, TensorInfo
from checkpointable.interop.tensorflow.dtypes import dtype_name
from checkpointable.interop.tensorflow.messages import parse, parse_each
from checkpointable.interop.tensorflow.slice_keys import Extents
from checkpointable.interop.tensorflow.strings import ByteOrder
from checkpointable.interop.tensorflow.table import read_table

#: The version of the format that is read here.
_VERSION: Final = 1
#: The length of a slice that goes over the whole dimension, where it is written at all.
_WHOLE: Final = -1
#: What no offset and no length reaches.
_TOO_LARGE: Final = 2**63
_ORDERS: Final[tuple[ByteOrder, ByteOrder]] = ("little", "big")


@attrs.frozen(slots=True)
class Kind:
    """What many entries have in common.

    Attributes:
        number: that of TensorFlow's dtype.
        info: dtype and shape.
        length: the bytes that such a tensor takes; -1 if its dtype does not say.
    """

    number: int
    info: TensorInfo
    length: int


@attrs.frozen(eq=False)
class Entries:
    """The index of a bundle, as columns: one row per key, in the order of the keys.

    Attributes:
        shards: how many data files there are.
        order: the byte order of the data.
        keys: the keys.
        kinds: dtype and shape of each.
        shard: the number of the data file in which each lies,
        offset: from which byte on,
        size: of how many bytes,
        checksum: and with which checksum, masked.
        slices: the slices of each that is stored in slices, and so lies nowhere itself.
    """

    shards: int
    order: ByteOrder
    keys: Sequence[bytes]
    kinds: Sequence[Kind]
    shard: Sequence[int]
    offset: Sequence[int]
    size: Sequence[int]
    checksum: Sequence[int]
    slices: dict[int, Sequence[Extents]]

    def __len__(self) -> int:
        return len(self.keys)


def read_entries(data: memoryview, file: str) -> Entries:
    """Return what an index says, checked but for the lengths of the data files.

    Args:
        data: the whole file.
        file: its name, for messages.

    Raises:
        CorruptCheckpointError: it is no index of a bundle, or is damaged.
        UnsupportedFormatError: it is of a newer version, or has an unknown dtype.
        MissingDependencyError: a package that it takes is not installed.
    """
    table = read_table(data, file)
    shards, order = _read_header(table, file)
    keys: list[bytes] = []
    kinds: list[Kind] = []
    known: dict[tuple[int, bytes], Kind] = {}
    places: tuple[list[int], ...] = ([], [], [], [])
    shard, offset, size, checksum = places
    slices: dict[int, Sequence[Extents]] = {}
    for key, entry in parse_each("StoredEntry", table, file):
        described = entry.dtype, entry.shape
        kind = known.get(described)
        if kind is None:
            kind = known[described] = _kind(*described, file, key)
        parts = entry.slices
        if parts:
            slices[len(keys)] = [_extents(part) for part in parts]
        keys.append(key)
        kinds.append(kind)
        shard.append(entry.shard_id)
        offset.append(entry.offset)
        size.append(entry.size)
        checksum.append(entry.crc32c)
    entries = Entries(shards, order, keys, kinds, shard, offset, size, checksum, slices)
    _check_places(entries, file)
    return entries


def _read_header(table: Iterator[tuple[bytes, bytes]], file: str) -> tuple[int, ByteOrder]:
    """Return the number of data files and the byte order: the value of the empty key, the first."""
    key, value = next(table, (b"", b""))
    if key or not value:
        raise corrupt(file, "T-5", "the index has no header", expected="an empty key", found=key)
    header = parse("BundleHeader", value, file, "the header")
    version = header.version
    if version.min_consumer > _VERSION or _VERSION in version.bad_consumers:
        raise UnsupportedFormatError(
            f"{file}: this checkpoint can be read from version {version.min_consumer} of"
            f" TensorFlow's format on, expected at most {_VERSION} (T-5 of"
            " docs/tensorflow-format.md). Use a newer version of this library."
        )
    if header.num_shards < 1 or header.endianness not in (0, 1):
        raise corrupt(
            file,
            "T-5",
            "the header is impossible",
            expected="a data file and the byte order 0 or 1",
            found=f"{header.num_shards} files and byte order {header.endianness}",
        )
    return header.num_shards, _ORDERS[header.endianness]


def _kind(number: int, dims: bytes, file: str, key: bytes) -> Kind:
    """Return what an entry of that dtype and shape is; refuse what no tensor has."""
    what = f"the tensor {key[:80]!r}"
    shape = tuple(dim.size for dim in parse("TensorShape", dims, file, f"the shape of {what}").dim)
    name = dtype_name(number, file, what)
    item = item_size(name)
    # Where a dimension is 0, numpy still wants the others to fit; of a tensor in slices only the
    # slices need to fit.
    largest = math.prod(dim or 1 for dim in shape) * ((item or 8) if 0 in shape else 1)
    if min(shape, default=0) < 0 or largest >= _TOO_LARGE:
        raise corrupt(
            file,
            "T-6",
            f"{what} has an impossible shape",
            expected=f"dimensions from 0 on, and less than {_TOO_LARGE} elements",
            found=shape[:MOST_DIMENSIONS],
        )
    if len(shape) > MOST_DIMENSIONS:
        raise UnsupportedFormatError(
            f"{file}: {what} has {len(shape)} dimensions, expected at most {MOST_DIMENSIONS} (T-6"
            " of docs/tensorflow-format.md). Reshape it where it was written."
        )
    length = -1 if name in UNSIZED else min(math.prod(shape) * item, _TOO_LARGE - 1)
    return Kind(number, TensorInfo(name, shape), length)


def _extents(part: Any) -> Extents:
    """Return where a slice lies, as it stands in the file."""
    return [
        (e.start, e.length if e.HasField("length") and e.length != _WHOLE else None)
        for e in part.extent
    ]


def _check_places(entries: Entries, file: str) -> None:
    """Check that every tensor that is stored in one piece has a possible place and its length."""
    shard, offset, size = (_column(c) for c in (entries.shard, entries.offset, entries.size))
    length = _column([kind.length for kind in entries.kinds])
    wrong = (shard < 0) | (shard >= entries.shards) | (offset < 0) | (size < 0)
    wrong |= offset > np.iinfo(np.int64).max - np.maximum(size, 0)
    wrong |= (length >= 0) & (size != length)
    wrong[list(entries.slices)] = False
    if wrong.any():
        raise _misplaced(entries, int(np.flatnonzero(wrong)[0]), file)
    for i in np.flatnonzero(length < 0).tolist():
        # Each element takes a byte at least.
        if entries.kinds[i].info.size > entries.size[i] and i not in entries.slices:
            raise _misplaced(entries, i, file)


def _misplaced(entries: Entries, i: int, file: str) -> CorruptCheckpointError:
    kind = entries.kinds[i]
    length = f"at least {kind.info.size}" if kind.length < 0 else f"{kind.length}"
    return corrupt(
        file,
        "T-6",
        f"the tensor {entries.keys[i][:80]!r} has an impossible place",
        expected=f"{length} bytes in one of {entries.shards} data files",
        found=f"{entries.size[i]} bytes from {entries.offset[i]} on in number {entries.shard[i]}",
    )


def check_lengths(entries: Entries, lengths: dict[int, int], file: str) -> CheckpointError | None:
    """Return what is wrong if a tensor lies beyond the end of its data file.

    Args:
        entries: what the index says.
        lengths: of the data files, by number; a tensor in another one is passed over.
        file: the index, for messages.
    """
    ends = _column(entries.offset) + _column(entries.size)
    ends[list(entries.slices)] = 0
    shard = _column(entries.shard)
    for number, length in lengths.items():
        beyond = np.flatnonzero((shard == number) & (ends > length))
        if beyond.size:
            i = int(beyond[0])
            return corrupt(
                file,
                "T-6",
                f"the tensor {entries.keys[i][:80]!r} lies beyond the end of data file {number}",
                expected=f"at least {int(ends[i])} bytes",
                found=length,
            )
    return None


def _column(values: Iterable[int]) -> Column:
    return np.array(list(values), dtype=np.int64)
