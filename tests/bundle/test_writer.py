"""What the writer puts into shards and index."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle.layout import plan_layout
from checkpointable.bundle.writer import write_bundle
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.index import decode_index
from checkpointable.format.records import Blob
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Buffer, WritableFile
from tests.bundle.checkpoints import Tensor, opened, snapshot, written

CHUNK = 262_144
LARGE = 65_536


def shards(files: dict[str, bytes]) -> list[bytes]:
    """Return the content of the shards, in order."""
    return [data for name, data in sorted(files.items()) if ".data-" in name]


def naive_shard(tensors: list[Tensor]) -> bytes:
    """Lay tensors out one by one, as F-29 says."""
    shard = b""
    for tensor in tensors:
        if isinstance(tensor, Blob):
            data, small = tensor.data, 1
        else:
            data = tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
            small = {"S": 1, "U": 4}.get(tensor.dtype.kind, tensor.dtype.itemsize)
        if data:
            align = 64 if len(data) >= 64 else small
            shard += bytes(-len(shard) % align) + data
    return shard


ODD: list[Tensor] = [
    np.arange(3, dtype=np.int8),
    np.arange(5, dtype=">f8"),
    np.arange(1000, dtype=">i4").reshape(10, 100).T,
    np.zeros((0, 3)),
    np.array(2.5, dtype=np.float16),
    np.array([b"abc", b"d"]),
    np.array(["ä", "bcd"]),
    np.arange(4).astype("M8[ms]"),
    np.arange(30, dtype=ml_dtypes.bfloat16).reshape(5, 6)[::-1, ::2],
    Blob("bytes", (), b"opaque"),
    Blob("bytes", (), b""),
    np.arange(LARGE // 2, dtype=">u2"),
    np.array([True, False]),
    np.arange(300 * 300, dtype=np.complex64).reshape(300, 300)[:, ::-1],
    np.random.default_rng(1).random((400, 500)).T,
    Blob("python", (), b"\xc4\xff" + bytes(255)),
    np.arange(LARGE * 9, dtype=np.uint8),
]


def test_shards_are_laid_out_as_specified() -> None:
    """F-29, F-30: the bytes of a shard are those of a naive encoder, whatever lies in memory."""
    assert [naive_shard(ODD)] == shards(written(ODD))


def test_chunks_are_cut_and_hashed_as_specified() -> None:
    """F-31 to F-33, F-43: chunk lengths, digests and token follow from the bytes."""
    sizes = [10, LARGE - 1, CHUNK * 2 + 7, LARGE, LARGE, 100, CHUNK, *[50_000] * 12]
    files = written([np.full(n, i, dtype=np.uint8) for i, n in enumerate(sizes)])
    index = decode_index(files["/run/ckpt.index"], "x")
    ((name, shard),) = [(n, data) for n, data in files.items() if ".data-" in n]
    gap = -(CHUNK * 2 + 7) % 64  # after the third array
    expected = [64 + LARGE - 1 + 1, CHUNK, CHUNK, 7, gap, LARGE, LARGE, 128, CHUNK]
    small = 12 * 50_000 + 11 * (-50_000 % 64)
    expected += [CHUNK, CHUNK, small - 2 * CHUNK]
    digests, start = b"", 0
    for length in expected:
        digests += xxhash.xxh3_128_digest(shard[start : start + length])
        start += length

    assert expected == index.shards.chunk_lengths.tolist()
    assert (digests, len(shard)) == (index.shards.chunk_digests, start)
    table = np.array(expected, dtype="<u4").tobytes() + digests
    assert name == f"/run/ckpt.data-00000-of-00001.{xxhash.xxh3_64_hexdigest(table)}"


@given(
    st.lists(st.sampled_from([0, 1, 7, 63, 64, 65, 1000, LARGE - 1, LARGE, LARGE + 1, CHUNK + 3])),
    st.none() | st.integers(1, 3 * CHUNK),
)
@settings(max_examples=50, deadline=None)
def test_any_mix_of_sizes_is_laid_out_as_specified(sizes: list[int], limit: int | None) -> None:
    """Every mix of small, large and empty tensors, in any number of shards, is read as written."""
    tensors: list[Tensor] = [np.full(n, i, dtype=np.uint8) for i, n in enumerate(sizes)]
    files = written(tensors, max_shard_bytes=limit)
    found = shards(files)
    plan = plan_layout(tensors, limit)

    assert [naive_shard([tensors[i] for i in shard.pieces]) for shard in plan.shards] == found
    assert sorted(i for shard in plan.shards for i in shard.pieces) == [
        i for i, n in enumerate(sizes) if n
    ]
    if limit is not None:
        assert all(
            len(data) <= limit
            for data, s in zip(found, plan.shards, strict=True)
            if len(s.pieces) > 1
        )
    source = opened(files)
    assert [t.tolist() for t in tensors] == [source.read(i).tolist() for i in range(len(sizes))]
    assert [] == source.verify()


def test_a_new_shard_begins_before_one_grows_too_large() -> None:
    """max_shard_bytes: no shard of several tensors is larger, a single tensor may be."""
    plan = plan_layout([np.zeros(n, dtype=np.uint8) for n in (64, 64, 1, 500, 60, 68)], 128)

    assert [[0, 1], [2], [3], [4], [5]] == [shard.pieces for shard in plan.shards]
    assert [128, 1, 500, 60, 68] == [shard.length for shard in plan.shards]


def test_too_many_shards_are_refused() -> None:
    """F-2: five digits count the shards."""
    with pytest.raises(ValueError, match="max_shard_bytes=1 gives 100000 shards"):
        plan_layout([np.zeros(1, dtype=np.int8)] * 100_000, 1)


def test_equal_input_gives_equal_files() -> None:
    """F-42, I-18: names and bytes of all files are equal, also with other strides in memory."""
    one = written(ODD, [b"\x01"], metadata={"a": {1, 2, 3}}, max_shard_bytes=10_000)
    copies = [t if isinstance(t, Blob) else np.array(t, order="F", copy=True) for t in ODD]
    two = written(copies, [b"\x01"], metadata={"a": {3, 2, 1}}, max_shard_bytes=10_000)

    assert one == two


def test_the_one_file_form_holds_shard_index_and_footer() -> None:
    """F-3: the shard, the index at its end, the footer; `max_shard_bytes` has no say."""
    files = written(ODD, single_file=True, max_shard_bytes=100)
    data = files["/run/ckpt"]
    length = len(naive_shard(ODD))
    size = len(data) - length - 40

    assert ["/run/ckpt"] == list(files)
    assert naive_shard(ODD) == data[:length]
    assert decode_index(data[length : length + size], "x").shards.lengths.tolist() == [length]
    place = length.to_bytes(8, "little") + size.to_bytes(8, "little")
    assert place + xxhash.xxh3_128_digest(place) + bytes.fromhex("1a0a0d74706b6393") == data[-40:]


@pytest.mark.parametrize("single_file", [False, True])
def test_a_checkpoint_without_tensors_has_no_shard(single_file: bool) -> None:
    """Plain values alone make no shard, in either form."""
    files = written([], [b"\x07"], single_file=single_file)
    source = opened(files)

    assert (1, 7, []) == (len(files), source.value(0), source.verify())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({1: 2}, "metadata has the key 1, expected strings"),
        ({"a": object()}, "a object is no plain value"),
        ({"a": b"x" * 2**24}, "expected at most 16,777,216"),
    ],
)
def test_metadata_that_cannot_be_stored_are_refused(metadata: Any, message: str) -> None:
    """F-35: keys are strings, values are plain, and all together are at most 16 MiB."""
    with pytest.raises(NotCheckpointableError, match=message):
        written([], metadata=metadata)


def test_arrays_that_cannot_be_stored_are_refused() -> None:
    """An array outside of the table of dtypes is refused before anything is written."""
    with pytest.raises(NotCheckpointableError, match="cannot be stored"):
        written([np.array([object()])])


class Sink(WritableFile):
    """A file that forgets what is written to it."""

    path = "/sink"
    length = 0
    inherited = False

    def write(self, buffers: Sequence[Buffer]) -> None:
        self.length += sum(memoryview(buffer).nbytes for buffer in buffers)

    def sync(self) -> None:
        """Do nothing."""

    def lock(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing."""


class SinkCommit:
    """A commit to nowhere."""

    def __init__(self) -> None:
        self.file = Sink()
        self.shards: list[Sink] = []

    def create_shard(self, shard: int) -> Sink:
        self.shards.append(Sink())
        return self.shards[shard]

    def seal_shard(self, shard: int) -> None:
        """Do nothing."""

    def finish(self, tokens: Sequence[str]) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2**23),
        np.zeros((2**11, 2**12)).T,
        np.zeros(2**23, dtype=">f8"),
        np.zeros((2**12, 2**12))[:, ::2],
        np.zeros(2**16, dtype="U256"),
    ],
    ids=["contiguous", "transposed", "big-endian", "strided", "text"],
)
def test_memory_stays_within_its_bound(array: np.ndarray[Any, Any]) -> None:
    """64 MiB of any stride or byte order are written with less than 8 MiB of memory."""
    commit = SinkCommit()
    content = snapshot([array])
    tracemalloc.start()
    write_bundle(commit, content, SaveOptions())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (2**26, True) == (commit.shards[0].length, peak < 2**23), peak
