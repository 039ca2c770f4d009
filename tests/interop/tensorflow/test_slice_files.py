"""Checkpoints of TensorFlow's first format: files of slices."""

from __future__ import annotations

import base64
import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import checkpointable as ckpt
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.tensorflow import slice_table
from checkpointable.interop.tensorflow.slice_files import open_slice_files
from checkpointable.interop.tensorflow.table import read_block
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.interop.tensorflow import bundles
from tests.interop.tensorflow.slice_file_maker import (
    FIELDS,
    Tensor,
    count,
    field,
    slice_file,
    table,
    values_proto,
    varint,
    whole,
)

SAMPLES = Path(__file__).parents[2] / "fixtures" / "tensorflow"
#: x = int32[-1, 5] and s = "hi", as TensorFlow wrote them.
GOLDEN = bytes.fromhex(
    "0000220a200a090a01731200180722000a0f0a0178120412020802180322020a"
    "001202080100050d0073000100120b0a017312001a0442026869010718780001"
    "0101807f12160a017812020a001a0d3a0bffffffffffffffffff010500000000"
    "0100000000465c095b000000000100000000c0f2a1b000010201006400000000"
    "010000000028c93b446908760e00000000000000000000000000000000000000"
    "000000000000000000000000000000000057fb808b247547db"
)
INT = [(0, None)]


def opened(*files: bytes) -> CheckpointSource:
    """Open a checkpoint of these files."""
    names = [f"/run/m-{i:05d}-of-{len(files):05d}" for i in range(len(files))]
    storage = MemoryStorage(DiskImage(dict(zip(names, files, strict=True))))
    return open_slice_files(storage, "/run/m", names)


def digest(array: np.ndarray[Any, Any]) -> str:
    """Return the digest that `expected.json` has of a tensor."""
    if array.dtype != object:
        return hashlib.sha256(array.tobytes()).hexdigest()
    items = array.reshape(-1).tolist()
    return hashlib.sha256(
        b"".join(len(item).to_bytes(8, "little") + item for item in items)
    ).hexdigest()


def same(a: Any, b: Any) -> bool:
    """Tell whether two arrays are equal, bit for bit."""
    is_like = (a.dtype, a.shape) == (b.dtype, b.shape)
    return is_like and (a.tolist() == b.tolist() if a.dtype == object else digest(a) == digest(b))


@pytest.mark.parametrize("case", ["name_based_v1", "partitioned_v1"])
def test_samples_of_tensorflow_are_read_exactly(case):
    """Every tensor of every file that TensorFlow wrote: dtype, shape and bytes."""
    expected = json.loads((SAMPLES / case / "expected.json").read_text())
    for checkpoint in expected["checkpoints"]:
        path = str(SAMPLES / case / checkpoint["prefix"])
        source = open_slice_files(LOCAL, path, [path])
        assert sorted(checkpoint["tensors"]) == list(source.names)
        assert source.keys == {name: number for name, (number,) in source.names.items()}
        for name, stored in checkpoint["tensors"].items():
            array = source.read(source.names[name][0])
            info = source.tensors[source.names[name][0]]
            assert (stored["shape"], stored["sha256"]) == (list(array.shape), digest(array)), name
            assert (stored["dtype"], array.shape) == (info.dtype, info.shape)
            for text, item in zip(stored.get("strings_b64", ()), array.reshape(-1), strict=False):
                assert base64.b64decode(text) == item
        assert [] == source.verify()
        assert (None, "", True) == (source.graph, source.unverified, source.unchanged())
        source.close()


def test_golden_bytes():
    """A file of TensorFlow's, byte by byte: negative integers are cut to their width."""
    source = opened(GOLDEN)

    assert {"s": (0,), "x": (1,)} == source.names
    assert [-1, 5] == source.read(1).tolist()
    assert (np.int32, b"hi") == (source.read(1).dtype, source.read(0)[()])
    assert GOLDEN == slice_file(whole(b"s", "string", b"hi"), whole(b"x", "int32", [-1, 5]))


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "one by one"])
@pytest.mark.parametrize("dtype", sorted(set(FIELDS) - {"string"}))
def test_every_dtype(dtype, packed):
    """The least and the greatest value of each dtype, and some between, in either encoding."""
    kind = np.dtype(dtype).kind
    if kind in "iu":
        limits = np.iinfo(dtype)
        array = np.array([limits.min, limits.max, 0, 1, 127 & limits.max, limits.max - 1], dtype)
    elif kind == "b":
        array = np.array([True, False, False, True, True, True])
    else:
        limits = np.finfo(dtype)
        array = np.array([limits.min, limits.max, -0.0, np.nan, np.inf, limits.tiny], dtype)
        if kind == "c":
            array.imag = array.real[::-1].copy()
    array = array.reshape(2, 3)
    source = opened(slice_file(whole(b"t", dtype, array), packed=packed))

    assert same(array, source.read(0))
    assert same(array[1, ::-2], source.read_slice(0, (1, slice(None, None, -2))))


