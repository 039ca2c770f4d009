"""Indexes made by hand: an encoder that follows docs/format.md and knows nothing of the library.

A test takes the columns of a small valid index, breaks one thing, and seals the result with
right checksums, so that nothing but the rule in question is broken.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import xxhash

NOTHING = 0xFFFFFFFF
MAGIC = bytes.fromhex("93636b70740d0a1a")

#: Number, name, width and count of every column (F-11).
COLUMNS: list[tuple[str, int, str]] = [
    ("name_lengths", 2, "names"),
    ("name_bytes", 1, "name_bytes"),
    ("kinds", 1, "nodes"),
    ("labels", 4, "nodes"),
    ("child_counts", 4, "nodes"),
    ("attribute_counts", 4, "nodes"),
    ("child_nodes", 4, "edges"),
    ("child_names", 4, "edges"),
    ("key_kinds", 1, "edges"),
    ("attribute_names", 4, "attributes"),
    ("attribute_kinds", 1, "attributes"),
    ("attribute_values", 4, "attributes"),
    ("attribute_full_names", 4, "attributes"),
    ("slots", 4, "slots"),
    ("dtype_lengths", 1, "dtypes"),
    ("dtype_bytes", 1, "dtype_bytes"),
    ("dtype_numbers", 4, "tensors"),
    ("ranks", 1, "tensors"),
    ("dims", 8, "dims"),
    ("extent_counts", 4, "tensors"),
    ("extent_shards", 4, "extents"),
    ("extent_offsets", 8, "extents"),
    ("extent_lengths", 8, "extents"),
    ("extent_starts", 8, "extent_dims"),
    ("extent_shapes", 8, "extent_dims"),
    ("inline_lengths", 2, "inline"),
    ("inline_bytes", 1, "inline_bytes"),
    ("metadata", 1, "metadata"),
    ("tokens", 8, "shards"),
    ("chunk_counts", 4, "shards"),
    ("chunk_lengths", 4, "chunks"),
    ("chunk_digests", 1, "chunks"),
]
COUNTS = list(dict.fromkeys(count for _, _, count in COLUMNS))
_PER = {"slots": 4, "chunk_digests": 16}

Columns = dict[str, Any]


def frame(payload: bytes, ordinal: int) -> bytes:
    """Put a payload into a frame with a right checksum (F-6)."""
    body = struct.pack("<I", len(payload)) + payload
    return xxhash.xxh3_128_digest(body, seed=ordinal) + body


def seal_records(records: list[Any], *, end: bool = True) -> bytes:
    """Put records into frames, and the end after them (F-13)."""
    payloads = [r if isinstance(r, bytes) else msgpack.packb(r) for r in records]
    frames = [frame(payload, i) for i, payload in enumerate(payloads)]
    if end:
        digests = xxhash.xxh3_128_digest(b"".join(f[:16] for f in frames))
        frames.append(frame(msgpack.packb([2, len(frames) + 1, digests]), len(frames)))
    return MAGIC + b"".join(frames)


def header(columns: Columns, **changed: Any) -> list[Any]:
    """Return the header of an index with these columns (F-9)."""
    counts: dict[str, int] = {}
    for name, _, count in COLUMNS:
        counts.setdefault(count, len(columns[name]) // _PER.get(name, 1))
    first = {"type": 0, "version": 1, "minimum": 1, "library": "0.1.0"}
    return [changed.get(k, v) for k, v in (first | {c: counts[c] for c in COUNTS}).items()]


def pieces(columns: Columns) -> list[Any]:
    """Return the records of the columns (F-12)."""
    records = []
    for number, (name, width, _) in enumerate(COLUMNS):
        # F-1: "<" is little-endian.
        code = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        data = struct.pack(f"<{len(columns[name])}{code}", *columns[name])
        records += [[1, number, data[i : i + 65520]] for i in range(0, len(data), 65520)]
    return records


def seal(columns: Columns, **changed: Any) -> bytes:
    """Return the index with these columns; tokens are computed unless they are given."""
    columns = dict(columns)
    if columns.get("tokens") is None:
        columns["tokens"] = tokens(columns)
    return seal_records([header(columns, **changed), *pieces(columns)])


def tokens(columns: Columns) -> list[int]:
    """Return the tokens of the shards (F-33)."""
    found, start = [], 0
    for count in columns["chunk_counts"]:
        lengths = columns["chunk_lengths"][start : start + count]
        table = struct.pack(f"<{len(lengths)}I", *lengths)
        table += bytes(columns["chunk_digests"][16 * start : 16 * (start + count)])
        found.append(xxhash.xxh3_64_intdigest(table))
        start += count
    return found


def with_names(columns: Columns, names: list[bytes]) -> Columns:
    """Return the columns with another table of names."""
    return columns | {
        "name_lengths": [len(name) for name in names],
        "name_bytes": list(b"".join(names)),
    }


def with_dtypes(columns: Columns, names: list[bytes]) -> Columns:
    """Return the columns with another table of dtypes."""
    return columns | {
        "dtype_lengths": [len(name) for name in names],
        "dtype_bytes": list(b"".join(names)),
    }


def one_value(
    dtype: str, shape: list[int], length: int, *, chunks: list[int] | None = None
) -> Columns:
    """Return the columns of a checkpoint that holds one array, in one shard."""
    chunks = ([length] if length else []) if chunks is None else chunks
    columns: Columns = {name: [] for name, _, _ in COLUMNS}
    columns |= {
        "kinds": [4],
        "labels": [NOTHING],
        "child_counts": [0],
        "attribute_counts": [1],
        "attribute_names": [0],
        "attribute_kinds": [{"python": 3, "bytes": 4}.get(dtype, 1)],
        "attribute_values": [0],
        "attribute_full_names": [NOTHING],
        "dtype_numbers": [0],
        "ranks": [len(shape)],
        "dims": shape,
        "extent_counts": [1 if length else 0],
        "extent_shards": [0] if length else [],
        "extent_offsets": [0] if length else [],
        "extent_lengths": [length] if length else [],
        "metadata": [0xD6, 2, 0, 0, 0, 0],
        "tokens": None,
        "chunk_counts": [len(chunks)] if chunks else [],
        "chunk_lengths": chunks,
        "chunk_digests": [7] * 16 * len(chunks),
    }
    if dtype == "bytes":
        columns["kinds"] = [0]
    return with_dtypes(with_names(columns, [b"VARIABLE_VALUE"]), [dtype.encode()])


NAMES = [b"VARIABLE_VALUE", b"model", b"items", b"pair", b"table", b"step"]
NAMES += ["größe".encode(), b"7", b"state", b"Model", b"model_w:0", b"momentum"]


def sample() -> Columns:
    """Return the columns of a small checkpoint with everything in it.

    Node 0 is an object with the children model (1, object with a variable and a state),
    items (2, a list of an array and of an item that was not saved), pair (3, a tuple), table (4, a
    dict with a string and an integer key) and step (5, an inline value). Node 10 is a slot
    variable that no edge reaches.
    """
    columns: Columns = {
        "kinds": [0, 0, 1, 2, 3, 4, 4, 4, 4, 4, 0],
        "labels": [9] + [NOTHING] * 10,
        "child_counts": [5, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0],
        "attribute_counts": [0, 2, 0, 0, 0, 1, 1, 1, 1, 1, 1],
        "child_nodes": [1, 2, 3, 4, 5, 6, NOTHING, 7, 8, 9],
        "child_names": [1, 2, 3, 4, 5, NOTHING, NOTHING, NOTHING, 6, 7],
        "key_kinds": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "attribute_names": [0, 8, 0, 0, 0, 0, 0, 0],
        "attribute_kinds": [0, 4, 3, 1, 2, 3, 3, 0],
        "attribute_values": [0, 1, 6, 2, 3, 4, 7, 5],
        "attribute_full_names": [10] + [NOTHING] * 7,
        "slots": [0, 1, 11, 10],
        # 0: float32 (20,), 1: bytes, 2: float64 (2, 3), 3: int8 (), 4: python, 5: float32 (0, 2)
        "dtype_numbers": [0, 1, 2, 3, 4, 0],
        "ranks": [1, 0, 2, 0, 0, 2],
        "dims": [20, 2, 3, 0, 2],
        "extent_counts": [1, 1, 1, 1, 1, 0],
        "extent_shards": [0, 0, 0, 1, 1],
        "extent_offsets": [0, 80, 88, 0, 1],
        "extent_lengths": [80, 5, 48, 1, 9],
        "extent_starts": [],
        "extent_shapes": [],
        "inline_lengths": [1, 1],
        "inline_bytes": [0x05, 0xC0],
        "metadata": [0xD6, 2, 0, 0, 0, 0],
        "tokens": None,
        "chunk_counts": [2, 1],
        "chunk_lengths": [100, 36, 10],
        "chunk_digests": list(range(48)),
    }
    columns = with_names(columns, NAMES)
    return with_dtypes(columns, [b"float32", b"bytes", b"float64", b"int8", b"python"])
