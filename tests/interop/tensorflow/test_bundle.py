"""Bundles that were made by hand: what is read, what is refused, and why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    StorageError,
    UnsupportedFormatError,
)
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.tensorflow.graph import GRAPH_KEY
from checkpointable.interop.tensorflow.messages import message
from checkpointable.interop.tensorflow.slice_keys import encode_slice_key
from checkpointable.interop.tensorflow.source import open_bundle
from checkpointable.storage.local import LocalStorage
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.bundle.checkpoints import stored
from tests.interop.tensorflow.bundles import (
    PATH,
    STRING,
    VARIANT,
    Entry,
    Maker,
    Style,
    field,
    header,
    opened,
    sealed,
    shape,
    slice_key,
    snappy,
    strings,
    table,
    variants,
    varint,
)
from tests.interop.tensorflow.test_table import GOLDEN

GOLDEN_DATA = bytes.fromhex("0000803f00000040020078270b3468690100000002000000" + "0300000004000000")
RNG = np.random.default_rng(5)


def number(source: CheckpointSource, key: str) -> int:
    """Return the number of a tensor."""
    return (source.keys or {})[key]


def read(source: CheckpointSource, key: str, index: Any = ...) -> Any:
    """Return a part of a tensor as a list."""
    return source.read_slice(number(source, key), index).tolist()


def test_the_golden_bundle() -> None:
    """Two tensors and one in slices, as TensorFlow wrote them, are read."""
    source = opened({f"{PATH}.index": GOLDEN, f"{PATH}.data-00000-of-00001": GOLDEN_DATA})

    assert {"ab": 0, "abc": 1, "p": 2} == source.keys
    assert [[1, 2], [b"hi", b""], [1, 2, 3, 4]] == [source.read(i).tolist() for i in range(3)]
    assert [] == source.verify()
    assert ("tensorflow", "", None) == (source.format, source.unverified, source.graph)


ARRAYS: dict[bytes, np.ndarray[Any, Any]] = {
    b"a": np.arange(12, dtype=np.int16).reshape(3, 4),
    b"b": np.array([True, False]),
    b"c": RNG.random(5) + 1j * RNG.random(5),
    b"d": RNG.random((200, 300)),
    b"e": np.zeros((0, 3), np.float32),
    b"f": np.array(2.5, np.float32),
    b"g": RNG.random(70_000).astype(ml_dtypes.bfloat16),
    b"h": np.array([1 - 2j], np.complex64),
    b"i": RNG.integers(-8, 8, 9).astype(ml_dtypes.int4),
}


def maker(order: str = "little", shards: int = 1) -> Maker:
    """Return a bundle of arrays and strings."""
    made = Maker(shards, order)
    for i, (key, array) in enumerate(ARRAYS.items()):
        if array.dtype == np.complex128:
            data = array.astype(">c16" if order == "big" else "<c16").tobytes()
            made.put(key, Entry(18, array.shape, i % shards, checksum=sealed(data)), data)
        else:
            made.add(key, array, i % shards)
    made.add(b"text", [b"hi", b"", b"\0\xff" * 100], shards - 1)
    return made


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("shards", [1, 3])
def test_both_byte_orders(order: str, shards: int) -> None:
    """T-5, T-7: data of either byte order, in any number of files, come back bit for bit."""
    source = maker(order, shards).open()
    targets = [np.full(a.shape, 1).astype(a.dtype) for a in ARRAYS.values()]
    source.read_into(list(range(len(ARRAYS))), targets)

    for i, array in enumerate(ARRAYS.values()):
        assert array.tobytes() == source.read(i).tobytes() == targets[i].tobytes()
    assert [b"hi", b"", b"\0\xff" * 100] == read(source, "text")
    assert [] == source.verify()


def test_any_style_of_index() -> None:
    """T-2: many small blocks, compressed, say the same."""
    source = maker().open(Style(70, 3, snappy))

    assert [a.tobytes() for a in ARRAYS.values()] == [
        source.read(i).tobytes() for i in range(len(ARRAYS))
    ]


def test_gaps_and_shared_bytes() -> None:
    """T-6: tensors may lie anywhere: apart, one in another, at odd places."""
    made = Maker()
    made.add(b"a", np.arange(4, dtype=np.int32))
    inner = made.shards[0][4:12]
    made.entries[b"b"] = Entry(3, [2], offset=4, size=8, checksum=sealed(inner))
    made.shards[0] += b"gap"
    made.add(b"c", np.arange(3, dtype=np.int64))
    made.shards[0] += b"end"
    source = made.open()

    assert [[0, 1, 2, 3], [1, 2], [0, 1, 2]] == [source.read(i).tolist() for i in range(3)]


def test_keys_of_any_bytes() -> None:
    """Keys that are no UTF-8 are listed with surrogates; only keys of slices are hidden."""
    made = Maker()
    for i, key in enumerate([b"\0\0\1", b"\xff\xfe", slice_key(b"x", [(0, 1)]), b"n" * 5000]):
        made.add(key, np.float32(i))
    source = made.open()

    assert ["\0\0\1", "\0x\0\1\1\1\udc80\udc81", "n" * 5000, "\udcff\udcfe"] == list(
        source.keys or {}
    )
    assert {key: (i,) for key, i in (source.keys or {}).items()} == source.names


# Strings and variants.


@given(st.lists(st.binary(max_size=300), max_size=30), st.sampled_from(["little", "big"]))
def test_any_strings(items: list[bytes], order: str) -> None:
    """T-8: strings of any length come back, in either byte order."""
    made = Maker(order=order)
    made.add(b"s", items)

    assert items == made.open().read(0).tolist()


def test_no_strings_at_all() -> None:
    """T-8: a tensor without elements may have no bytes, or a checksum of no lengths."""
    made = Maker()
    made.put(b"bytes", Entry(STRING, [0, 2], checksum=0x640CC1F6), bytes.fromhex("d8ea82a2"))
    made.put(b"none", Entry(STRING, [0]), b"")
    made.put(b"variants", Entry(VARIANT, [0]), b"")
    source = made.open()

    assert [(0, 2), (0,), (0,)] == [source.read(i).shape for i in range(3)]
    assert [] == source.verify()


def test_variants() -> None:
    """T-9: variants are read as the bytes of their messages."""
    made = Maker()
    items = [b"tensorflow::Iterator", b"", b"x" * 300]
    data, checksum = variants(items)
    made.put(b"v", Entry(VARIANT, [3], checksum=checksum), data)
    source = made.open()

    assert items == source.read(0).tolist()
    assert items[1:] == read(source, "v", slice(1, None))
    assert "string" == source.tensors[0].dtype
    assert [] == source.verify()


def test_variants_in_the_other_byte_order_are_refused() -> None:
    """T-9: nothing can turn variants round; the rest of the checkpoint is read."""
    made = Maker(order="big")
    data, checksum = variants([b"v"])
    made.put(b"v", Entry(VARIANT, [1], checksum=checksum), data)
    made.add(b"w", np.arange(3.0))
    source = made.open()

    assert [0, 1, 2] == read(source, "w")
    with pytest.raises(UnsupportedFormatError, match="big-endian"):
        source.read(0)


def unsized(dtype: int, data: bytes, checksum: int, count: int) -> CheckpointSource:
    """Open a bundle of one tensor of strings or variants."""
    made = Maker()
    made.put(b"s", Entry(dtype, [count], checksum=checksum), data)
    return made.open()


GOOD, SEAL = strings([b"hi", b"a" * 200])
GOOD_VARIANTS, SEAL_VARIANTS = variants([b"hi", b"abc"])
BAD_STRINGS: dict[str, tuple[int, bytes, int, int, str]] = {
    "too many": (STRING, GOOD, SEAL, 9, "T-8"),
    "too few": (STRING, GOOD, SEAL, 1, "T-8"),
    "a length of 11 bytes": (STRING, b"\x80" * 10 + b"\1" + GOOD, SEAL, 1, "T-8"),
    "only half a length": (STRING, b"\x80" * 4, SEAL, 1, "T-8"),
    "no checksum of lengths": (STRING, b"\0\0", SEAL, 2, "T-8"),
    "another checksum of lengths": (STRING, GOOD[:3] + b"\0" + GOOD[4:], SEAL, 2, "T-8"),
    "lengths that sum up to 2**64": (STRING, varint(2**63) * 2 + GOOD, SEAL, 2, "T-8"),
    "another checksum": (STRING, GOOD, SEAL ^ 1, 2, "T-7"),
    "no elements, but bytes": (STRING, b"\xd8\xea\x82\xa2more", 0x640CC1F6, 0, "T-8"),
    "too many variants": (VARIANT, GOOD_VARIANTS, SEAL_VARIANTS, 3, "T-9"),
    "too few variants": (VARIANT, GOOD_VARIANTS, SEAL_VARIANTS, 1, "T-9"),
    "a variant cut short": (VARIANT, GOOD_VARIANTS[:-1], SEAL_VARIANTS, 2, "T-9"),
    "a long variant": (VARIANT, varint(2**63) + GOOD_VARIANTS, SEAL_VARIANTS, 2, "T-9"),
    "a checksum of a variant": (VARIANT, GOOD_VARIANTS[:-1] + b"!", SEAL_VARIANTS, 2, "T-9"),
    "another checksum of variants": (VARIANT, GOOD_VARIANTS, SEAL_VARIANTS ^ 1, 2, "T-7"),
}


@pytest.mark.parametrize("what", BAD_STRINGS)
def test_damaged_strings(what: str) -> None:
    """T-8, T-9: what is no tensor of so many strings is refused, and found by verify."""
    dtype, data, checksum, count, rule = BAD_STRINGS[what]
    source = unsized(dtype, data, checksum, count)

    assert [rule] == [finding.rule for finding in source.verify()]
    if count:
        with pytest.raises(CorruptCheckpointError) as error:
            source.read(0)
        assert rule == error.value.rule


# The index.


def with_header(coded: bytes) -> Callable[[Maker], None]:
    """Return what gives a bundle another header."""

    def change(made: Maker) -> None:
        made.header = coded

    return change


def with_entry(**fields: Any) -> Callable[[Maker], None]:
    """Return what changes the entry of a tensor of three float32."""

    def change(made: Maker) -> None:
        entry = made.entries[b"a"]
        assert isinstance(entry, Entry)
        made.entries[b"a"] = attrs.evolve(entry, **fields)

    return change


def with_bytes(coded: bytes) -> Callable[[Maker], None]:
    """Return what puts other bytes in the place of an entry."""

    def change(made: Maker) -> None:
        made.entries[b"a"] = coded

    return change


VERSION_2 = b"\x08\x02\x10\x02"
BAD_INDEX: dict[str, tuple[Callable[[Maker], None], str]] = {
    "a header that is no message": (with_header(b"\xff\xff"), "T-4"),
    "an empty header": (with_header(b""), "T-5"),
    "no data file": (with_header(header(0)), "T-5"),
    "less than no data file": (with_header(header(-1)), "T-5"),
    "an unknown byte order": (with_header(header(1, 2)), "T-5"),
    "a newer version": (with_header(header(1, 0, VERSION_2)), "T-5"),
    "a version that forbids ours": (with_header(header(1, 0, b"\x08\x02\x18\x01")), "T-5"),
    "an entry that is no message": (with_bytes(b"\x08"), "T-4"),
    "an entry whose shape is no message": (with_bytes(field(1, 1) + field(2, b"\x12")), "T-4"),
    "dtype 0": (with_entry(dtype=0), "T-6"),
    "dtype 20, a resource": (with_entry(dtype=20), "T-6"),
    "dtype 34": (with_entry(dtype=34), "T-6"),
    "dtype 101": (with_entry(dtype=101), "T-6"),
    "dtype -1": (with_entry(dtype=-1), "T-6"),
    "a dimension of -1": (with_entry(dims=[-1]), "T-6"),
    "dimensions of 2**64 elements": (with_entry(dims=[2**32, 2**32]), "T-6"),
    "a zero that hides 2**64 elements": (with_entry(dims=[2**32, 0, 2**32]), "T-6"),
    "33 dimensions": (with_entry(dims=[1] * 32 + [3]), "T-6"),
    "10,000 dimensions": (with_entry(dims=[1] * 10_000), "T-6"),
    "more elements than bytes": (with_entry(dims=[4]), "T-6"),
    "less elements than bytes": (with_entry(dims=[2]), "T-6"),
    "elements of another size": (with_entry(dtype=2), "T-6"),
    "more strings than bytes": (with_entry(dtype=STRING, dims=[13]), "T-6"),
    "an offset of -1": (with_entry(offset=-1), "T-6"),
    "a size of -12": (with_entry(size=-12), "T-6"),
    "an end of 2**63": (with_entry(offset=2**63 - 1), "T-6"),
    "an end beyond the file": (with_entry(offset=1), "T-6"),
    "a data file too many": (with_entry(shard=1), "T-6"),
    "data file -1": (with_entry(shard=-1), "T-6"),
    "a slice of another rank": (with_entry(slices=[[None, None]]), "T-10"),
    "a slice beyond the end": (with_entry(slices=[[(2, 2)]]), "T-10"),
    "a slice from -1 on": (with_entry(slices=[[(-1, 2)]]), "T-10"),
    "a slice of -2 elements": (with_entry(slices=[[(0, -2)]]), "T-10"),
    "a slice from 2**63 - 1 on": (with_entry(slices=[[(2**63 - 1, 2**63 - 1)]]), "T-10"),
}


@pytest.mark.parametrize("what", BAD_INDEX)
def test_an_impossible_index_is_refused(what: str) -> None:
    """T-4 to T-6, T-10: each breach is told when the checkpoint is opened, with its rule."""
    change, rule = BAD_INDEX[what]
    made = Maker()
    made.add(b"a", np.arange(3, dtype=np.float32))
    change(made)
    with pytest.raises((CorruptCheckpointError, UnsupportedFormatError), match=rule + " of docs"):
        made.open()


def test_a_table_without_header_is_no_bundle() -> None:
    """T-5: the first key must be empty, and there must be one."""
    for rows in [[], [(b"a", header())]]:
        with pytest.raises(CorruptCheckpointError, match="no header"):
            opened({f"{PATH}.index": table(rows)})


def test_older_and_newer_writers() -> None:
    """T-5: no version at all and a newer writer that we may read are both fine."""
    for version in (b"", b"\x08\x63", b"\x08\x02\x10\x01\x18\x05"):
        made = Maker()
        made.add(b"a", np.arange(3.0))
        made.header = field(1, 1) + (field(3, version) if version else b"")
        assert [0, 1, 2] == made.open().read(0).tolist()


def test_unknown_fields_and_names_of_dimensions_are_ignored() -> None:
    """T-4: what a newer writer adds to a message does no harm."""
    made = Maker()
    entry = made.add(b"a", np.arange(3, dtype=np.float32))
    coded = entry.encode().replace(
        field(2, shape([3])), field(2, field(2, field(1, 3) + field(2, b"rows")))
    )
    made.entries[b"a"] = coded + field(99, b"new")

    assert [0, 1, 2] == made.open().read(0).tolist()


# Data files.


def test_a_missing_data_file_is_damage() -> None:
    """T-1: a data file that the index names must be there; others are not looked for."""
    made = maker(shards=3)
    made.header = header(4)
    files = {name.replace("-of-00003", "-of-00004"): d for name, d in made.files().items()}
    assert [] == opened(files).verify()
    del files[f"{PATH}.data-00001-of-00004"]
    with pytest.raises(CorruptCheckpointError, match="00001-of-00004: the data file is missing"):
        opened(files)


def test_a_missing_checkpoint_is_explained() -> None:
    """Without an index there is no checkpoint."""
    with pytest.raises(CheckpointNotFoundError, match="there is no checkpoint"):
        opened({})


def test_every_flipped_bit_of_the_data_is_found() -> None:
    """T-7: what any bit in a data file changes is found when it is read, whole or in part."""
    made = Maker()
    made.add(b"a", np.arange(3, dtype=np.int16))
    made.add(b"b", [b"hi", b"there"])
    made.divide(b"c", np.arange(6, dtype=np.int16), [[(0, 2)], [(2, 4)]])
    data, name = made.shards[0], f"{PATH}.data-00000-of-00001"
    files = made.files()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        source = opened(files | {name: bytes(changed)})
        assert 1 == len(source.verify())
        damaged = [i for i in range(3) if not readable(source.read, i)]
        assert 1 == len(damaged)
        if damaged != [1]:
            target = np.zeros([0, 3, 0, 6][2 * (damaged == [2]) + 1], np.int16)
            assert not readable(source.read_into, damaged, [target])
        assert not readable(opened(files | {name: bytes(changed)}).read_slice, damaged[0], ...)


def readable(read: Callable[..., Any], *arguments: Any) -> bool:
    """Tell whether something can be read."""
    try:
        read(*arguments)
    except CorruptCheckpointError:
        return False
    return True


def test_impossible_booleans_are_refused() -> None:
    """F-25: a byte that is neither 0 nor 1 is no bool, whatever its checksum says."""
    made = Maker()
    made.put(b"b", Entry(10, [3], checksum=sealed(b"\0\1\2")), b"\0\1\2")
    source = made.open()

    assert ["F-25"] == [finding.rule for finding in source.verify()]
    for read_it in (source.read, lambda n: source.read_slice(n, ...)):
        assert not readable(read_it, 0)


def test_what_was_written_to_is_told_when_damage_is_found() -> None:
    """`done` holds exactly the targets that were written to: small ones are checked before."""
    made = Maker()
    made.add(b"a", np.ones(3, np.int32))
    made.add(b"b", np.ones(100_000, np.int32))
    made.add(b"c", np.ones(5, np.int32))
    files = made.files()
    name = f"{PATH}.data-00000-of-00001"
    for place, expected in ((0, {1}), (12 + 400_000 - 1, {1})):
        changed = bytearray(files[name])
        changed[place] ^= 1
        source = opened(files | {name: bytes(changed)})
        targets = [np.zeros(n, np.int32) for n in (3, 100_000, 5)]
        done: list[int] = []
        with pytest.raises(CorruptCheckpointError):
            source.read_into([0, 1, 2], targets, done)
        written = {i for i, target in enumerate(targets) if target.any()}
        assert expected == written == set(done)


# Slices.

NAMES = st.binary(max_size=4) | st.sampled_from([b"\0", b"\xff", b"\0\xff\0", b"a\0b"])
INTEGERS = st.sampled_from([0, 63, 64, 8191, 8192, 2**31, 2**55 - 1, 2**55, 2**62, 2**63 - 1])


def decoded(key: bytes) -> tuple[bytes, list[int]]:
    """Return the name and the numbers in the key of a slice: the naive way back."""
    assert key[0] == 0
    name, i = b"", 1
    while key[i : i + 2] != b"\0\1":
        name += key[i : i + 1]
        i += 2 if key[i] in (0, 255) else 1
    i += 2
    rank = int.from_bytes(key[i + 1 : i + 1 + key[i]], "big")
    i += 1 + key[i]
    numbers = []
    for _ in range(2 * rank):
        bits = "".join(f"{byte:08b}" for byte in key[i : i + 10])
        length = len(bits) - len(bits.lstrip(bits[0]))
        value = int.from_bytes(key[i : i + length], "big") ^ ((1 << length) - 1) << 7 * length
        numbers.append(value - (1 << 8 * length) if bits[0] == "0" else value)
        i += length
    assert i == len(key)
    return name, numbers


@given(NAMES, st.lists(st.tuples(INTEGERS, INTEGERS | st.none()), max_size=4))
def test_keys_of_slices(name: bytes, parts: list[tuple[int, int | None]]) -> None:
    """T-11: name and numbers can be read from the key of a slice."""
    numbers = [n for start, length in parts for n in (start, -1 if length is None else length)]

    assert (name, numbers) == decoded(encode_slice_key(name, parts))


@given(NAMES, NAMES, st.tuples(INTEGERS, INTEGERS), st.tuples(INTEGERS, INTEGERS))
def test_keys_of_slices_are_ordered(a: bytes, b: bytes, x: Any, y: Any) -> None:
    """T-11: keys are in the order of names and numbers."""
    first, second = encode_slice_key(a, [x]), encode_slice_key(b, [y])

    assert ((a, *x) < (b, *y)) == (first < second)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "80"),
        (63, "bf"),
        (64, "c040"),
        (8191, "dfff"),
        (8192, "e02000"),
        (2**31, "f880000000"),
        (2**55 - 1, "ff7fffffffffffff"),
        (2**55, "ff8080000000000000"),
        (2**62, "ffc04000000000000000"),
    ],
)
def test_numbers_in_keys(value: int, expected: str) -> None:
    """T-11: numbers at the edges of their lengths, as TensorFlow writes them."""
    assert expected + "7f" == encode_slice_key(b"", [(value, None)])[5:].hex()


GRID = np.arange(48, dtype=np.int32).reshape(6, 8)
TILINGS: list[list[Any]] = [
    [[(0, 6), (0, 8)]],
    [[None, (0, 3)], [None, (3, 5)]],
    [[(4, 2), None], [(0, 4), None]],
    [[(0, 3), (0, 3)], [(0, 3), (3, 5)], [(3, 3), (0, 5)], [(3, 3), (5, 3)]],
]
PARTS = st.one_of(
    st.integers(-6, 5),
    st.builds(
        slice,
        st.none() | st.integers(-9, 9),
        st.none() | st.integers(-9, 9),
        st.sampled_from([None, 1, 2, 3, -1, -2]),
    ),
)


@given(st.sampled_from(TILINGS), st.lists(PARTS, max_size=2), st.sampled_from(["little", "big"]))
@settings(deadline=None)
def test_any_part_of_a_divided_tensor(tiling: list[Any], index: list[Any], order: str) -> None:
    """T-10: whatever the slices, the whole and every part are those of the array."""
    made = Maker(order=order)
    made.divide(b"p", GRID, tiling)
    source = made.open()
    target = np.zeros(GRID.shape, GRID.dtype)
    source.read_into([0], [target])

    assert {"p": 0} == source.keys
    assert GRID.tolist() == source.read(0).tolist() == target.tolist()
    assert GRID[tuple(index)].tolist() == source.read_slice(0, tuple(index)).tolist()


def test_strings_in_slices() -> None:
    """T-10: a tensor of strings may lie in slices, too."""
    made = Maker(2)
    for shard, (begin, items) in enumerate([(0, [b"a", b""]), (2, [b"bc"])]):
        made.add(slice_key(b"s", [(begin, len(items))]), items, shard)
    made.entries[b"s"] = Entry(STRING, [3], slices=[[(2, 1)], [(0, 2)]])
    source = made.open()

    assert [b"a", b"", b"bc"] == source.read(0).tolist()
    assert [b"bc", b""] == read(source, "s", slice(None, 0, -1))
    assert b"" == source.read_slice(0, 1)[()]


@pytest.mark.parametrize(
    ("tiling", "missing", "word"),
    [
        (TILINGS[3], slice_key(b"p", TILINGS[3][2]), "found 33"),
        ([*TILINGS[1], [(0, 1), (0, 1)]], None, r"\(slices overlap\)"),
        ([[(0, 6), (0, 4)], [(0, 6), (3, 4)]], None, "overlap, and others are missing"),
    ],
    ids=["a hole", "an overlap", "both"],
)
def test_slices_that_do_not_fit_together(tiling: list[Any], missing: Any, word: str) -> None:
    """T-10: a hole or an overlap forbids to read the whole; what lies in one slice can be read."""
    made = Maker()
    made.divide(b"p", GRID, tiling)
    made.entries.pop(missing, None)
    made.add(b"q", np.arange(3, dtype=np.int32))
    source = made.open()

    assert (6, 8) == source.tensors[0].shape
    with pytest.raises(CorruptCheckpointError, match=word) as error:
        source.read(0)
    assert "T-10" == error.value.rule
    with pytest.raises(CorruptCheckpointError, match="slices"):
        source.read_into([0], [np.zeros(GRID.shape, GRID.dtype)])
    for parts in tiling:
        if slice_key(b"p", parts) in made.entries:
            index = tuple(slice(None) if p is None else slice(p[0], sum(p)) for p in parts)
            assert GRID[index].tolist() == source.read_slice(0, index).tolist()
    with pytest.raises(CorruptCheckpointError, match="slices"):
        source.read_slice(0, ...)
    assert ["T-10"] == [finding.rule for finding in source.verify()]
    assert [0, 1, 2] == read(source, "q")


def test_a_shape_that_no_memory_holds() -> None:
    """T-10: of a tensor of 2**62 elements whose slices are small, these can be read."""
    made = Maker()
    start = 2**61
    made.entries[b"p"] = Entry(2, [2**62], slices=[[(start, 3)]])
    made.add(encode_slice_key(b"p", [(start, 3)]), np.arange(3.0))
    source = made.open()

    assert [1, 2] == read(source, "p", slice(start + 1, start + 3))
    for index in (slice(None), slice(start, None)):
        with pytest.raises(CorruptCheckpointError, match=r"slices"):
            source.read_slice(0, index)
    for read_it in (source.read, source.new_array):
        with pytest.raises(CorruptCheckpointError, match=r"slices"):
            read_it(0)


def test_no_verb_makes_room_for_what_is_not_there(tmp_path: Path) -> None:
    """T-10: loading and comparing graphs with such a tensor give the same error; listing does."""
    made, key = Maker(), "v/.ATTRIBUTES/VARIABLE_VALUE"
    value = {"name": "VARIABLE_VALUE", "full_name": "v", "checkpoint_key": key}
    edge = {"node_id": 1, "local_name": "v"}
    graph = message("TrackableObjectGraph")(nodes=[{"children": [edge]}, {"attributes": [value]}])
    made.entries[key.encode()] = Entry(2, [2**61], slices=[[(2**60, 3)]])
    made.add(encode_slice_key(key.encode(), [(2**60, 3)]), np.arange(3.0))
    made.add(GRAPH_KEY.encode(), [b""])
    data, checksum = strings([graph.SerializeToString()])
    made.put(GRAPH_KEY.encode(), Entry(STRING, checksum=checksum), data)
    for name, content in made.files().items():
        (tmp_path / Path(name).name).write_bytes(content)
    path = str(tmp_path / "ckpt")

    assert (key, (2**61,)) in ckpt.list_variables(path)
    assert [0, 1, 2] == ckpt.load_checkpoint(path)["v"][2**60 : 2**60 + 3].tolist()
    for verb in (ckpt.load, lambda p: ckpt.diff(p, p), lambda p: ckpt.load_variable(p, key)):
        with pytest.raises(CorruptCheckpointError, match="slices"):
            verb(path)
    assert ["T-10"] == [finding.rule for finding in ckpt.verify(path)]


@pytest.mark.parametrize("what", ["shape", "dtype", "slices"])
def test_a_slice_that_is_no_part_of_its_tensor(what: str) -> None:
    """T-10: a slice has its own shape, the dtype of the whole, and no slices itself."""
    made = Maker()
    made.divide(b"p", GRID, TILINGS[0])
    key = slice_key(b"p", TILINGS[0][0])
    other = {
        "shape": lambda: made.add(key, GRID[:5]),
        "dtype": lambda: made.add(key, GRID.astype(np.float32)),
        "slices": lambda: (
            made.divide(key, GRID, [])
            or made.entries.update({key: Entry(3, [6, 8], slices=[[None, None]])})
        ),
    }
    other[what]()
    with pytest.raises(CorruptCheckpointError, match="does not fit the tensor") as error:
        made.open()
    assert "T-10" == error.value.rule


# The life of a source.


def test_nothing_is_read_from_a_closed_source() -> None:
    """Once closed, a source refuses to read; closing it again is harmless."""
    source = maker().open()
    assert not source.closed
    source.close()
    source.close()

    assert source.closed
    for read_it in (lambda: source.read(0), lambda: source.read_slice(0, 0), source.verify):
        with pytest.raises(StorageError, match="was closed"):
            read_it()


def test_a_replaced_checkpoint_is_noticed() -> None:
    """A source goes on reading what it opened, and tells that the path leads elsewhere now."""
    storage = stored(maker().files())
    source = open_bundle(storage, PATH)
    assert source.unchanged()
    storage.rename(f"{PATH}.index", f"{PATH}.gone")

    assert not source.unchanged()
    assert 2.5 == source.value(number(source, "f"))


def test_values_of_scalars() -> None:
    """A scalar is also given as a Python value; nothing else is."""
    source = maker().open()

    assert 2.5 == source.value(number(source, "f"))
    with pytest.raises(TypeError, match="expected a scalar"):
        source.value(number(source, "a"))


class _Replacing(MemoryStorage):
    """Replaces a checkpoint while it is being opened, as often as it is told to."""

    times = 1

    def replace_with(self, made: Maker) -> None:
        self.next = made

    def status(self, path: str) -> Any:
        if path.endswith(".index") and self.times:
            self.times -= 1
            for name, data in self.next.files().items():
                self.remove(name)
                file = self.create(name)
                file.write([data])
                file.close()
        return super().status(path)


def replacing(times: int) -> _Replacing:
    """Return a storage in which a checkpoint is replaced so many times while it is opened."""
    old, new = Maker(), Maker(2)
    old.add(b"a", np.arange(3.0))
    new.add(b"a", np.arange(5.0), 1)
    storage = _Replacing(DiskImage(old.files()))
    storage.times = times
    storage.replace_with(new)
    return storage


def test_a_checkpoint_that_is_being_replaced_is_opened_again() -> None:
    """T-1: when the index changes while files are opened, it is read again."""
    source = open_bundle(replacing(3), PATH)

    assert [0, 1, 2, 3, 4] == source.read(0).tolist()


def test_a_checkpoint_that_is_always_being_replaced_is_given_up() -> None:
    """T-1: there is an end to that."""
    with pytest.raises(CorruptCheckpointError, match="all the time"):
        open_bundle(replacing(10**6), PATH)


def test_nothing_stays_open_when_opening_fails(tmp_path: Path) -> None:
    """Files that were opened before the error are closed."""
    made = maker(shards=3)
    for name, data in made.files().items():
        (tmp_path / Path(name).name).write_bytes(data)
    (tmp_path / "ckpt.data-00002-of-00003").unlink()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(CorruptCheckpointError):
        open_bundle(LocalStorage(), str(tmp_path / "ckpt"))

    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_many_threads_read_at_once() -> None:
    """Whole tensors and parts are read by several threads from one source."""
    source = maker().open()
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(10):
            for i, array in enumerate(ARRAYS.values()):
                if source.read(i).tobytes() != array.tobytes():
                    wrong.append(i)
                if array.ndim and source.read_slice(i, slice(1)).tobytes() != array[:1].tobytes():
                    wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
