"""What is written: the bytes, the names, and what is refused before any of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray

import checkpointable as ckpt
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import Snapshot
from checkpointable.graph.named import divided, named_snapshot
from checkpointable.interop.safetensors.writer import write_safetensors
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Buffer, WritableFile
from tests.interop.safetensors.files import OneFile, opened, snapshot_of, written


class Stateful(ckpt.PythonState):
    """An object whose state is bytes."""

    def __init__(self, state: bytes) -> None:
        self.state = state

    def serialize(self) -> bytes:
        return self.state

    def deserialize(self, data: bytes) -> None:
        self.state = data


class Given(ckpt.Trackable):
    """An object that gives arrays of its own."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def serialize_to_tensors(self) -> dict[str, Any]:
        return self.values


def header_of(data: bytes) -> dict[str, Any]:
    """Return the header of a file as JSON."""
    length = int.from_bytes(data[:8], "little")
    found: dict[str, Any] = json.loads(data[8 : 8 + length])
    return found


def names(checkpoint: ckpt.Checkpoint) -> list[str]:
    """Return the names of the tensors of a checkpoint, in the order of the header."""
    return [name for name in header_of(written(snapshot_of(checkpoint))) if name != "__metadata__"]


def test_the_bytes_are_those_that_the_page_tells() -> None:
    """Length, header, spaces and packed data are where they must be, and the digest is right."""
    snapshot = snapshot_of(
        ckpt.Checkpoint(b=np.array([True]), w=np.array([1.0, -2.0], ">f4"), n=7),
        {"run": "x", "i": 1},
    )
    data = written(snapshot)
    length = int.from_bytes(data[:8], "little")
    text, value = data[8 : 8 + length], header_of(data)["__metadata__"]["checkpointable"]
    magic, digest, version, index = value.rsplit(" ", 3)

    assert bytes.fromhex("0000803f000000c001") == data[8 + length :]
    assert {
        "b": {"dtype": "BOOL", "shape": [1], "data_offsets": [8, 9]},
        "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    } == {k: v for k, v in header_of(data).items() if k != "__metadata__"}
    assert {"format": "pt", "run": "x"} == {
        k: v for k, v in header_of(data)["__metadata__"].items() if k != "checkpointable"
    }
    assert ("checkpointable index", "1") == (magic, version)
    assert digest == xxhash.xxh3_128_hexdigest(text.replace(digest.encode(), b"0" * 32))
    assert bytes.fromhex("93636b70740d0a1a") == base64.b64decode(index)[:8]
    assert (0, written(snapshot)) == (length % 8, data)


def test_names_are_paths_with_dots() -> None:
    """Containers and objects are joined with dots; values of other names follow their object."""
    checkpoint = ckpt.Checkpoint(
        model={"layers": [np.zeros(1), {"w": ckpt.Variable([1])}]},
        state=Stateful(b"ab"),
        own=Given({"x": np.zeros(2)}),
        large=["a" * 5000],
    )

    assert ["state.py_state", "own.x", "large", "model.layers.0", "model.layers.1.w"] == names(
        checkpoint
    )


def test_two_tensors_never_have_one_name() -> None:
    """Where two would have one name the later one has its key; so has what is called as nothing."""
    checkpoint = ckpt.Checkpoint(
        {
            "a": {"b": np.zeros(1), "b.c": np.ones(1), "b'": np.ones(1)},
            "a.b": np.ones(2),
            "__metadata__": np.ones(3),
        }
    )

    assert [
        "a.b",
        "__metadata__/.ATTRIBUTES/VARIABLE_VALUE",
        "a/b/.ATTRIBUTES/VARIABLE_VALUE",
        "a.b.c",
        "a.b'",
    ] == names(checkpoint)


def test_a_slot_variable_is_named_after_optimizer_and_variable() -> None:
    """The name of a slot variable begins with its optimizer and ends with its variable."""
    optimizer = ckpt.SlotTrackable()
    model = {"w": ckpt.Variable([1.0])}
    checkpoint = ckpt.Checkpoint(model=model, optimizer=optimizer)
    optimizer.add_slot(model["w"], "momentum")

    assert ["model.w", "optimizer.momentum.model.w"] == names(checkpoint)


def test_the_names_of_a_name_based_checkpoint_stay() -> None:
    """Global names are written as they are."""
    data = written(named_snapshot({"a/b:0": np.zeros(1), "c.d": np.zeros(2)}))

    assert ["a/b:0", "c.d"] == [name for name in header_of(data) if name != "__metadata__"]
    assert {"a/b:0": (0,), "c.d": (1,)} == opened(data).names
    assert opened(data).graph is None


def test_a_tensor_in_slices_is_written_as_a_whole() -> None:
    """A tensor whose slices stand beside one another is one tensor in the file."""
    whole = np.arange(12.0).reshape(3, 4)
    slices = [((0, 0), whole[:, :1]), ((0, 1), whole[:, 1:])]
    source = opened(written(named_snapshot({"p": divided("p", (3, 4), slices)})))

    assert whole.tolist() == source.read(0).tolist()
    assert whole[1:, 2].tolist() == source.read_slice(0, np.s_[1:, 2]).tolist()


LACKING: dict[str, NDArray[Any]] = {
    "complex128": np.zeros(2, np.complex128),
    "datetime64[s]": np.zeros(2, "datetime64[s]"),
    "timedelta64[D]": np.zeros(2, "timedelta64[D]"),
    "S3": np.array([b"abc"]),
    "U2": np.array(["ab"]),
    "strings": np.array(["ab", b"c"], dtype=object),
}


@pytest.mark.parametrize("what", LACKING)
def test_dtypes_that_safetensors_lacks_are_refused(what: str) -> None:
    """The error has the path and a remedy, and no byte was written (ST-12)."""
    commit = OneFile()
    snapshot = snapshot_of(ckpt.Checkpoint(m={"a/b": LACKING[what]}))

    with pytest.raises(
        NotCheckpointableError, match=r"m/a\.Sb: arrays of .*safetensors\. "
    ) as error:
        write_safetensors(commit, snapshot, SaveOptions(format="safetensors"))

    assert ("m/a.Sb", b"", False) == (error.value.path, commit.content, commit.is_finished)


def test_int4_is_refused() -> None:
    """Integers of four bits, which take a byte each here, have no dtype there."""
    small = pytest.importorskip("ml_dtypes").int4

    with pytest.raises(NotCheckpointableError, match="x: arrays of dtype int4"):
        written(named_snapshot({"x": np.zeros(3, small)}))


def test_a_reserved_name_is_refused() -> None:
    """A name-based checkpoint cannot have a tensor under the name of the metadata."""
    with pytest.raises(NotCheckpointableError, match="__metadata__"):
        written(named_snapshot({"__metadata__": np.zeros(1)}))


def test_names_longer_than_a_header_are_refused_in_good_time() -> None:
    """The names of a deep chain would have gigabytes; this is seen before one is made."""
    chain: dict[str, Any] = {}
    inner = chain
    for _ in range(20_000):
        inner["x"] = {"w": np.zeros(1)}
        inner = inner["x"]
    commit = OneFile()

    with pytest.raises(NotCheckpointableError, match="the names of the tensors together have"):
        write_safetensors(
            commit, snapshot_of(ckpt.Checkpoint(c=chain)), SaveOptions(format="safetensors")
        )

    assert b"" == commit.content


class Meddling(WritableFile):
    """A file during whose first write somebody changes an array."""

    def __init__(self, file: WritableFile, array: NDArray[Any]) -> None:
        self.path = file.path
        self._file = file
        self._array = array

    def write(self, buffers: Any) -> None:
        written_buffers: list[Buffer] = list(buffers)
        self._file.write(written_buffers)
        self._array += 1

    def sync(self) -> None:
        self._file.sync()

    def lock(self) -> bool:
        return self._file.lock()

    def close(self) -> None:
        self._file.close()

    @property
    def inherited(self) -> bool:
        return self._file.inherited


@pytest.mark.parametrize("size", [3, 100_000])
def test_an_array_that_changes_meanwhile_is_noticed(size: int) -> None:
    """A file whose checksums are not those of its data is never finished; the error says which."""
    arrays = {"a": np.zeros(100_000), "changed": np.zeros(size, np.float32), "b": np.zeros(9, "i1")}
    commit = OneFile()
    commit.file = Meddling(commit.file, arrays["changed"])

    with pytest.raises(NotCheckpointableError, match=r"^changed, or .* was changed while"):
        write_safetensors(commit, named_snapshot(arrays), SaveOptions(format="safetensors"))

    assert not commit.is_finished


def test_texts_among_the_metadata_can_be_read_by_anyone() -> None:
    """Texts stand in the header as they are; what else there is comes back from the index."""
    metadata = {"a": "é", "format": "np", "n": 5, "half": "\ud800", "checkpointable": "mine"}
    data = written(Snapshot(named_snapshot({}).graph, [], [], metadata))
    shown = header_of(data)["__metadata__"]

    assert {"a": "é", "format": "np"} == {k: v for k, v in shown.items() if k != "checkpointable"}
    assert metadata == opened(data).metadata
