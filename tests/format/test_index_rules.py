"""Every rule of the index: what breaks it is refused by number, with right checksums all around."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgpack
import pytest

from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from checkpointable.format.index import decode_index
from tests.format.indexes import (
    NAMES,
    NOTHING,
    Columns,
    frame,
    header,
    one_value,
    pieces,
    sample,
    seal,
    seal_records,
    with_dtypes,
    with_names,
)

MAGIC = bytes.fromhex("93636b70740d0a1a")


def put(name: str, position: int, value: int) -> Callable[[], bytes]:
    """Return an index of which one element of one column is replaced."""

    def make() -> bytes:
        columns = sample()
        columns[name] = list(columns[name])
        columns[name][position] = value
        return seal(columns)

    return make


def labelled(label: int, name: str, position: int, value: int) -> Callable[[], bytes]:
    """Return an index as `put` does, in which the name that is replaced is used as a label."""

    def make() -> bytes:
        columns = sample()
        columns["labels"] = [9, label, *columns["labels"][2:]]
        columns[name] = list(columns[name])
        columns[name][position] = value
        return seal(columns)

    return make


def change(**changed: Any) -> Callable[[], bytes]:
    """Return an index of which whole columns are replaced."""
    return lambda: seal(sample() | changed)


def single(dtype: str, shape: list[int], length: int, **changed: Any) -> Callable[[], bytes]:
    """Return an index with one array of which whole columns are replaced."""
    return lambda: seal(one_value(dtype, shape, length) | changed)


def names(*changed: bytes) -> Callable[[], bytes]:
    """Return an index with these names in the place of the last ones."""
    return lambda: seal(with_names(sample(), [*NAMES[: -len(changed)], *changed]))


def dtypes(*names: bytes) -> Callable[[], bytes]:
    """Return an index with another table of dtypes."""
    return lambda: seal(with_dtypes(sample(), list(names)))


def raw(make: Callable[[Columns], bytes]) -> Callable[[], bytes]:
    """Return an index sealed by hand."""
    return lambda: make(sample() | {"tokens": [0, 0]})


def edges(**changed: Any) -> Callable[[], bytes]:
    """Return an index whose root is a list of two values, with more edges."""
    columns = sample() | {
        "kinds": [1, 4, 4, 4],
        "labels": [NOTHING] * 4,
        "child_counts": [3, 0, 0, 0],
        "attribute_counts": [0, 1, 1, 1],
        "child_nodes": [1, 2, 3],
        "child_names": [NOTHING, NOTHING, 1],
        "key_kinds": [0, 0, 0],
        "attribute_names": [0, 0, 0],
        "attribute_kinds": [3, 3, 3],
        "attribute_values": [0, 1, 2],
        "attribute_full_names": [NOTHING] * 3,
        "slots": [],
        "inline_lengths": [1, 1, 1],
        "inline_bytes": [1, 2, 3],
    }
    for name in (
        *("dtype_lengths", "dtype_bytes", "dtype_numbers", "ranks", "dims", "extent_counts"),
        *("extent_shards", "extent_offsets", "extent_lengths", "chunk_counts", "chunk_lengths"),
        *("chunk_digests", "tokens"),
    ):
        columns[name] = []
    columns = with_names(columns, changed.pop("names", [b"VARIABLE_VALUE", b"more"]))
    return lambda: seal(columns | changed)


def named(**changed: Any) -> Callable[[], bytes]:
    """Return the index of a name-based checkpoint of two empty arrays, with columns replaced."""
    columns = sample() | {
        "kinds": [5, 4, 4],
        "labels": [NOTHING] * 3,
        "child_counts": [2, 0, 0],
        "attribute_counts": [0, 1, 1],
        "child_nodes": [1, 2],
        "child_names": [1, 2],
        "key_kinds": [0, 0],
        "attribute_names": [0, 0],
        "attribute_kinds": [1, 1],
        "attribute_values": [0, 1],
        "attribute_full_names": [NOTHING] * 2,
        "slots": [],
        "dtype_numbers": [0, 0],
        "ranks": [1, 1],
        "dims": [0, 0],
        "extent_counts": [0, 0],
    }
    for name in (
        *("extent_shards", "extent_offsets", "extent_lengths", "chunk_counts", "chunk_lengths"),
        *("chunk_digests", "tokens", "inline_lengths", "inline_bytes"),
    ):
        columns[name] = []
    if "child_nodes" in changed:
        changed |= {"child_names": [1, 2, 3], "key_kinds": [0, 0, 0]}
    texts = [b"VARIABLE_VALUE", b"a/b", b"c", b"d"][: 4 if "child_nodes" in changed else 3]
    columns = with_dtypes(with_names(columns, texts), [b"int8"])
    return lambda: seal(columns | changed)


def divided(boxes: list[tuple[list[int], list[int]]], shape: list[int]) -> Callable[[], bytes]:
    """Return an index with one int8 tensor in several extents of one shard."""
    lengths, offsets, end = [], [], 0
    for _, size in boxes:
        length = 1
        for n in size:
            length *= n
        align = 64 if length >= 64 else 1
        offsets.append(-(-end // align) * align)
        lengths.append(length)
        end = offsets[-1] + length
    columns = one_value("int8", shape, end) | {
        "extent_counts": [len(boxes)],
        "extent_shards": [0] * len(boxes),
        "extent_offsets": offsets,
        "extent_lengths": lengths,
        "extent_starts": [n for start, _ in boxes for n in start],
        "extent_shapes": [n for _, size in boxes for n in size],
    }
    return lambda: seal(columns)


def swapped(data: bytes) -> bytes:
    """Return an index of which two frames are swapped, as they are."""
    cuts = [8]
    while cuts[-1] < len(data):
        cuts.append(cuts[-1] + 20 + int.from_bytes(data[cuts[-1] + 16 : cuts[-1] + 20], "little"))
    frames = [data[a:b] for a, b in pairwise(cuts)]
    return MAGIC + b"".join([frames[0], frames[2], frames[1], *frames[3:]])


def chain(first: list[Any], columns: Columns, *more: Any) -> bytes:
    """Return an index with this header and the columns of another."""
    return seal_records([first, *pieces(columns), *more])


BROKEN: dict[str, Callable[[], bytes]] = {
    # Frames and records
    "F-5 an empty file": lambda: b"",
    "F-5 another magic": lambda: b"\x93ckpt\n\n\x1a" + seal(sample())[8:],
    "F-6 a frame cut short": lambda: seal(sample())[:-1],
    "F-6 a byte too many": lambda: seal(sample()) + b"\0",
    "F-6 a wrong checksum": lambda: MAGIC + bytes(16) + seal(sample())[24:],
    "F-6 an empty payload": lambda: MAGIC + frame(b"", 0),
    "F-6 a payload too long": lambda: MAGIC + frame(msgpack.packb([b"x" * 65534]), 0),
    "F-6 two frames swapped": lambda: swapped(seal(sample())),
    "F-7 no MessagePack": lambda: seal_records([b"\xc1"]),
    "F-7 no array": lambda: seal_records([b"\x05"]),
    "F-7 an empty array": lambda: seal_records([[]]),
    "F-7 a nested array": lambda: seal_records([[0, []]]),
    "F-7 deep nesting": lambda: seal_records([b"\x91" * 60_000 + b"\xc0"]),
    "F-7 a map": lambda: seal_records([[0, {}]]),
    "F-7 an extension": lambda: seal_records([b"\x92\x00\xd4\x01\x00"]),
    "F-7 a timestamp": lambda: seal_records([b"\x92\x00\xd6\xff\x00\x00\x00\x00"]),
    "F-7 a float": lambda: seal_records([[0, 1.0]]),
    "F-7 a boolean": lambda: seal_records([[0, True]]),
    "F-7 invalid UTF-8": lambda: seal_records([b"\x92\x00\xa1\xff"]),
    "F-7 an integer that is not in its shortest form": lambda: seal_records([b"\x91\xcc\x00"]),
    "F-7 bytes after the record": lambda: seal_records([b"\x91\x00\x00"]),
    "F-7 an array of 2^31 elements": lambda: seal_records([b"\xdd\x80\x00\x00\x00"]),
    "F-8 no frame": lambda: MAGIC,
    "F-8 a column first": lambda: seal_records(pieces(sample() | {"tokens": [0, 0]})),
    "F-8 a header in the wrong form": lambda: seal_records([[0, "1", 1, "0.1.0"]]),
    "F-8 a record of unknown type": raw(lambda c: chain(header(c), c, [3])),
    "F-8 two headers": raw(lambda c: seal_records([header(c), header(c), *pieces(c)])),
    "F-8 a frame after the end": raw(
        lambda c: chain(header(c), c) + frame(b"\x91\x02", len(pieces(c)) + 2)
    ),
    "F-9 a header without counts": lambda: seal_records([[0, 1, 1, "0.1.0"]]),
    "F-9 a header too long": raw(lambda c: chain([*header(c), 0], c)),
    "F-9 a negative count": raw(lambda c: chain(header(c, edges=-1), c)),
    "F-9 a count that is a text": raw(lambda c: chain(header(c, edges="1"), c)),
    "F-9 a count of 2^32 - 1": raw(lambda c: chain(header(c, nodes=NOTHING), c)),
    "F-9 a count of 2^64 - 1": raw(lambda c: chain(header(c, nodes=2**64 - 1), c)),
    "F-9 no node": raw(lambda c: chain(header(c, nodes=0), c)),
    "F-9 a long version of the library": raw(lambda c: chain(header(c, library="x" * 65), c)),
    "F-10 version 0": raw(lambda c: chain(header(c, version=0, minimum=0), c)),
    "F-10 minimum version 0": raw(lambda c: chain(header(c, minimum=0), c)),
    "F-10 a minimum above the version": raw(lambda c: chain(header(c, version=0, minimum=1), c)),
    "F-12 a billion tensors": raw(lambda c: chain(header(c, tensors=10**9), c)),
    "F-12 a column missing": raw(lambda c: seal_records([header(c), *pieces(c)[:-1]])),
    "F-12 columns out of order": raw(lambda c: seal_records([header(c), *pieces(c)[::-1]])),
    "F-12 a column twice": raw(lambda c: seal_records([header(c), *pieces(c), pieces(c)[-1]])),
    "F-12 an unknown column": raw(lambda c: chain(header(c), c, [1, 32, b""])),
    "F-12 a column record without bytes": raw(lambda c: chain(header(c), c, [1, 0])),
    "F-12 a column of text": raw(lambda c: seal_records([header(c), [1, 0, "a"]])),
    "F-12 a piece in two": raw(
        lambda c: seal_records([header(c), [1, 0, bytes(2)], [1, 0, bytes(22)], *pieces(c)[1:]])
    ),
    "F-13 no end": raw(lambda c: seal_records([header(c), *pieces(c)], end=False)),
    "F-13 a wrong number of frames": raw(
        lambda c: seal_records([header(c), *pieces(c), [2, 3, bytes(16)]], end=False)
    ),
    "F-13 an end without digest": raw(
        lambda c: seal_records([header(c), *pieces(c), [2]], end=False)
    ),
    # Names
    "F-14 lengths that do not sum up": put("name_lengths", 0, 15),
    "F-14 invalid UTF-8": names(b"\xff" + b"momentu"),
    "F-14 a surrogate": names(b"\xed\xa0\x80"),
    "F-14 a name cut in a character": lambda: seal(
        with_names(sample(), NAMES) | {"name_lengths": [14, 5, 5, 4, 5, 5, 3, 5, 5, 5, 9, 8]}
    ),
    "F-14 a name twice": names(b"model"),
    "F-14 a name that is not used": lambda: seal(with_names(sample(), [*NAMES, b"more"])),
    "F-14 a local name of 4,097 bytes": lambda: seal(
        with_names(sample(), [NAMES[0], b"x" * 4097, *NAMES[2:]])
    ),
    "F-14 the name of an attribute too long": lambda: seal(
        with_names(sample(), [*NAMES[:8], b"x" * 4097, *NAMES[9:]])
    ),
    "F-14 the name of a slot too long": names(b"x" * 4097),
    # The graph
    "F-15 numbers of children": put("child_counts", 1, 1),
    "F-15 numbers of children that overflow": put("child_counts", 1, NOTHING),
    "F-15 numbers of attributes": put("attribute_counts", 0, 1),
    "F-16 a label": put("labels", 0, 12),
    "F-16 a child": put("child_nodes", 0, 11),
    "F-16 a local name": put("child_names", 0, 12),
    "F-16 the name of an attribute": put("attribute_names", 1, 12),
    "F-16 an attribute without name": put("attribute_names", 0, NOTHING),
    "F-16 a value": put("attribute_values", 0, 8),
    "F-16 a global name": put("attribute_full_names", 0, 12),
    "F-16 the optimizer of a slot": put("slots", 0, 11),
    "F-16 the name of a slot": change(slots=[0, 1, 11, 10, 0, 1, NOTHING, 10]),
    "F-17 the kind of a node": put("kinds", 0, 6),
    "F-17 the kind of a key": put("key_kinds", 0, 2),
    "F-17 the kind of an attribute": put("attribute_kinds", 0, 6),
    "F-18 a node that is not reached": put("child_nodes", 9, 8),
    "F-18 a slot variable that is not reached": put("slots", 3, 9),
    "F-18 nodes in another order": change(child_nodes=[2, 1, 3, 4, 5, 6, NOTHING, 7, 8, 9]),
    "F-18 a node that reaches itself alone": edges(
        kinds=[1, 4, 4, 0],
        child_counts=[2, 0, 0, 1],
        attribute_counts=[0, 1, 1, 0],
        attribute_names=[0, 0],
        attribute_kinds=[3, 3],
        attribute_values=[0, 1],
        attribute_full_names=[NOTHING] * 2,
        inline_lengths=[1, 1],
        inline_bytes=[1, 2],
    ),
    "F-19 an item of a list with a name": put("child_names", 5, 6),
    "F-19 a child of an object without name": labelled(1, "child_names", 0, NOTHING),
    "F-19 a key of a dict without name": labelled(6, "child_names", 8, NOTHING),
    "F-19 a tuple with and without names": change(
        child_counts=[5, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0],
        child_nodes=[1, 2, 3, 4, 5, 6, 1, 7, 8, 9],
        child_names=[1, 2, 3, 4, 5, NOTHING, 1, NOTHING, 6, 7],
    ),
    "F-19 a child of an object that was not saved": change(
        child_counts=[5, 0, 2, 1, 3, 0, 0, 0, 0, 0, 0],
        child_nodes=[1, 2, 3, 4, 5, 6, NOTHING, 7, 8, 9, NOTHING],
        child_names=[1, 2, 3, 4, 5, NOTHING, NOTHING, NOTHING, 6, 7, 1],
        key_kinds=[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    ),
    "F-19 a root list with items after names": edges(child_names=[NOTHING, 1, NOTHING]),
    "F-20 two children with one name": labelled(2, "child_names", 1, 1),
    "F-20 a name that is a position": edges(names=[b"VARIABLE_VALUE", b"1"]),
    "F-21 an integer key of an object": put("key_kinds", 0, 1),
    "F-21 an integer key that is no integer": put("key_kinds", 8, 1),
    "F-21 an integer key with a leading zero": lambda: seal(
        with_names(sample(), [*NAMES[:7], b"07", *NAMES[8:]])
    ),
    "F-21 a negative zero": lambda: seal(with_names(sample(), [*NAMES[:7], b"-0", *NAMES[8:]])),
    "F-22 two attributes with one name": labelled(8, "attribute_names", 1, 0),
    "F-45 names below the root": put("kinds", 1, 5),
    "F-45 an attribute of the root": put("kinds", 0, 5),
    "F-45 two names for one array": named(child_nodes=[1, 2, 1], child_counts=[3, 0, 0]),
    "F-45 a name for an object": named(kinds=[5, 0, 4]),
    "F-45 a name for a scalar": named(attribute_kinds=[1, 2]),
    "F-45 a second name": named(attribute_full_names=[NOTHING, 1]),
    "F-45 a slot variable": named(slots=[1, 2, 1, 0]),
    "F-22 an attribute of a list": put("kinds", 1, 1),
    "F-22 a value without attribute": change(
        attribute_counts=[0, 3, 0, 0, 0, 0, 1, 1, 1, 1, 1],
        attribute_names=[0, 8, 11, 0, 0, 0, 0, 0],
    ),
    "F-22 a value with children": put("kinds", 0, 4),
    "F-22 a value under another name": put("attribute_names", 2, 11),
    "F-22 a value of the kind variable": put("attribute_kinds", 3, 0),
    "F-23 a value of two attributes": put("attribute_values", 0, 2),
    "F-23 a variable that is opaque bytes": change(attribute_values=[1, 0, 6, 2, 3, 4, 7, 5]),
    "F-23 a plain value that is an array": put("attribute_kinds", 3, 3),
    "F-23 an array that is an inline value": put("attribute_kinds", 2, 1),
    "F-24 a slot variable of itself": put("slots", 1, 10),
    "F-24 a slot variable of a slot variable": change(slots=[0, 1, 11, 10, 0, 10, 11, 9]),
    "F-24 an optimizer to which no edge leads": change(slots=[0, 1, 11, 10, 10, 1, 11, 9]),
    "F-24 two slot variables of one name": change(slots=[0, 1, 11, 10, 0, 1, 11, 9]),
    # Tensors
    "F-25 lengths that do not sum up": put("dtype_lengths", 0, 6),
    "F-25 an unknown dtype": dtypes(b"float33", b"bytes", b"float64", b"int8", b"python"),
    "F-25 dtype object": single("O", [1], 8),
    "F-25 dtype void": single("V8", [1], 8),
    "F-25 a structure": single("<f8,<i4", [1], 12),
    "F-25 a sub-array": single("(1000000,)<f8", [1], 8),
    "F-25 a spelling with byte order": single(">f4", [1], 4),
    "F-25 a number with a leading zero": single("S07", [1], 7),
    "F-25 text without length": single("U0", [1], 4),
    "F-25 text too long": single("U536870912", [0], 0),
    "F-25 a unit with factor 1": single("datetime64[1s]", [1], 8),
    "F-25 an unknown unit": single("datetime64[x]", [1], 8),
    "F-25 a dtype that is not ASCII": single("größe", [1], 8),
    "F-25 a dtype twice": dtypes(b"float32", b"float32", b"float64", b"int8", b"python"),
    "F-25 a dtype that is not used": dtypes(
        b"float32", b"bytes", b"float64", b"int8", b"python", b"int16"
    ),
    "F-25 a dtype out of range": put("dtype_numbers", 2, 5),
    "F-25 opaque bytes with dimensions": single("bytes", [5], 5),
    "F-25 a value with dimensions": single("python", [1], 5),
    "F-26 33 dimensions": single("int8", [1] * 33, 1),
    "F-26 ranks that do not sum up": put("ranks", 1, 1),
    "F-26 numbers of extents that do not sum up": put("extent_counts", 5, 1),
    "F-26 a product that overflows": single("int8", [2**40, 2**40], 1),
    "F-26 an empty tensor too large": single("float32", [0, 2**62], 0),
    "F-26 a negative dimension": single("int8", [2**64 - 1], 1),
    "F-26 a tensor of 2^63 bytes": single("int8", [2**62, 2], 1),
    "F-27 an extent too short": single("float32", [5], 16),
    "F-27 an extent too long": single("float32", [5], 24),
    "F-27 an empty tensor with an extent": single("float32", [0], 4),
    "F-27 a tensor without extent": single("float32", [5], 0),
    "F-27 a value without extent": single("python", [], 0),
    "F-27 strings without extent": single("string", [2], 0),
    "F-27 an extent of length 0": single("bytes", [], 5, extent_lengths=[0]),
    "F-28 a tensor of rank 0 in two extents": divided([([], []), ([], [])], []),
    "F-28 strings in two extents": lambda: seal(
        one_value("string", [2], 20)
        | {
            "extent_counts": [2],
            "extent_shards": [0, 0],
            "extent_offsets": [0, 10],
            "extent_lengths": [10, 10],
            "extent_starts": [0, 1],
            "extent_shapes": [1, 1],
        }
    ),
    "F-28 dimensions of extents without need": single(
        "int8", [4], 4, extent_starts=[0], extent_shapes=[4]
    ),
    "F-28 a hole": divided([([0], [2]), ([3], [1])], [4]),
    "F-28 an overlap": divided([([0], [3]), ([1], [1])], [4]),
    "F-28 boxes with the right sum that overlap": divided(
        [([0, 0], [2, 2]), ([0, 2], [1, 1]), ([1, 1], [2, 2])], [3, 3]
    ),
    "F-28 a box outside": divided([([0], [2]), ([2], [3])], [4]),
    "F-28 a box that begins beyond 2^63": divided([([0], [2]), ([2**64 - 1], [2])], [4]),
    "F-28 an empty box": lambda: seal(
        one_value("int8", [4], 4)
        | {
            "extent_counts": [2],
            "extent_shards": [0, 0],
            "extent_offsets": [0, 1],
            "extent_lengths": [1, 3],
            "extent_starts": [0, 0],
            "extent_shapes": [0, 4],
        }
    ),
    "F-28 rows that are not sorted": divided([([2], [2]), ([0], [2])], [4]),
    "F-28 columns that are not sorted": divided([([0, 2], [2, 2]), ([0, 0], [2, 2])], [2, 4]),
    "F-28 a box with a wrong length": lambda: seal(
        one_value("int8", [4], 4)
        | {
            "extent_counts": [2],
            "extent_shards": [0, 0],
            "extent_offsets": [0, 1],
            "extent_lengths": [1, 3],
            "extent_starts": [0, 2],
            "extent_shapes": [2, 2],
        }
    ),
    "F-29 a shard that does not exist": put("extent_shards", 4, 2),
    "F-29 an end beyond the shard": put("extent_lengths", 4, 10),
    "F-29 an offset of 2^64 - 1": put("extent_offsets", 4, 2**64 - 1),
    "F-29 a length of 2^64 - 1": put("extent_lengths", 4, 2**64 - 1),
    "F-29 extents that overlap": put("extent_offsets", 1, 79),
    "F-29 a hole between extents": change(
        extent_offsets=[0, 81, 88, 0, 1], extent_lengths=[80, 5, 48, 1, 9]
    ),
    "F-29 an extent that is not aligned": change(
        extent_offsets=[0, 80, 85, 0, 1], chunk_lengths=[100, 33, 10]
    ),
    "F-29 a hole at the beginning": change(
        extent_offsets=[0, 80, 88, 1, 2], chunk_lengths=[100, 36, 11]
    ),
    "F-29 bytes after the last extent": change(chunk_lengths=[100, 36, 11]),
    "F-29 a shard without extents": change(
        chunk_counts=[2, 1, 1], chunk_lengths=[100, 36, 10, 1], chunk_digests=[0] * 64
    ),
    # Shards
    "F-2 100,000 shards": change(
        chunk_counts=[1] * 100_000, chunk_lengths=[1] * 100_000, chunk_digests=[0] * 1_600_000
    ),
    "F-30 a shard without chunks": lambda: seal(sample() | {"chunk_counts": [3, 0]}),
    "F-31 numbers of chunks that do not sum up": change(chunk_counts=[2, 2], tokens=[0, 0]),
    "F-31 an empty chunk": change(
        chunk_counts=[3, 1], chunk_lengths=[100, 0, 36, 10], chunk_digests=[0] * 64
    ),
    "F-31 a chunk too long": single("int8", [262_145], 262_145),
    "F-31 a large extent that begins in a chunk": lambda: seal(
        two_arrays([70_064])
        | {"dims": [10, 70_000], "extent_offsets": [0, 64], "extent_lengths": [10, 70_000]}
    ),
    "F-31 a large extent that ends in a chunk": lambda: seal(two_arrays([70_010])),
    "F-33 a wrong token": change(tokens=[1, 2]),
    # Inline values and metadata
    "F-34 lengths that do not sum up": put("inline_lengths", 0, 2),
    "F-34 an empty inline value": change(inline_lengths=[0, 2]),
    "F-34 an inline value too long": change(inline_lengths=[4097, 1], inline_bytes=[0] * 4098),
    "F-35 metadata too long": change(metadata=[0] * (16 * 2**20 + 1)),
}


def two_arrays(chunks: list[int]) -> Columns:
    """Return the columns of an array of 70,000 bytes and one of 10, in one shard."""
    columns = one_value("int8", [70_000], 70_010, chunks=chunks)
    return with_names(
        columns
        | {
            "kinds": [0, 4, 4],
            "labels": [NOTHING] * 3,
            "child_counts": [2, 0, 0],
            "attribute_counts": [0, 1, 1],
            "child_nodes": [1, 2],
            "child_names": [1, 2],
            "key_kinds": [0, 0],
            "attribute_names": [0, 0],
            "attribute_kinds": [1, 1],
            "attribute_values": [0, 1],
            "attribute_full_names": [NOTHING] * 2,
            "dtype_numbers": [0, 0],
            "ranks": [1, 1],
            "dims": [70_000, 10],
            "extent_counts": [1, 1],
            "extent_shards": [0, 0],
            "extent_offsets": [0, 70_000],
            "extent_lengths": [70_000, 10],
        },
        [b"VARIABLE_VALUE", b"a", b"b"],
    )


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_a_rule_is_refused_by_its_number(what: str) -> None:
    """An index that breaks one rule is refused; the error names the file and that rule."""
    with pytest.raises(CorruptCheckpointError) as raised:
        decode_index(BROKEN[what](), "a.index")

    assert (what.split(maxsplit=1)[0], "a.index") == (raised.value.rule, raised.value.file), (
        raised.value
    )
    assert str(raised.value).startswith("a.index: ")


LEGAL: dict[str, Callable[[], bytes]] = {
    "the sample": lambda: seal(sample()),
    "a root list with further names": edges(),
    "a root list with further names like numbers": edges(names=[b"VARIABLE_VALUE", b"7"]),
    "a child of itself": change(child_nodes=[1, 2, 3, 4, 5, 6, 0, 7, 8, 9]),
    "a namedtuple": put("child_names", 7, 6),
    "a negative integer key": lambda: seal(with_names(sample(), [*NAMES[:7], b"-12", *NAMES[8:]])),
    "an empty tensor of rank 32": single("int8", [0] * 32, 0),
    "an empty tensor as large as may be": single("int8", [0, 2**63 - 1], 0),
    "opaque bytes without bytes": single("bytes", [], 0),
    "large extents in chunks of their own": lambda: seal(two_arrays([70_000, 10])),
    "slices by rows": divided([([0, 0], [1, 3]), ([1, 0], [2, 3])], [3, 3]),
    "slices by columns": divided([([0, 0], [3, 1]), ([0, 1], [3, 2])], [3, 3]),
    "slices like a pinwheel": divided(
        [([0, 0], [1, 2]), ([0, 2], [2, 1]), ([1, 0], [2, 1]), ([1, 1], [1, 1]), ([2, 1], [1, 2])],
        [3, 3],
    ),
    "a datetime without unit": single("datetime64", [1], 8),
    "a duration of 25 seconds": single("timedelta64[25s]", [1], 8),
    "other chunks than this writer cuts": change(
        chunk_counts=[3, 1], chunk_lengths=[1, 99, 36, 10], chunk_digests=[0] * 64
    ),
}


@pytest.mark.parametrize("what", LEGAL)
def test_what_the_rules_allow_is_read(what: str) -> None:
    """An index that breaks no rule is read, however odd it is."""
    assert decode_index(LEGAL[what](), "a.index").library == "0.1.0"


class TestVersions:
    """F-10: what an old reader refuses, and what it ignores."""

    def test_a_newer_minimum_is_refused_with_advice(self) -> None:
        """A file for newer readers is no damage: the message names the version to install."""
        data = seal_records([[0, 7, 2, "9.9.0", "whatever"]])

        with pytest.raises(
            UnsupportedFormatError, match=r"checkpointable 9\.9\.0 wrote it; install"
        ):
            decode_index(data, "a.index")

    def test_what_a_newer_version_adds_is_ignored(self) -> None:
        """Elements, records and columns that a newer, compatible version adds are passed over."""
        columns = sample()
        plain = decode_index(seal(columns), "a.index")
        columns["tokens"] = [int(token, 16) for token in plain.tokens]
        longer = [[*piece, 5] for piece in pieces(columns)]
        first = [*header(columns, version=2), 1, "more"]

        index = decode_index(seal_records([first, *longer, [1, 99, b"new"], [7, "new"]]), "a.index")

        assert list(plain.graph.names) == list(index.graph.names)
        assert plain.tensors.infos == index.tensors.infos

    def test_what_a_newer_version_adds_is_still_checksummed(self) -> None:
        """The rules that both versions know hold for files of the newer one."""
        columns = sample() | {"tokens": [0, 0]}

        with pytest.raises(CorruptCheckpointError) as raised:
            decode_index(seal_records([header(columns, version=2), *pieces(columns)]), "a.index")

        assert raised.value.rule == "F-33"