@pytest.mark.parametrize("dtype", ["int32", "int16", "int8"])
def test_negative_numbers_are_cut_to_32_bits(dtype):
    """An encoder may extend a negative number to 64 bits or leave it at 32."""
    proto = field(7, varint(-2) + varint(2**32 - 2))
    source = opened(slice_file(Tensor(b"w", dtype, (2,), (INT, proto))))

    assert [-2, -2] == source.read(0).tolist()


def test_scalars_and_empty_tensors():
    """A tensor without dimensions has one element, one with an empty dimension none."""
    texts = np.array([[b"", b"\x00"]], object)
    source = opened(
        slice_file(
            whole(b"a", "int64", np.int64(-(2**63))),
            whole(b"b", "float32", np.zeros((0, 3), np.float32)),
            whole(b"c", "string", np.zeros((2, 0), object)),
            whole(b"d", "string", texts),
        )
    )

    assert [(), (0, 3), (2, 0), (1, 2)] == [info.shape for info in source.tensors]
    assert -(2**63) == source.read(0)[()] == source.read_slice(0, ())[()]
    assert [(0, 3), (2, 0)] == [source.read(1).shape, source.read(2).shape]
    assert same(texts, source.read(3))
    assert same(texts[0, 1:], source.read_slice(3, (0, slice(1, None))))
    assert [] == source.verify()


def test_names_need_not_be_text():
    """A name is any bytes: what is no UTF-8 stands as lone surrogates."""
    source = opened(slice_file(whole(b"\xff\x00", "bool", [True]), whole("ä".encode(), "bool", [])))

    assert {"ä": (0,), "\udcff\x00": (1,)} == source.names


@pytest.mark.parametrize("files", [1, 3])
def test_slices_are_put_together_over_files(files):
    """The slices of a tensor may lie in any file of a set, in any order."""
    array = np.arange(60, dtype=np.int16).reshape(6, 10)
    boxes = [(0, 2, 0, 10), (2, 4, 0, 3), (2, 1, 3, 7), (3, 3, 3, 7)]
    slices = [
        ([(a, n), (b, m if m < 10 else None)], array[a : a + n, b : b + m]) for a, n, b, m in boxes
    ]
    parts = [
        slice_file(
            Tensor(b"w", "int16", (6, 10), *slices[i::files]),
            whole(b"own%d" % i, "int32", [i]),
        )
        for i in reversed(range(files))
    ]
    source = opened(*parts)
    target = np.zeros_like(array)
    done: list[int] = []
    number = source.keys["w"]
    source.read_into([number], [target], done)

    assert same(array, source.read(number))
    assert (True, [0]) == (same(array, target), done)
    assert [[i] for i in range(files)] == [
        source.read(source.keys[f"own{i}"]).tolist() for i in range(files)
    ]
    for index in [(slice(1, 5, 2), slice(-1, 1, -3)), (3,), (..., 4), (2, 3), slice(2, 3)]:
        assert same(array[index], source.read_slice(number, index))


HOLES = {
    "a hole": [([(0, 2)], [1, 2]), ([(3, 1)], [4])],
    "an overlap": [([(0, 3)], [1, 2, 3]), ([(2, 2)], [3, 4])],
    "both": [([(0, 2)], [1, 2]), ([(1, 2)], [2, 3])],
    "nothing": [],
}


@pytest.mark.parametrize("slices", HOLES.values(), ids=HOLES.keys())
def test_holes_and_overlaps_are_errors_of_that_tensor(slices):
    """What the slices do not fill cannot be read; all else can, stored slices among it."""
    source = opened(slice_file(Tensor(b"w", "int32", (4,), *slices), whole(b"x", "int32", [7])))

    assert [(4,), (1,)] == [info.shape for info in source.tensors]
    assert [7] == source.read(1).tolist()
    for read in (
        lambda: source.read(0),
        lambda: source.read_slice(0, ...),
        lambda: source.read_into([1, 0], [np.zeros(1, np.int32), np.zeros(4, np.int32)]),
    ):
        with pytest.raises(ckpt.CorruptCheckpointError, match="T-10"):
            read()
    assert ["T-10"] == [finding.rule for finding in source.verify()]
    if slices:
        assert slices[0][1][:1] == source.read_slice(0, slice(0, 1)).tolist()


