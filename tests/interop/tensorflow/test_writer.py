"""What is written in TensorFlow's format, byte for byte, and what is refused before that."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import Divided
from checkpointable.graph.named import divided, named_snapshot
from checkpointable.interop.tensorflow.data_writer import place_pieces
from checkpointable.interop.tensorflow.table import read_table
from checkpointable.interop.tensorflow.writer import write_tensorflow
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Buffer, WritableFile

Array = npt.NDArray[Any]

#: Written by TensorFlow 2.21 itself (SaveV2): ab = [1, 2] as float32, abc = ["hi", ""], and
#: p = [1, 2, 3, 4] as int32 in two slices.
DATA = "0000803f00000040 020078270b346869 0100000002000000 0300000004000000"
INDEX = """
    00000608011a0208010008110070000101018082080312041202080220102808
    35bfdfdb7a0602118282080312041202080220182808357443a3aa00020f6162
    0801120412020802280835593ce5350201116308071204120208022008280835
    9e9e48ed0001167008031204120208043a040a0210023a060a04080210020000
    00000100000000422eb893000000000100000000c0f2a1b00001037100860100
    00000001000000006cfdf9398b010898010f0000000000000000000000000000
    000000000000000000000000000000000000000057fb808b247547db
"""


class Sink(WritableFile):
    """A file in memory, or one that forgets what is written to it."""

    inherited = False

    def __init__(self, path: str, *, forgets: bool = False) -> None:
        self.path = path
        self.data = bytearray()
        self.length = 0
        self._forgets = forgets

    def write(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            view = memoryview(buffer)
            self.length += view.nbytes
            if not self._forgets:
                self.data += view.cast("B") if view.nbytes else b""

    def sync(self) -> None:
        """Do nothing."""

    def lock(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing."""


class SinkCommit:
    """A commit that renames nothing; so many shards are there already."""

    def __init__(self, taken: int = 0, *, forgets: bool = False) -> None:
        self.file = Sink("ckpt.index")
        self.shards: list[Sink] = []
        self.count = 0
        self._taken = taken
        self._forgets = forgets

    def create_shard(self, shard: int) -> Sink:
        self.shards.append(Sink(f"shard {shard}", forgets=self._forgets))
        return self.shards[shard]

    def seal_shard(self, shard: int) -> None:
        """Do nothing."""

    def finish_without_tokens(self, count: int, write_index: Callable[[int], None]) -> None:
        self.count = max(count, self._taken + 1)
        write_index(self.count)


def written(
    values: Mapping[str, Array | Divided], groups: Sequence[int] = (), **options: Any
) -> SinkCommit:
    """Return a commit to which these values were written under their names."""
    commit = SinkCommit()
    settings = SaveOptions(format="tensorflow", **options)
    write_tensorflow(commit, named_snapshot(values), settings, groups)
    return commit


def entries(commit: SinkCommit) -> dict[bytes, bytes]:
    """Return the rows of the index."""
    return dict(read_table(memoryview(bytes(commit.file.data)), "ckpt.index"))


def in_two(array: Array) -> Divided:
    """Return an array in two slices."""
    rest = (0,) * (array.ndim - 1)
    slices = [((0, *rest), array[:2]), ((2, *rest), array[2:])]
    whole = divided("p", array.shape, slices)
    assert isinstance(whole, Divided)
    return whole


def test_the_files_are_those_of_tensorflow() -> None:
    """Numbers, strings and slices give the very bytes that TensorFlow writes."""
    values = {
        "ab": np.array([1, 2], np.float32),
        "abc": np.array([b"hi", b""], object),
        "p": in_two(np.array([1, 2, 3, 4], np.int32)),
    }
    commit = written(values)

    assert [bytes.fromhex(DATA)] == [bytes(shard.data) for shard in commit.shards]
    assert bytes.fromhex(INDEX) == bytes(commit.file.data)


