"""Writes tables and bundles by hand, odd and damaged ones too; shares nothing with the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import crc32c
import numpy as np

from checkpointable.format.source import CheckpointSource
from checkpointable.interop.tensorflow.source import open_bundle
from tests.bundle.checkpoints import stored

MAGIC: Final = bytes.fromhex("57fb808b247547db")
PATH: Final = "/run/ckpt"
#: A slice: per dimension (start, length); `None` for the whole dimension.
Extents = Sequence[tuple[int, int] | None]

NUMBERS: Final = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6}
NUMBERS.update({"complex64": 8, "int64": 9, "bool": 10, "bfloat16": 14, "float16": 19, "int4": 29})
STRING, VARIANT = 7, 21


def masked(checksum: int) -> int:
    """Return a checksum as it is stored."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def sealed(data: bytes, start: int = 0) -> int:
    """Return the checksum of bytes as it is stored."""
    return masked(crc32c.crc32c(data, start))


def varint(number: int) -> bytes:
    """Return a number of varying length; a negative one has 64 bits."""
    number &= 2**64 - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of a message."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def block(rows: Sequence[tuple[bytes, bytes]], interval: int = 16) -> bytes:
    """Return the contents of a block."""
    out, restarts, last = b"", [0], b""
    for i, (key, value) in enumerate(rows):
        pairs = zip(key, last, strict=False)
        same = min(len(key), len(last))
        shared = next((n for n, (a, b) in enumerate(pairs) if a != b), same) if i % interval else 0
        if i and not i % interval:
            restarts.append(len(out))
        last = key
        out += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
    return out + b"".join(r.to_bytes(4, "little") for r in [*restarts, len(restarts)])


def literal(data: bytes) -> bytes:
    """Return bytes in Snappy's form, nothing of them shortened."""
    out = varint(len(data))
    for start in range(0, len(data), 60):
        part = data[start : start + 60]
        out += bytes([len(part) - 1 << 2]) + part
    return out


def snappy(data: bytes) -> bytes:
    """Return bytes in Snappy's form: copies of each kind where four bytes come again."""
    out, position, seen, plain = varint(len(data)), 0, dict[bytes, int](), b""
    while position < len(data):
        head = data[position : position + 4]
        found = seen.get(head) if len(head) == 4 else None
        seen[head] = position
        if found is None or found == position:
            plain += data[position : position + 1]
            position += 1
            continue
        offset, length = position - found, 4
        while (
            length < 64
            and data[found + length : found + length + 1]
            == data[position + length : position + length + 1]
            != b""
        ):
            length += 1
        out += _literals(plain) + _copy(offset, length)
        plain = b""
        position += length
    return out + _literals(plain)


def _literals(data: bytes) -> bytes:
    """Return literals, in each of the ways to write how long they are."""
    if not data:
        return b""
    if len(data) <= 60:
        return bytes([len(data) - 1 << 2]) + data
    extra = (len(data) - 1).bit_length() + 7 >> 3
    return bytes([59 + extra << 2]) + (len(data) - 1).to_bytes(extra, "little") + data


def _copy(offset: int, length: int) -> bytes:
    if length <= 11 and offset < 2048:
        return bytes([offset >> 8 << 5 | length - 4 << 2 | 1, offset & 255])
    if offset < 65536:
        return bytes([length - 1 << 2 | 2]) + offset.to_bytes(2, "little")
    return bytes([length - 1 << 2 | 3]) + offset.to_bytes(4, "little")


@attrs.frozen
class Style:
    """How a table is written.

    Attributes:
        size: the bytes after which a block ends.
        interval: after how many entries a key is whole.
        compress: how blocks are compressed, if they are.
        kind: the type that they get.
    """

    size: int = 262144
    interval: int = 16
    compress: Callable[[bytes], bytes] | None = None
    kind: int | None = None


def on_disk(contents: bytes, style: Style) -> bytes:
    """Return a block as it stands in the file."""
    kind = style.kind if style.kind is not None else int(style.compress is not None)
    body = (style.compress(contents) if style.compress else contents) + bytes([kind])
    return body + sealed(body).to_bytes(4, "little")


def table(rows: Sequence[tuple[bytes, bytes]], style: Style | None = None) -> bytes:
    """Return a table of rows, in the order in which they are given."""
    style = style or Style()
    groups: list[list[tuple[bytes, bytes]]] = []
    size = style.size
    for key, value in rows:
        if size >= style.size:
            groups.append([])
            size = 0
        groups[-1].append((key, value))
        size += len(key) + len(value)
    out, index = b"", []
    for group in groups:
        data = on_disk(block(group, style.interval), style)
        index.append((group[-1][0], varint(len(out)) + varint(len(data) - 5)))
        out += data
    return finished(out, index, style)


def finished(out: bytes, index: Sequence[tuple[bytes, bytes]], style: Style) -> bytes:
    """Add metaindex, index and footer to blocks."""
    handles = b""
    for contents in (block([]), block(index, 1)):
        data = on_disk(contents, style)
        handles += varint(len(out)) + varint(len(data) - 5)
        out += data
    return out + handles.ljust(40, b"\0") + MAGIC