def test_a_whole_too_large_for_memory_costs_nothing():
    """A shape of a million million elements, a few of them stored, is listed, and partly read."""
    start = 2**39
    part = Tensor(b"w", "float32", (2**40, 2), ([(start, 1), (0, None)], np.float32([[1, 2]])))
    source = opened(slice_file(part))

    assert (2**40, 2) == source.tensors[0].shape
    assert [[1.0, 2.0]] == source.read_slice(0, slice(start, start + 1)).tolist()
    for index in (..., slice(start - 1, start + 1)):
        with pytest.raises(ckpt.CorruptCheckpointError, match="T-10"):
            source.read_slice(0, index)
    with pytest.raises(ckpt.CorruptCheckpointError, match="T-10"):
        source.read(0)


MINE = ([(0, 2)], [1, 2])
BAD: dict[str, tuple[Any, str]] = {
    "an empty file": (b"", "T-2"),
    "no list": (table({b"\x00a": b""}), "T-15"),
    "a list that is no message": (table({b"": b"\xff"}), "T-4"),
    "a slice beyond": (slice_file(Tensor(b"w", "int32", (2,), ([(1, 2)], [1, 2]))), "T-10"),
    "a slice before": (slice_file(Tensor(b"w", "int32", (2,), ([(-1, 2)], [1, 2]))), "T-10"),
    "a negative length": (slice_file(Tensor(b"w", "int32", (9,), ([(5, -3)], b""))), "T-10"),
    "another rank": (slice_file(Tensor(b"w", "int32", (2,), ([], [1]))), "T-10"),
    "a negative size": (slice_file(Tensor(b"w", "int32", (-2,), (INT, b""))), "T-6"),
    "a huge shape": (slice_file(Tensor(b"w", "int64", (2**62, 0), (INT * 2, b""))), "T-6"),
    "many dimensions": (slice_file(Tensor(b"w", "int64", (1,) * 33, (INT * 33, b"\0"))), "T-6"),
    "more than the bytes": (slice_file(Tensor(b"w", "int8", (2**40,), (INT, [1]))), "T-15"),
    "a slice twice": (slice_file(Tensor(b"w", "int32", (2,), MINE, MINE)), "T-15"),
    "a tensor twice": (
        slice_file(
            Tensor(b"w", "int32", (2,), ([(0, 1)], [1])),
            Tensor(b"w", "int32", (2,), ([(1, 1)], [1])),
        ),
        "T-15",
    ),
    "an unlisted slice": (
        table(
            {b"": field(1, field(2, b"\x08\x01"))}
            | Tensor(b"w", "int32", (2,), MINE).rows(packed=True)
        ),
        "T-15",
    ),
}