DTYPES: dict[Any, int] = {
    np.float32: 1,
    np.float64: 2,
    np.int32: 3,
    np.uint8: 4,
    np.int16: 5,
    np.int8: 6,
    np.complex64: 8,
    np.int64: 9,
    np.bool_: 10,
    np.uint16: 17,
    np.complex128: 18,
    np.float16: 19,
    np.uint32: 22,
    np.uint64: 23,
    ml_dtypes.bfloat16: 14,
    ml_dtypes.float8_e5m2: 24,
    ml_dtypes.float8_e4m3fn: 25,
    ml_dtypes.float8_e4m3fnuz: 26,
    ml_dtypes.float8_e4m3b11fnuz: 27,
    ml_dtypes.float8_e5m2fnuz: 28,
    ml_dtypes.int4: 29,
    ml_dtypes.uint4: 30,
    ml_dtypes.int2: 31,
    ml_dtypes.uint2: 32,
    ml_dtypes.float4_e2m1fn: 33,
}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_every_dtype_has_its_number_and_its_bytes(dtype: Any) -> None:
    """T-6, T-7: all that TensorFlow has is written little-endian, in C order, without gaps."""
    small = np.arange(6).reshape(2, 3).astype(dtype)
    large = np.resize(small, (300, 1000))
    values = {"a": small, "b": small.T, "c": small[::-1, ::2], "d": large, "e": large.T}
    commit = written({**values, "f": np.array(small[0, 1]), "g": small[:0]})
    rows = entries(commit)

    expected = b"".join(np.ascontiguousarray(value).tobytes() for value in values.values())
    assert expected + small[0, 1].tobytes() == bytes(commit.shards[0].data)
    assert bytes([8, DTYPES[dtype]]) == rows[b"a"][:2]
    assert b"\x12\x00" == rows[b"f"][2:4]  # the shape of a scalar
    assert bytes.fromhex("35 d8ea82a2") == rows[b"g"][-5:]  # the checksum of nothing


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u8", "c8", "c16", "f2"])
def test_the_byte_order_in_memory_does_not_matter(dtype: str) -> None:
    """T-5: big-endian arrays give the files that little-endian ones give."""
    arrays = [np.arange(5).astype(dtype), np.arange(60_000).astype(dtype)]
    one = written({str(i): array for i, array in enumerate(arrays)})
    two = written({str(i): array.astype(f">{dtype}") for i, array in enumerate(arrays)})

    assert (one.file.data, one.shards[0].data) == (two.file.data, two.shards[0].data)


def test_bits_that_a_dtype_lacks_are_zero() -> None:
    """T-7: an element of less than a byte takes a byte, and nothing of what else stood there."""
    dirty = np.array([0xFF, 0x31], np.uint8)
    values = {
        "a": dirty.view(ml_dtypes.int4),
        "b": dirty.view(ml_dtypes.uint2),
        "c": dirty.view(ml_dtypes.float4_e2m1fn),
    }

    assert bytes.fromhex("0f01 0301 0f01") == bytes(written(values).shards[0].data)


STRINGS = st.lists(st.binary(max_size=5) | st.binary(min_size=126, max_size=130), max_size=5)


@given(STRINGS, st.booleans())
def test_strings_are_their_lengths_a_checksum_and_their_bytes(
    strings: list[bytes], large: bool
) -> None:
    """T-8: lengths in groups of seven bits, four bytes, then all strings one after the other."""
    strings = [*strings, bytes(20_000)] if large else strings
    array = np.empty(len(strings), object)
    array[:] = strings
    data = bytes(written({"s": array}).shards[0].data)
    lengths = b"".join(groups(len(string)) for string in strings)

    assert lengths == data[: len(lengths)]
    assert b"".join(strings) == data[len(lengths) + 4 :]


def groups(number: int) -> bytes:
    """Return a number in groups of seven bits."""
    parts = []
    while number >= 128:
        parts.append(number % 128 + 128)
        number //= 128
    return bytes([*parts, number])


def test_text_is_stored_in_utf_8_and_annotated() -> None:
    """T-8, T-14: a str gives the bytes that its UTF-8 gives; that it was one is said beside it."""
    text = written({"s": np.array(["hé", "\0"], object)})
    data = written({"s": np.array(["hé".encode(), b"\0"], object)})

    assert entries(text)[b"s"] == entries(data)[b"s"]
    assert text.shards[0].data.startswith(data.shards[0].data)
    assert {b"_CHECKPOINTABLE_ANNOTATIONS"} == entries(text).keys() - entries(data).keys()


def test_an_empty_array_of_strings_has_a_checksum_all_the_same() -> None:
    """T-8: no strings take four bytes."""
    assert "d8ea82a2" == written({"s": np.zeros((0, 2), object)}).shards[0].data.hex()


def test_a_new_shard_begins_before_one_grows_too_large() -> None:
    """max_shard_bytes: no shard of several tensors is larger, a single tensor may be."""
    places = place_pieces([60, 68, 0, 1, 500, 60, 69, 0], 128)

    assert [[0, 1, 2], [3], [4], [5], [6, 7]] == places.members
    assert [0, 0, 0, 1, 2, 3, 4, 4] == places.shards
    assert [0, 60, 128, 0, 0, 0, 0, 69] == places.offsets


def test_groups_share_no_shard() -> None:
    """Tensors of different groups go into different files; what follows goes with the last."""
    places = place_pieces([10] * 6, 25, [7, 2, 7, 7, 2])

    assert [[0, 2], [1, 4], [3], [5]] == places.members


