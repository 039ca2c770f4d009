"""Makes files of TensorFlow's first format, naively: protobuf by hand, tables by the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from checkpointable.interop.tensorflow.slice_keys import encode_slice_key
from checkpointable.interop.tensorflow.table_writer import encode_table

Extents = Sequence[tuple[int, int | None]]

#: Number and field of each dtype; whether its values are varints.
FIELDS = {
    "float32": (1, 5, False),
    "float64": (2, 6, False),
    "int32": (3, 7, True),
    "uint8": (4, 7, True),
    "int16": (5, 7, True),
    "int8": (6, 7, True),
    "string": (7, 8, False),
    "complex64": (8, 9, False),
    "int64": (9, 10, True),
    "bool": (10, 11, True),
    "uint16": (17, 7, True),
    "complex128": (18, 12, False),
    "float16": (19, 13, True),
    "uint32": (22, 16, True),
    "uint64": (23, 17, True),
}


def varint(number: int) -> bytes:
    """Return a number of 64 bits, negative ones extended to ten bytes."""
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, data: bytes) -> bytes:
    """Return a field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def count(number: int, value: int) -> bytes:
    """Return a field of a number; nothing if it is 0."""
    return varint(number << 3) + varint(value) if value else b""


def shape_proto(shape: Sequence[int]) -> bytes:
    """Return a TensorShapeProto."""
    return b"".join(field(2, count(1, size)) for size in shape)


def slice_proto(extents: Extents) -> bytes:
    """Return a TensorSliceProto."""
    parts = []
    for start, length in extents:
        part = count(1, start)
        if length is not None:
            part += varint(2 << 3) + varint(length)
        parts.append(field(1, part))
    return b"".join(parts)


def values_proto(dtype: str, array: Any, *, packed: bool = True) -> bytes:
    """Return the TensorProto of some values."""
    _, number, varints = FIELDS[dtype]
    items = np.asarray(array).reshape(-1)
    if dtype == "string":
        return b"".join(field(number, item) for item in items.tolist())
    if not len(items):
        return b""
    if dtype == "float16":
        items = items.view(np.uint16)
    if varints:
        coded = [varint(int(item)) for item in items.tolist()]
        if packed:
            return field(number, b"".join(coded))
        return b"".join(varint(number << 3) + item for item in coded)
    data = items.astype(items.dtype.newbyteorder("<")).tobytes()
    if packed:
        return field(number, data)
    size = 4 if dtype in ("float32", "complex64") else 8
    tag = varint(number << 3 | (5 if size == 4 else 1))
    return b"".join(tag + data[i : i + size] for i in range(0, len(data), size))


class Tensor:
    """One tensor of a file, in slices.

    Args:
        name: its name.
        dtype: its dtype.
        shape: of the whole.
        slices: extents and values of each; values may be a TensorProto.
    """

    def __init__(
        self, name: bytes, dtype: str, shape: Sequence[int], *slices: tuple[Extents, Any]
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.slices = slices

    def meta(self) -> bytes:
        """Return the SavedSliceMeta."""
        parts = [field(1, self.name), field(2, shape_proto(self.shape))]
        parts.append(count(3, FIELDS[self.dtype][0]))
        parts += [field(4, slice_proto(extents)) for extents, _ in self.slices]
        return b"".join(parts)

    def rows(self, *, packed: bool) -> dict[bytes, bytes]:
        """Return the entries of the table."""
        found = {}
        for extents, values in self.slices:
            proto = (
                values
                if isinstance(values, bytes)
                else values_proto(self.dtype, values, packed=packed)
            )
            saved = field(1, self.name) + field(2, slice_proto(extents)) + field(3, proto)
            found[encode_slice_key(self.name, extents)] = field(2, saved)
        return found


def whole(name: bytes, dtype: str, array: Any) -> Tensor:
    """Return a tensor in one slice, as TensorFlow stores what is not partitioned."""
    array = np.asarray(array)
    return Tensor(name, dtype, array.shape, ([(0, None)] * array.ndim, array))


def slice_file(*tensors: Tensor, packed: bool = True, version: bytes = b"\x08\x01") -> bytes:
    """Return a file of version 1."""
    meta = b"".join(field(1, tensor.meta()) for tensor in tensors) + field(2, version)
    rows = {b"": field(1, meta)}
    for tensor in tensors:
        rows |= tensor.rows(packed=packed)
    return table(rows)


def table(rows: dict[bytes, bytes]) -> bytes:
    """Return a table of keys and values."""
    return b"".join(encode_table(sorted(rows.items())))