@pytest.mark.parametrize(("data", "rule"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_with_the_list_is_found_at_opening(data, rule):
    """A list of tensors that the table does not bear out is damage of the whole file."""
    with pytest.raises(ckpt.CorruptCheckpointError) as caught:
        opened(data)

    assert (rule, "/run/m-00000-of-00001") == (caught.value.rule, caught.value.file)


WRONG = {
    "too few": ("int32", values_proto("int32", [1])),
    "too many": ("int32", values_proto("int32", [1, 2, 3])),
    "another field": ("int32", values_proto("int64", [1, 2])),
    "half a float": ("float32", field(5, bytes(7))),
    "too few floats": ("float32", field(5, bytes(4))),
    "too many floats": ("float32", field(5, bytes(12))),
    "beyond the dtype": ("int8", field(7, varint(1) + varint(200))),
    "below the dtype": ("uint8", field(7, varint(1) + varint(-1))),
    "no bool": ("bool", field(11, b"\x01\x02")),
    "no half": ("float16", field(13, varint(1) + varint(70_000))),
    "beyond 32 bits": ("uint32", field(16, varint(1) + varint(2**32))),
    "a number cut short": ("int64", field(10, b"\x01\x80")),
    "a number too long": ("int64", field(10, b"\x01" + b"\x80" * 10 + b"\x01")),
    "more than 64 bits": ("int64", field(10, b"\x01" + b"\xff" * 9 + b"\x02")),
    "no message": ("int32", b"\xff\xff\xff"),
    "too few strings": ("string", field(8, b"a")),
}


@pytest.mark.parametrize(("dtype", "proto"), WRONG.values(), ids=WRONG.keys())
def test_wrong_values_are_errors_of_their_tensor(dtype, proto):
    """Values that are no values of the dtype, or not as many as the shape asks for, are damage."""
    source = opened(
        slice_file(
            Tensor(b"w", dtype, (2,), (INT, proto + b"\x9a\x06\x02zz")), whole(b"x", "bool", [])
        )
    )
    with pytest.raises(ckpt.CorruptCheckpointError, match=r"T-15|T-4"):
        source.read(0)

    assert (0,) == source.read(1).shape
    assert 1 == len(source.verify())


def test_a_slice_that_belongs_elsewhere_is_found():
    """Under the key of a slice there must be that very slice."""
    other = field(2, field(1, b"v") + field(2, field(1, b"")) + field(3, values_proto("int8", [1])))
    listed = Tensor(b"w", "int8", (1,), (INT, [1]))
    meta = field(1, field(1, listed.meta()) + field(2, b"\x08\x01"))
    key = next(iter(listed.rows(packed=True)))
    with pytest.raises(ckpt.CorruptCheckpointError, match="T-15"):
        opened(table({b"": meta, key: other})).read(0)


def test_files_that_do_not_belong_together():
    """Two files of a set that disagree on a tensor are refused."""
    with pytest.raises(ckpt.CorruptCheckpointError, match="T-15"):
        opened(
            slice_file(Tensor(b"w", "int32", (4,), ([(0, 2)], [1, 2]))),
            slice_file(Tensor(b"w", "int32", (5,), ([(2, 2)], [1, 2]))),
        )


@pytest.mark.parametrize(
    "data",
    [
        slice_file(version=b"\x10\x02"),
        slice_file(version=field(3, b"\x01")),
        table({b"": field(1, field(1, field(1, b"w") + count(3, 14)))}),
        table({b"": field(1, field(1, field(1, b"w") + count(3, 99)))}),
    ],
    ids=["a later reader", "this reader", "bfloat16", "an unknown dtype"],
)
def test_what_is_not_for_this_reader_is_refused(data):
    """A file for later readers only, or with a dtype that it cannot hold, is unsupported."""
    with pytest.raises(ckpt.UnsupportedFormatError):
        opened(data)


def test_every_flipped_bit_is_found_at_opening():
    """No bit of the golden file can be flipped unnoticed but in the padding of its footer."""
    footer = len(GOLDEN) - 48
    for place in range(len(GOLDEN)):
        for bit in range(8):
            data = bytearray(GOLDEN)
            data[place] ^= 1 << bit
            try:
                source = opened(bytes(data))
            except ckpt.CorruptCheckpointError:
                continue
            assert footer <= place < len(GOLDEN) - 8, (place, bit)
            assert [-1, 5] == source.read(1).tolist()


def test_damage_that_comes_later_is_found(tmp_path):
    """A block is checked again when something in it is read."""
    array = np.arange(300_000, dtype=np.float32)
    path = tmp_path / "m"
    path.write_bytes(slice_file(whole(b"w", "float32", array)))
    source = open_slice_files(LOCAL, str(path), [str(path)])
    with path.open("r+b") as file:
        file.seek(500_000)
        file.write(b"\xff\xff")

    assert not source.unchanged()
    with pytest.raises(ckpt.CorruptCheckpointError, match="T-2"):
        source.read(0)
    assert ["T-2"] == [finding.rule for finding in source.verify()]


def test_another_file_in_its_place_is_found(tmp_path):
    """A file that is overwritten by another one while it is open is not taken for the old one."""
    path = tmp_path / "m"
    path.write_bytes(slice_file(whole(b"w", "int8", [1])))
    source = open_slice_files(LOCAL, str(path), [str(path)])
    path.write_bytes(slice_file(whole(b"v", "int8", [2])))
    with pytest.raises(ckpt.CorruptCheckpointError):
        source.read(0)


def test_a_closed_source_reads_nothing():
    """Once it is closed, reading is refused."""
    source = opened(GOLDEN)
    source.close()
    source.close()

    assert source.closed
    with pytest.raises(ckpt.StorageError, match="closed"):
        source.read(0)


def test_a_missing_file_is_said():
    """A set without one of its files is no checkpoint."""
    storage = MemoryStorage(DiskImage({"/run/a": GOLDEN}))
    with pytest.raises(ckpt.CheckpointNotFoundError):
        open_slice_files(storage, "/run/x", ["/run/a", "/run/b"])


def test_a_block_is_read_once_for_all_its_slices(monkeypatch):
    """However large blocks are, and in whatever order the file lists their slices."""
    rows = np.arange(2**20, dtype=np.float32).reshape(16, -1)  # 4 MiB, in blocks of 1.25 MiB
    order = np.random.default_rng(0).permutation(16).tolist()
    extents = [[(i, 1), (0, None)] for i in order]
    w = Tensor(b"w", "float32", rows.shape, *zip(extents, rows[order], strict=True))
    content = {b"": field(1, field(1, w.meta()) + field(2, b"\x08\x01")), **w.rows(packed=True)}
    source = opened(bundles.table(sorted(content.items()), bundles.Style(size=5 * 2**18)))
    read: list[bytes] = []
    monkeypatch.setattr(
        slice_table,
        "read_block",
        lambda data, handle, file: read.append(handle) or read_block(data, handle, file),
    )

    assert same(rows, source.read(0))
    assert 4 == len(read) == len(set(read))


def test_reading_a_part_of_many_slices_takes_little_memory(tmp_path):
    """One slice is in memory at a time, whatever the size of the file."""
    rows, parts = 2**18, 16
    array = np.arange(rows * parts, dtype=np.float32)
    path = tmp_path / "m"
    slices = [([(i * rows, rows)], array[i * rows : (i + 1) * rows]) for i in range(parts)]
    path.write_bytes(slice_file(Tensor(b"w", "float32", (rows * parts,), *slices)))
    target = np.zeros_like(array)
    tracemalloc.start()
    try:
        source = open_slice_files(LOCAL, str(path), [str(path)])
        source.read_into([0], [target])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert same(array, target)
    assert peak < 8 * 4 * rows < array.nbytes


ARRAYS = st.one_of(
    [
        hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        for dtype in sorted(set(FIELDS) - {"string"})
    ]
)


@given(st.dictionaries(st.binary(min_size=1, max_size=5), ARRAYS, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_is_read(arrays, packed):
    """Any tensors under any names come back exactly, in the order of their names."""
    tensors = [whole(name, array.dtype.name, array) for name, array in arrays.items()]
    source = opened(slice_file(*tensors, packed=packed))
    names = sorted(arrays)

    assert [name.decode("utf-8", "surrogateescape") for name in names] == list(source.names)
    for number, name in enumerate(names):
        assert same(arrays[name], source.read(number))


def mutated(data: bytes, draw: Any) -> bytes:
    """Return a file with a few bytes changed, cut out or put in."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(changed)))
        changed[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(changed)


def check_no_other_error(data: bytes) -> None:
    """Open a file and read all that is in it: whatever happens, it is an error of this library."""
    try:
        source = opened(data)
        source.verify()
        for number, info in enumerate(source.tensors):
            if info.size < 10_000:
                source.read(number)
    except (ckpt.CorruptCheckpointError, ckpt.UnsupportedFormatError):
        pass


RICH = slice_file(
    Tensor(
        b"w", "int16", (4, 3), ([(0, 1), (0, None)], [1, -2, 3]), ([(1, 3), (0, None)], range(9))
    ),
    whole(b"s", "string", np.array([b"", b"abc"], object)),
    whole(b"z", "complex64", np.complex64([1 + 2j])),
    whole(b"h", "float16", np.float16(1.5)),
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_damage_escapes(data):
    """Damage to a whole file is an error of this library, whatever it is."""
    check_no_other_error(mutated(RICH, data.draw))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_damage_under_right_checksums_escapes(data):
    """Nor does damage to the messages whose blocks have right checksums."""
    tensor = Tensor(
        b"w", "int16", (2, 2), ([(0, 1), (0, None)], [1, -2]), ([(1, 1), (0, 2)], [3, 4])
    )
    rows = {b"": field(1, field(1, tensor.meta()) + field(2, b"\x08\x01"))}
    rows |= tensor.rows(packed=True)
    key = data.draw(st.sampled_from(sorted(rows)))
    rows[key] = mutated(rows[key], data.draw)
    check_no_other_error(table(rows))


@pytest.mark.campaign
@given(st.data())
@settings(max_examples=50_000, deadline=None)
def test_no_damage_escapes_in_a_campaign(data):
    """As above, many times."""
    check_no_other_error(mutated(RICH, data.draw))
    tensor = Tensor(b"w", "string", (2, 2), ([(0, 1), (0, None)], b""), ([(1, 1), (0, 2)], b""))
    rows = {b"": field(1, field(1, tensor.meta()))} | tensor.rows(packed=True)
    key = data.draw(st.sampled_from(sorted(rows)))
    check_no_other_error(table(rows | {key: mutated(rows[key], data.draw)}))