def test_too_many_shards_are_refused() -> None:
    """F-2: five digits count the shards."""
    with pytest.raises(ValueError, match="max_shard_bytes=1 gives 100000 shards"):
        place_pieces([1] * 100_000, 1)


def test_the_index_counts_the_shards_that_there_will_be() -> None:
    """T-5: where files take up the lower numbers, the header and the return say so."""
    commit = SinkCommit(taken=4)
    count = write_tensorflow(
        commit, named_snapshot({"a": np.ones(1)}), SaveOptions(format="tensorflow")
    )

    assert (5, b"\x08\x05") == (count, entries(commit)[b""][:2])


def test_nothing_to_write_gives_an_index_with_its_header() -> None:
    """A checkpoint without tensors has an index, and a header for one shard."""
    commit = written({})

    assert ([], {b"": bytes.fromhex("08011a020801")}) == (commit.shards, entries(commit))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", np.zeros(2, "M8[s]"), r"x: TensorFlow has no dtype datetime64\[s\].*astype\('int64'"),
        ("x", np.zeros(2, "m8[D]"), r"no dtype timedelta64\[D\].*native format.*astype\('int64'"),
        ("x", np.array(["abc"]), r"no dtype U3\. .*x\.astype\(object\), or str\(x\)"),
        ("x", np.array([b"abc"]), r"no dtype S3\. .*x\.astype\(object\), or bytes\(x\)"),
        ("x", np.zeros(1, ml_dtypes.float8_e3m4), r"float8_e3m4.*astype\('float32'\)"),
        ("x", np.zeros(1, ml_dtypes.float8_e8m0fnu), r"no dtype float8_e8m0fnu.*astype\('float32'"),
        ("x", np.array(["a", b"b"], object), "x: an array holds both str and bytes"),
        ("x", np.array(["\ud800"], object), "half of a surrogate pair.*Encode it to bytes"),
        ("\udc80", np.zeros(1), r"^\\udc80: the name is not valid Unicode"),
        ("_CHECKPOINTABLE_OBJECT_GRAPH", np.zeros(1), "keep something else under this name"),
        ("_CHECKPOINTABLE_ANNOTATIONS", np.zeros(1), "keep something else under this name"),
        ("x", in_two(np.zeros(4, np.float16)), "slices of dtype float16.*in one piece"),
        ("x", in_two(np.zeros(4, np.uint64)), "slices of dtype uint64"),
        ("x", in_two(np.zeros(4, ml_dtypes.int2)), "slices of dtype int2"),
        ("x", in_two(np.zeros(4, "M8[s]")), "no dtype datetime64"),
        ("x", in_two(np.zeros((4, *[1] * 8))), "abort .* slices of 9 dimensions.*in one piece"),
    ],
)
def test_what_tensorflow_cannot_hold_is_refused_before_a_byte_is_written(
    name: str, value: Array | Divided, message: str
) -> None:
    """Names, dtypes and texts that TensorFlow lacks: an error with the path and the remedy."""
    commit = SinkCommit()
    snapshot = named_snapshot({"first": np.ones(1), name: value})
    with pytest.raises(NotCheckpointableError, match=message) as caught:
        write_tensorflow(commit, snapshot, SaveOptions(format="tensorflow"))

    assert ([], 0, name) == (commit.shards, commit.file.length, caught.value.path)


def test_a_name_that_is_the_key_of_a_slice_is_refused() -> None:
    """T-11: two values never have one key; slices take theirs from the name of the whole."""
    slices = [((0,), np.zeros(640)), ((640,), np.zeros(640))]
    values = {"p": divided("p", (1280,), slices), "\x00p\x00\x01\x01\x01\u0080\u0080": np.ones(1)}

    with pytest.raises(NotCheckpointableError, match="two values would have this key"):
        written(values)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2**23),
        np.zeros((2**11, 2**12)).T,
        np.zeros(2**23, dtype=">f8"),
        np.zeros((2**12, 2**12))[:, ::2],
        np.zeros(2**26, dtype=ml_dtypes.int4),
    ],
    ids=["contiguous", "transposed", "big-endian", "strided", "sub-byte"],
)
def test_memory_stays_within_its_bound(array: Array) -> None:
    """64 MiB of any stride or byte order are written with less than 8 MiB of memory."""
    commit = SinkCommit(forgets=True)
    snapshot = named_snapshot({"a": array})
    tracemalloc.start()
    write_tensorflow(commit, snapshot, SaveOptions(format="tensorflow"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (2**26, True) == (commit.shards[0].length, peak < 2**23), peak
