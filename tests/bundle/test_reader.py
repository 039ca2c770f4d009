"""What the reader gives back: whole tensors, slices, values, and when it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.errors import CorruptCheckpointError, StorageError
from checkpointable.format.records import Blob, TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.format.strings import encode_strings
from checkpointable.format.values import encode_value
from checkpointable.interop.opening import open_checkpoint, verify_files
from checkpointable.storage.base import ReadableFile
from checkpointable.storage.local import LocalStorage
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.bundle.checkpoints import Tensor, opened, write, written
from tests.format.indexes import one_value, seal, tokens

CHUNK = 262_144
LARGE = 65_536
RNG = np.random.default_rng(7)

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "small": np.arange(5, dtype=np.int16),
    "0-d": np.array(2.5),
    "0-size": np.zeros((3, 0, 2), dtype=np.float32),
    "bool": np.array([[True, False]]),
    "bytes": np.array([b"abc", b"\0d"]),
    "text": np.array([["ä", "\U0010ffff"]]),
    "datetime": np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    "timedelta": np.arange(3).astype("m8[25s]"),
    "complex": RNG.random(7) + 1j,
    "half": RNG.random(9).astype(np.float16),
    "bfloat16": RNG.random((5, 4)).astype(ml_dtypes.bfloat16),
    "float8": RNG.random(70).astype(ml_dtypes.float8_e5m2),
    "int4": np.arange(-8, 8).astype(ml_dtypes.int4),
    "big-endian": np.arange(40, dtype=">f4"),
    "large": RNG.random((33, 5000)),
    "large bfloat16": RNG.random((300, 301)).astype(ml_dtypes.bfloat16),
    "large text": np.arange(20_000).astype("U5"),
    "large transposed": RNG.random((1000, 77)).T,
    "no numbers": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "empty text": np.array(["", ""]),
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Return the files of a checkpoint of all arrays."""
    return written(list(ARRAYS.values()), max_shard_bytes=10**6)


def native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array in native byte order and C order."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)


def bits(array: np.ndarray[Any, Any]) -> tuple[Any, Any, bytes]:
    """Return all that makes two arrays the same, NaNs bit for bit."""
    return array.dtype, array.shape, native(array).tobytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_tensors_come_back_bit_for_bit(name: str, files: dict[str, bytes]) -> None:
    """A tensor read anew has the dtype, in native byte order, the shape and the bits it had."""
    source, number = opened(files), list(ARRAYS).index(name)

    assert bits(native(ARRAYS[name])) == bits(source.read(number))
    assert source.tensors[number].shape == ARRAYS[name].shape


@pytest.mark.parametrize("order", ["=", ">"])
def test_tensors_are_read_into_live_arrays(order: Any, files: dict[str, bytes]) -> None:
    """All tensors at once are read into arrays of either byte order; positions are reported."""
    source, done = opened(files), list[int]()
    numbers = list(range(len(ARRAYS)))[::-1]
    targets = [np.empty(a.shape, a.dtype.newbyteorder(order)) for a in list(ARRAYS.values())[::-1]]
    source.read_into(numbers, targets, done)

    for number, target in zip(numbers, targets, strict=True):
        assert bits(native(list(ARRAYS.values())[number])) == bits(native(target))
    sized = [p for p, number in enumerate(numbers) if list(ARRAYS.values())[number].size]
    assert sized == sorted(done)