def header(shards: int = 1, order: int = 0, version: bytes = b"\x08\x01") -> bytes:
    """Return the header of an index."""
    return field(1, shards) + (field(2, order) if order else b"") + field(3, version)


def shape(dims: Sequence[int]) -> bytes:
    """Return a shape."""
    return b"".join(field(2, field(1, dim) if dim else b"") for dim in dims)


def extents(parts: Extents) -> bytes:
    """Return where a slice lies."""
    coded = b""
    for part in parts:
        body = b"" if part is None else (field(1, part[0]) if part[0] else b"") + field(2, part[1])
        coded += field(1, body)
    return coded


@attrs.frozen
class Entry:
    """An entry of an index, each field as it is written."""

    dtype: int = 1
    dims: Sequence[int] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    slices: Sequence[Extents] = ()

    def encode(self) -> bytes:
        """Return the message."""
        out = field(1, self.dtype) + field(2, shape(self.dims))
        for number, value in ((3, self.shard), (4, self.offset), (5, self.size)):
            out += field(number, value) if value else b""
        out += b"\x35" + self.checksum.to_bytes(4, "little") if not self.slices else b""
        return out + b"".join(field(7, extents(parts)) for parts in self.slices)


def strings(items: Sequence[bytes], order: str = "little") -> tuple[bytes, int]:
    """Return a tensor of strings as it is stored, and its checksum."""
    lengths = b"".join(len(item).to_bytes(4, order) for item in items)  # type: ignore[arg-type]
    first = crc32c.crc32c(lengths)
    seal = masked(first).to_bytes(4, order)  # type: ignore[arg-type]
    content = b"".join(items)
    data = b"".join(varint(len(item)) for item in items) + seal + content
    return data, masked(crc32c.crc32c(content, crc32c.crc32c(seal, first)))


def variants(items: Sequence[bytes]) -> tuple[bytes, int]:
    """Return a tensor of variants as it is stored, and its checksum."""
    out, checksum = b"", 0
    for item in items:
        checksum = crc32c.crc32c(len(item).to_bytes(8, "little") + item, checksum)
        seal = masked(checksum).to_bytes(4, "little")
        checksum = crc32c.crc32c(seal, checksum)
        out += varint(len(item)) + item + seal
    return out, masked(checksum)


def slice_key(name: bytes, parts: Extents) -> bytes:
    """Return the key of a slice whose numbers lie between -64 and 63."""
    escaped = b"".join({0: b"\0\xff", 255: b"\xff\0"}.get(b, bytes([b])) for b in name)
    numbers = [n for part in parts for n in ((0, -1) if part is None else part)]
    rank = bytes([1, len(parts)]) if parts else b"\0"
    return b"\0" + escaped + b"\0\1" + rank + bytes(0x80 ^ (n & 255) for n in numbers)


class Maker:
    """Makes a bundle, one tensor after the other."""

    def __init__(self, shards: int = 1, order: str = "little") -> None:
        self.entries: dict[bytes, Entry | bytes] = {}
        self.shards = [b""] * shards
        self.order = order
        self.header = header(shards, int(order == "big"))

    def add(self, key: bytes, value: Any, shard: int = 0) -> Entry:
        """Add a tensor: an array, or a list of bytes, which are strings."""
        if isinstance(value, list):
            data, checksum = strings(value, self.order)
            return self.put(key, Entry(STRING, [len(value)], shard, checksum=checksum), data)
        array = np.asarray(value)
        name = "float32" if array.dtype.name not in NUMBERS else array.dtype.name
        data = np.ascontiguousarray(
            array, array.dtype.newbyteorder(">" if self.order == "big" else "<")
        ).tobytes()
        return self.put(key, Entry(NUMBERS[name], array.shape, shard, checksum=sealed(data)), data)

    def put(self, key: bytes, entry: Entry, data: bytes) -> Entry:
        """Add a tensor of these bytes."""
        offset = len(self.shards[entry.shard])
        self.shards[entry.shard] += data
        entry = attrs.evolve(entry, offset=offset, size=len(data))
        self.entries[key] = entry
        return entry

    def divide(self, key: bytes, array: Any, slices: Sequence[Extents], shard: int = 0) -> None:
        """Add a tensor in slices."""
        self.entries[key] = Entry(NUMBERS[array.dtype.name], array.shape, slices=slices)
        for parts in slices:
            index = tuple(slice(None) if p is None else slice(p[0], sum(p)) for p in parts)
            self.add(slice_key(key, parts), array[index], shard)

    def index(self, style: Style | None = None) -> bytes:
        """Return the index."""
        rows = [
            (key, entry if isinstance(entry, bytes) else entry.encode())
            for key, entry in sorted(self.entries.items())
        ]
        return table([(b"", self.header), *rows], style)

    def files(self, style: Style | None = None) -> dict[str, bytes]:
        """Return the files."""
        count = len(self.shards)
        named = {f"{PATH}.data-{i:05d}-of-{count:05d}": data for i, data in enumerate(self.shards)}
        return {f"{PATH}.index": self.index(style), **named}

    def open(self, style: Style | None = None) -> CheckpointSource:
        """Open the bundle."""
        return opened(self.files(style))


def opened(files: Mapping[str, bytes]) -> CheckpointSource:
    """Open the bundle in these files."""
    return open_bundle(stored(files), PATH)
