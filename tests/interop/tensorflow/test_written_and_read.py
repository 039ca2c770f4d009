"""What is written in TensorFlow's format is read back, and gives TensorFlow's own files again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle.commit import begin
from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.records import Divided, Snapshot
from checkpointable.format.source import CheckpointSource
from checkpointable.graph.named import divided, named_snapshot
from checkpointable.interop.opening import open_checkpoint
from checkpointable.interop.tensorflow import writer
from checkpointable.interop.tensorflow.entries import read_entries
from checkpointable.interop.tensorflow.graph_message import GraphMessage, graph_message
from checkpointable.interop.writing import write_checkpoint
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import MemoryStorage
from tests.bundle.checkpoints import snapshot
from tests.interop.tensorflow.samples import V2, Sample

Array = npt.NDArray[Any]


def write(
    storage: MemoryStorage, values: Mapping[str, Array | Divided], **fields: Any
) -> CheckpointSource:
    """Write a name-based checkpoint and open it."""
    options = SaveOptions(format="tensorflow", durable=False, **fields)
    with begin(storage, "/run/ckpt", options, numbered=False) as commit:
        write_checkpoint(commit, named_snapshot(values, options.metadata), options)
    return open_checkpoint(storage, "/run/ckpt")


def assert_holds(source: CheckpointSource, values: Mapping[str, Array | Divided]) -> None:
    """Check that a checkpoint holds exactly these values."""
    assert source.names.keys() == values.keys()
    assert [] == source.verify()
    for name, value in values.items():
        expected, (number,) = np.asarray(value), source.names[name]
        read = source.read(number)
        assert expected.dtype.newbyteorder("=") == read.dtype
        assert (expected.shape, expected.tolist()) == (read.shape, read.tolist())
    source.close()


DTYPES = [
    *(np.dtype(name) for name in ("f2", ">f4", "f8", "c8", ">c16", "?", "i1", ">i2", "i4", "i8")),
    *(np.dtype(name) for name in ("u1", "u2", ">u4", "u8")),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "int4", "uint2", "float8_e5m2")),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """An array of any dtype that TensorFlow has, of any shape and stride."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 50]), max_size=3)))
    size = int(np.prod(shape))
    if draw(st.integers(0, 4)) == 0:
        items = draw(st.lists(draw(st.sampled_from([TEXT, st.binary(max_size=5)])), min_size=1))
        array = np.empty(size, object)
        array[:] = [items[i % len(items)] for i in range(size)]
        return array.reshape(shape)
    dtype = draw(st.sampled_from(DTYPES))
    array = np.random.default_rng(size).integers(0, 2, shape).astype(dtype)
    return array.T if draw(st.booleans()) else array[..., ::-1] if shape else array


NAMES = TEXT.filter(lambda name: name and not name.startswith("_CHECKPOINTABLE"))


@given(
    st.dictionaries(NAMES, arrays(), max_size=6),
    st.none() | st.integers(1, 500),
    st.dictionaries(TEXT, st.none() | st.integers() | st.floats(allow_nan=False), max_size=2),
)
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_is_read_back(
    values: dict[str, Array], limit: int | None, metadata: dict[str, Any]
) -> None:
    """Arrays of any dtype, shape and stride, str as str, in any number of shards."""
    source = write(MemoryStorage(), values, max_shard_bytes=limit, metadata=metadata)

    assert (metadata, None) == (source.metadata, source.graph)
    assert_holds(source, values)


@given(
    st.lists(st.integers(1, 300), min_size=2, max_size=5),
    st.integers(1, 3),
    st.sampled_from(["f4", "c16", "?", "i8"]),
    st.none() | st.integers(1, 500),
)
@settings(max_examples=30, deadline=None)
def test_tensors_in_slices_are_read_back_whole(
    lengths: list[int], width: int, dtype: str, limit: int | None
) -> None:
    """T-10: slices of any lengths, in any shards, are the tensor that they were cut from."""
    whole = np.arange(sum(lengths) * width).reshape(-1, width).astype(dtype)
    ends = np.cumsum(lengths).tolist()
    slices = [((e - n, 0), whole[e - n : e]) for n, e in zip(lengths, ends, strict=True)]
    values = {"p": divided("p", whole.shape, slices), "q": np.arange(3)}

    assert_holds(write(MemoryStorage(), values, max_shard_bytes=limit), values)


def test_a_checkpoint_is_replaced_again_and_again() -> None:
    """What was saved last is read, whatever was there, and no file of the others is left."""
    storage = MemoryStorage()
    for i, (limit, form) in enumerate(
        [(None, "tensorflow"), (8, "tensorflow"), (None, "native"), (8, "tensorflow")]
    ):
        values = {f"v{n}": np.array([i, n]) for n in range(3)}
        if form == "tensorflow":
            assert_holds(write(storage, values, max_shard_bytes=limit), values)
        else:
            options = SaveOptions(durable=False)
            with begin(storage, "/run/ckpt", options, numbered=False) as commit:
                write_checkpoint(commit, named_snapshot(values), options)
    files = sorted(storage.image().files)

    assert ["/run/ckpt.data", "/run/ckpt.index"] == sorted({name.split("-")[0] for name in files})
    assert len(files) - 1 == int(files[0][-5:])


def _is_odd(key: bytes) -> bool:
    """Tell whether a Saver refuses such a name."""
    return len(key) > 4096 or key.decode(errors="ignore").encode() != key


def plain_samples() -> list[Sample]:
    """Return the samples that a Saver could have written from arrays."""
    found = []
    for sample in V2:
        entries = read_entries(memoryview(sample.files[".index"]), str(sample))
        special = {kind.number for kind in entries.kinds} & {11, 12, 13, 15, 16, 21}
        is_plain = not special and not entries.slices and entries.order == "little"
        is_plain &= not any(key.startswith(b"_CHECK") or _is_odd(key) for key in entries.keys)
        if is_plain and entries.shards == 1:
            found.append(sample)
    return found


@pytest.mark.parametrize("sample", plain_samples(), ids=str)
def test_the_values_of_tensorflow_give_its_files_again(sample: Sample) -> None:
    """T-1 to T-8: samples are read and written, and index and data are equal byte for byte."""
    files = sample.files
    entries = read_entries(memoryview(files[".index"]), str(sample))
    source = open_checkpoint(LOCAL, sample.path)
    order = sorted(range(len(entries)), key=lambda i: (entries.offset[i], entries.size[i] > 0))
    names = [entries.keys[i].decode("utf-8", "surrogateescape") for i in order]
    values = {name: source.read(source.names[name][0]) for name in names}
    storage = MemoryStorage()
    write(storage, values).close()

    assert files == {
        name.removeprefix("/run/ckpt"): data for name, data in storage.image().files.items()
    }


@pytest.mark.parametrize("part", ["graph", "annotations"])
def test_what_could_not_be_read_is_never_committed(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Index, graph and annotations are read again first: an error leaves what was there."""
    storage = MemoryStorage()
    options = SaveOptions(format="tensorflow", durable=False)

    def damaged(content: Snapshot) -> GraphMessage:
        return attrs.evolve(graph_message(content), **{part: b"\xff"})

    def save() -> None:
        with begin(storage, "/run/ckpt", options, numbered=False) as commit:
            write_checkpoint(commit, snapshot([np.zeros(3)], [b"\x07"]), options)

    save()
    before = storage.image().files
    monkeypatch.setattr(writer, "graph_message", damaged)
    with pytest.raises(CorruptCheckpointError):
        save()

    assert before == storage.image().files