def test_one_tensor_can_be_read_into_two_arrays() -> None:
    """The same number twice in one request fills both targets."""
    source = opened(written([np.arange(5.0), np.arange(LARGE)]))
    targets = [np.empty(5), np.empty(5), np.empty(LARGE, np.int64), np.empty(LARGE, np.int64)]
    source.read_into([0, 0, 1, 1], targets)

    assert [list(range(5))] * 2 == [t.tolist() for t in targets[:2]]
    assert [list(range(LARGE))] * 2 == [t.tolist() for t in targets[2:]]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_subset_in_any_order_is_read(data: st.DataObject) -> None:
    """Small tensors in slabs, some of them, in any order, each gets its own bytes."""
    sizes = data.draw(st.lists(st.integers(0, 60_000) | st.just(70_000), min_size=1, max_size=30))
    arrays: list[Tensor] = [np.full(n, i, dtype=np.uint8) for i, n in enumerate(sizes)]
    source = opened(written(arrays, max_shard_bytes=data.draw(st.sampled_from([None, 200_000]))))
    numbers = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=20))
    targets = [np.full(sizes[n], 255, dtype=np.uint8) for n in numbers]
    source.read_into(numbers, targets)

    assert [arrays[n].tolist() for n in numbers] == [t.tolist() for t in targets]


INDEX_PART = st.one_of(
    st.integers(-9, 8),
    st.builds(
        slice,
        st.none() | st.integers(-12, 12),
        st.none() | st.integers(-12, 12),
        st.none() | st.integers(-4, 4).filter(bool),
    ),
)


class TestSlices:
    """read_slice: what numpy gives for the whole tensor, from the chunks that are needed."""

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_basic_indexing_gives_what_numpy_gives(self, data: st.DataObject) -> None:
        """Integers, slices of any step, an ellipsis and new axes select as in numpy."""
        shape = data.draw(st.lists(st.sampled_from([1, 3, 9]), max_size=4).map(tuple))
        array = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
        parts: list[Any] = data.draw(st.lists(INDEX_PART, max_size=len(shape)))
        if data.draw(st.booleans()):
            parts.insert(data.draw(st.integers(0, len(parts))), ...)
        for _ in range(data.draw(st.integers(0, 2))):
            parts.insert(data.draw(st.integers(0, len(parts))), None)
        index = parts[0] if len(parts) == 1 else tuple(parts)
        source = opened(written([np.zeros(3), array]))
        try:
            expected = np.asarray(array[index])
        except IndexError:
            with pytest.raises(IndexError):
                source.read_slice(1, index)
            return

        assert bits(expected) == bits(source.read_slice(1, index))

    @pytest.mark.parametrize(
        "index",
        [
            *((..., 3), (slice(None), slice(10, 5000, 700)), 32, (-1, -1), slice(None, None, -8)),
            *((slice(1, 3), slice(None)), slice(0, 0), (None, 5, ..., None)),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("name", ["large", "large bfloat16"])
    def test_large_tensors_are_sliced_too(
        self, name: str, index: Any, files: dict[str, bytes]
    ) -> None:
        """Slices of tensors of many chunks, of any dtype, are what numpy gives."""
        number = list(ARRAYS).index(name)

        expected = np.asarray(ARRAYS[name][index])
        assert bits(expected) == bits(opened(files).read_slice(number, index))

    def test_rows_larger_than_a_chunk_are_looked_into(self) -> None:
        """A column of a matrix with long rows is gathered row by row."""
        array = np.arange(3 * 2 * 150_000, dtype=np.int32).reshape(3, 2, 150_000)
        source = opened(written([array]))

        for index in [(..., 70_000), (slice(None, None, -2), 1, slice(5, 140_000, 60_000)), 1]:
            assert bits(array[index]) == bits(source.read_slice(0, index))

    def test_only_the_chunks_that_are_needed_are_read(self) -> None:
        """A slice of rows reads the chunks of these rows; damage elsewhere goes unnoticed."""
        array = np.arange(10 * CHUNK, dtype=np.uint8).reshape(10, CHUNK)
        files = written([array])
        (name,) = [n for n in files if ".data-" in n]
        damaged = bytearray(files[name])
        damaged[4 * CHUNK] ^= 1
        source = opened(files | {name: bytes(damaged)})

        assert bits(array[5:, :7]) == bits(source.read_slice(0, (slice(5, None), slice(7))))
        assert bits(array[:4, -1]) == bits(source.read_slice(0, (slice(4), -1)))
        with pytest.raises(CorruptCheckpointError):
            source.read_slice(0, (4, 0))

    @pytest.mark.parametrize(
        ("index", "message"),
        [
            ([0, 1], "list is no basic index"),
            (np.array([0]), "ndarray is no basic index|only integer scalar"),
            (True, "booleans"),
            (1.0, "float is no basic index"),
            ((0, 0, 0), "too many indices: the tensor has 2 dimensions, 3"),
            (3, "index 3 is out of bounds for a dimension of size 3"),
            ((..., ...), "single ellipsis"),
        ],
        ids=str,
    )
    def test_other_indices_are_refused(self, index: Any, message: str) -> None:
        """What is no basic index, or out of range, is an IndexError as in numpy."""
        with pytest.raises(IndexError, match=message):
            opened(written([np.zeros((3, 2))])).read_slice(0, index)

    def test_strings_are_sliced(self) -> None:
        """A slice of an array of strings is one of dtype object."""
        array = np.array([["a", b"b"], ["c", "d"]], dtype=object)
        source = opened(written([encode_strings(array)]))

        assert [b"b", "d"] == source.read_slice(0, (slice(None), 1)).tolist()
        assert [["d", "c"]] == source.read_slice(0, (slice(1, 2), slice(None, None, -1))).tolist()


class TestValues:
    """Python values, inline or in shards."""

    def test_values_come_back(self) -> None:
        """Inline values, large values, opaque bytes and strings are read by number."""
        large = list(range(50_000))
        strings = np.array(["a", b"\xff"], dtype=object)
        tensors: list[Tensor] = [
            Blob("python", (), encode_value(large)),
            Blob("bytes", (), b"state"),
            Blob("bytes", (), b""),
            encode_strings(strings),
            encode_strings(np.zeros((2, 0), dtype=object)),
        ]
        source = opened(written(tensors, [encode_value({"a": 1})], max_shard_bytes=1000))

        assert [large, b"state", b"", {"a": 1}] == [source.value(i) for i in (0, 1, 2, 5)]
        assert strings.tolist() == source.read(3).tolist()
        assert ((2, 0), object) == (source.read(4).shape, source.read(4).dtype)
        assert b"state" == source.read(1)[()]
        assert TensorInfo("string", (2,)) == source.tensors[3]
        with pytest.raises(TypeError, match="dtype string"):
            source.value(3)

    def test_a_value_that_is_malformed_is_refused_when_read(self) -> None:
        """F-36: an inline value of another encoding is found by reading it, and by verify."""
        source = opened(written([], [b"\xcc\x01"]))

        with pytest.raises(CorruptCheckpointError) as raised:
            source.value(0)
        assert ["F-39"] == [finding.rule for finding in source.verify()] == [raised.value.rule]

    def test_metadata_come_back(self) -> None:
        """The metadata are a dict of plain values."""
        metadata = {"run": 7, "tags": ("a", None)}

        assert metadata == opened(written([], metadata=metadata)).metadata


def hand_made(
    dtype: str, shape: list[int], shards: list[bytes], **changed: Any
) -> CheckpointSource:
    """Open a checkpoint of one tensor whose index was made by hand, with right digests."""
    columns = one_value(dtype, shape, len(shards[0])) | changed
    columns["chunk_counts"] = [1] * len(shards)
    columns["chunk_lengths"] = [len(data) for data in shards]
    columns["chunk_digests"] = list(b"".join(map(xxhash.xxh3_128_digest, shards)))
    names = [
        f"/run/ckpt.data-{i:05d}-of-{len(shards):05d}.{token:016x}"
        for i, token in enumerate(tokens(columns))
    ]
    return opened({"/run/ckpt.index": seal(columns)} | dict(zip(names, shards, strict=True)))


PINWHEEL = [
    ([0, 0], [1, 2]),
    ([0, 2], [2, 1]),
    ([1, 0], [2, 1]),
    ([1, 1], [1, 1]),
    ([2, 1], [1, 2]),
]


def divided(shape: list[int], boxes: list[tuple[list[int], list[int]]]) -> CheckpointSource:
    """Open a checkpoint of one int16 tensor, 0, 1, 2 ..., in boxes that lie in shards in turn."""
    whole = np.arange(int(np.prod(shape)), dtype="<i2").reshape(shape)
    shards, places = [b"", b""], []
    for i, (start, size) in enumerate(boxes):
        part = whole[tuple(slice(b, b + n) for b, n in zip(start, size, strict=True))].tobytes()
        align = 64 if len(part) >= 64 else 2
        shards[i % 2] += bytes(-len(shards[i % 2]) % align)
        places.append((i % 2, len(shards[i % 2]), len(part)))
        shards[i % 2] += part
    return hand_made(
        "int16",
        shape,
        shards,
        extent_counts=[len(boxes)],
        extent_shards=[shard for shard, _, _ in places],
        extent_offsets=[offset for _, offset, _ in places],
        extent_lengths=[length for _, _, length in places],
        extent_starts=[n for start, _ in boxes for n in start],
        extent_shapes=[n for _, size in boxes for n in size],
    )


DIVIDED = {
    "rows": ([3, 4], [([0, 0], [1, 4]), ([1, 0], [2, 4])]),
    "columns": ([3, 4], [([0, 0], [3, 1]), ([0, 1], [3, 3])]),
    "pinwheel": ([3, 3], PINWHEEL),
    "lines": ([200], [([0], [70]), ([70], [1]), ([71], [129])]),
}


class TestDividedTensors:
    """F-28: tensors that several processes wrote, in indexes made by hand."""

    @pytest.mark.parametrize("name", DIVIDED)
    def test_slices_written_by_several_processes_are_one_tensor(self, name: str) -> None:
        """Boxes in different shards are read as one array, in either byte order."""
        shape, boxes = DIVIDED[name]
        whole = np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
        source = divided(shape, boxes)
        foreign, done = np.empty(shape, ">i2"), list[int]()
        source.read_into([0], [foreign], done)

        assert bits(whole) == bits(source.read(0))
        assert (whole.tolist(), [0]) == (foreign.tolist(), done)
        assert [] == source.verify()

    @given(st.data())
    @settings(max_examples=100, deadline=None)
    def test_they_are_sliced_as_one_tensor(self, data: st.DataObject) -> None:
        """A slice across boxes is what numpy gives for the whole."""
        shape, boxes = DIVIDED[data.draw(st.sampled_from(sorted(DIVIDED)))]
        whole = np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
        index = tuple(data.draw(st.lists(INDEX_PART, max_size=len(shape))))
        try:
            expected = np.asarray(whole[index])
        except IndexError:
            return

        assert bits(expected) == bits(divided(shape, boxes).read_slice(0, index))


class TestDamage:
    """Reading what was damaged."""

    @pytest.mark.parametrize("order", ["=", ">"])
    def test_damage_is_raised_and_done_is_exact(self, order: Any) -> None:
        """The error names the shard; `done` lists just the arrays that were written to."""
        arrays: list[Tensor] = [
            np.arange(10.0),
            np.arange(LARGE, dtype=np.float64),
            np.arange(9.0),
            np.zeros(LARGE),
        ]
        files = written(arrays, max_shard_bytes=1)
        (name,) = [n for n in files if "data-00001" in n]
        damaged = bytearray(files[name])
        damaged[CHUNK + 5] ^= 4
        source = opened(files | {name: bytes(damaged)})
        targets = [np.full(a.shape, -1.0).astype(f"{order}f8") for a in arrays]
        done = list[int]()
        with pytest.raises(CorruptCheckpointError) as raised:
            source.read_into([0, 1, 2, 3], targets, done)

        assert ("F-32", name) == (raised.value.rule, raised.value.file)
        touched = [i for i, t in enumerate(targets) if (t != -1).any()]
        assert touched == sorted(done)
        assert bits(arrays[2]) == bits(source.read(2))

    @pytest.mark.parametrize(("dtype", "data"), [("bool", b"\0\2"), ("U2", b"a\0\0\0\0\0\x11\0")])
    def test_impossible_elements_are_refused(self, dtype: str, data: bytes) -> None:
        """F-25: a bool that is neither 0 nor 1, or a character beyond Unicode, is refused."""
        source = hand_made(dtype, [len(data) // (1 if dtype == "bool" else 8)], [data])

        for read in (lambda: source.read(0), lambda: source.read_slice(0, ...)):
            with pytest.raises(CorruptCheckpointError) as raised:
                read()
            assert raised.value.rule == "F-25"
        assert ["F-25"] == [finding.rule for finding in source.verify()]

    def test_a_file_that_shrinks_while_it_is_open_is_refused(self) -> None:
        """F-2: an end of file before the end of a chunk is an error, never zeros."""
        files = written([np.arange(100.0)])
        storage = Watched(files)
        source = open_checkpoint(storage, "/run/ckpt")
        storage.missing = 1

        with pytest.raises(CorruptCheckpointError) as raised:
            source.read(0)
        assert (raised.value.rule, raised.value.expected) == ("F-2", "800 bytes")


class Watched(MemoryStorage):
    """A storage that counts what is open and what is read, and can interfere with a read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(DiskImage(files))
        self.open_files: set[int] = set()
        self.reads: list[tuple[int, int]] = []
        self.before_read: Callable[[], None] = lambda: None
        self.missing = 0

    def open_read(self, path: str) -> ReadableFile:
        file = super().open_read(path)
        read, close = file.read_into, file.close

        def read_into(offset: int, buffer: memoryview) -> int:
            self.before_read()
            if ".data-" in path:
                self.reads.append((offset, len(buffer)))
                return read(offset, buffer[: len(buffer) - self.missing])
            return read(offset, buffer)

        def note_close() -> None:
            self.open_files.discard(id(file))
            close()

        file.read_into, file.close = read_into, note_close  # type: ignore[method-assign]
        self.open_files.add(id(file))
        return file


class TestThreads:
    """Large reads go through several threads."""

    ARRAYS: ClassVar[list[Tensor]] = [
        RNG.random(2**17),
        np.arange(9),
        RNG.random((512, 2050)),
        RNG.random(3),
    ]

    def test_large_reads_are_right(self) -> None:
        """Tensors of many chunks, read by several threads, come back bit for bit."""
        done = list[int]()
        targets = [np.zeros_like(a) for a in self.ARRAYS]
        opened(written(self.ARRAYS)).read_into(range(4), targets, done)

        assert list(map(bits, self.ARRAYS)) == list(map(bits, targets))
        assert [0, 1, 2, 3] == sorted(done)

    def test_damage_stops_the_other_threads_and_done_is_exact(self) -> None:
        """The first error is raised when all threads have ended; then nothing is written."""
        files = written(self.ARRAYS, max_shard_bytes=1)
        (name,) = [n for n in files if "data-00000" in n]
        damaged = bytearray(files[name])
        damaged[0] ^= 4
        targets = [np.full_like(a, -1) for a in self.ARRAYS]
        done = list[int]()
        source = opened(files | {name: bytes(damaged)})
        with pytest.raises(CorruptCheckpointError) as raised:
            source.read_into(range(4), targets, done)

        assert (name, True) == (raised.value.file, 0 in done)
        assert [i for i, t in enumerate(targets) if (t != -1).any()] == sorted(done)


class TestReads:
    """How much is read, and which files stay open."""

    def test_small_tensors_that_lie_apart_are_read_apart(self) -> None:
        """What lies between two tensors that are wanted is not read."""
        arrays: list[Tensor] = [np.arange(8.0), np.zeros(8 * CHUNK, np.uint8), np.arange(9.0)]
        storage = Watched(written(arrays))
        source = open_checkpoint(storage, "/run/ckpt")
        source.read_into([0, 2], [np.empty(8), np.empty(9)])

        assert [(0, 64), (64 + 8 * CHUNK, 72)] == storage.reads

    def test_small_tensors_that_lie_together_are_read_together(self) -> None:
        """Each chunk of a slab is read once, however many tensors lie in it."""
        arrays: list[Tensor] = [np.full(1000, i % 256, dtype=np.uint8) for i in range(3000)]
        storage = Watched(written(arrays))
        source = open_checkpoint(storage, "/run/ckpt")
        source.read_into(range(3000), [np.empty(1000, np.uint8) for _ in range(3000)])

        assert -(-3000 * 1024 // CHUNK) == len(storage.reads) == len(set(storage.reads))

    def test_all_files_are_closed(self) -> None:
        """I-11: closing closes every shard; a refused checkpoint leaves nothing open."""
        files = written([np.zeros(3), np.ones(3)], max_shard_bytes=1)
        storage = Watched(files)
        source = open_checkpoint(storage, "/run/ckpt")
        assert len(storage.open_files) == 2
        source.close()
        assert set() == storage.open_files

        storage = Watched({name: d for name, d in files.items() if "00001-of" not in name})
        with pytest.raises(CorruptCheckpointError):
            open_checkpoint(storage, "/run/ckpt")
        assert 1 == len(verify_files(storage, "/run/ckpt"))
        assert set() == storage.open_files

    def test_closing_waits_for_the_reads_in_progress(self) -> None:
        """A source that is closed during a read ends that read first, then closes its files."""
        storage = Watched(written([np.arange(CHUNK, dtype=np.float64)]))
        source = open_checkpoint(storage, "/run/ckpt")
        steps = iter([lambda: source.read(0), source.close])

        def interfere() -> None:
            next(steps, lambda: None)()  # a second read begins within the first, then a close

        storage.before_read = interfere
        assert CHUNK == len(source.read(0))

        assert (True, set()) == (source.closed, storage.open_files)
        with pytest.raises(StorageError, match="the checkpoint was closed"):
            source.read(0)


class TestLife:
    """Opening, closing, replacing."""

    def test_a_closed_source_refuses(self) -> None:
        """Nothing but inline values can be read from a closed source; closing twice is harmless."""
        source = opened(written([np.zeros(3)], [b"\x05"]))
        source.close()
        source.close()

        assert (True, 5) == (source.closed, source.value(1))
        for read in (
            lambda: source.read(0),
            lambda: source.read_into([0], [np.zeros(3)]),
            lambda: source.read_slice(0, 0),
            source.verify,
        ):
            with pytest.raises(StorageError, match=r"the checkpoint was closed.*Open it again"):
                read()

    def test_a_replaced_checkpoint_is_still_read(self, tmp_path: Any) -> None:
        """A source reads what was there when it was opened, and knows that it was replaced."""
        storage, prefix = LocalStorage(), str(tmp_path / "ckpt")
        write(storage, [np.zeros(3)], prefix=prefix)
        source = open_checkpoint(storage, prefix)
        assert source.unchanged()
        write(storage, [np.ones(3)], prefix=prefix)

        assert (False, [0, 0, 0]) == (source.unchanged(), source.read(0).tolist())
        assert [1, 1, 1] == open_checkpoint(storage, prefix).read(0).tolist()
        source.close()

    def test_several_threads_read_one_source(self) -> None:
        """Reads from several threads at once give each the right bytes."""
        arrays: list[Tensor] = [np.full(50_000, i) for i in range(8)]
        source = opened(written(arrays))
        wrong: list[int] = []

        def read(number: int) -> None:
            wrong.extend(number for _ in range(20) if (source.read(number) != number).any())

        threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [] == wrong
