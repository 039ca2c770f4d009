"""Files of other programs restore by dotted names, one or several, and say what they lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

import checkpointable as ckpt
from checkpointable.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    StorageError,
    UnsupportedFormatError,
)
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.safetensors.source import open_safetensors
from tests.interop.safetensors.files import entry, file_of, opened, stored

LIST = "model.safetensors.index.json"
ONE = {"model.layers.0.w": np.ones((2, 3), np.float32), "model.head": np.arange(4)}
TWO = {"model.layers.1.w": np.full((2, 3), 2, np.float32), "model.layers": np.arange(70_000)}


class Layer(ckpt.Trackable):
    """One variable."""

    def __init__(self) -> None:
        self.w = ckpt.Variable(np.zeros((2, 3), np.float32))


class Model(ckpt.Trackable):
    """Two layers, and a head."""

    state_attributes = ("head",)

    def __init__(self) -> None:
        self.layers = [Layer(), Layer()]
        self.head = np.zeros(4, int)


def weight_map() -> dict[str, str]:
    """Return which tensor lies in which file."""
    return dict.fromkeys(ONE, "one.safetensors") | dict.fromkeys(TWO, "two.safetensors")


def hub(weights: Any = None, **changed: bytes) -> dict[str, bytes]:
    """Return the files of a sharded checkpoint."""
    text = {"metadata": {"total_size": 7}, "weight_map": weights or weight_map()}
    files = {"one.safetensors": save(ONE), "two.safetensors": save(TWO)}
    return files | {LIST: json.dumps(text, indent=2).encode()} | changed


def opened_hub(files: dict[str, bytes]) -> CheckpointSource:
    """Open a sharded checkpoint."""
    return open_safetensors(stored(files), f"/run/{LIST}", f"/run/{LIST}")


@pytest.fixture(params=["one file", "several files"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the path of a checkpoint of a hub."""
    if request.param == "one file":
        save_file(ONE | TWO, tmp_path / "model.safetensors", {"by": "hand"})
        yield str(tmp_path / "model.safetensors")
    else:
        for name, data in hub().items():
            (tmp_path / name).write_bytes(data)
        yield str(tmp_path / LIST)


def test_dotted_names_restore_into_objects(path: str) -> None:
    """Each part of a name is an edge; a name that is also a parent's has a value and children."""
    model = Model()
    status = ckpt.Checkpoint(model=model).restore(path)

    assert [1.0, 2.0] == [layer.w.value[0, 0] for layer in model.layers]
    assert [0, 1, 2, 3] == model.head.tolist()
    assert ["model/layers"] == [entry.path for entry in status.report().unused]


def test_parts_are_restored_and_renamed(path: str) -> None:
    """`at` and `rename` apply to the parts of dotted names."""
    layer = Layer()
    ckpt.Checkpoint(w=layer.w).restore(path, at="model/layers/1").assert_existing_objects_matched()
    other = ckpt.Checkpoint(mine=Layer())
    other.restore(path, rename={"mine": "model/layers/0"}).assert_existing_objects_matched()

    assert (2.0, 1.0) == (layer.w.value[0, 0], other.mine.w.value[0, 0])


def test_names_restore_by_name(path: str) -> None:
    """A Saver finds whole dotted names."""
    variable = ckpt.Variable(np.zeros((2, 3), np.float32), name="x")
    ckpt.Saver({"model.layers.1.w": variable}).restore(None, path)

    assert 2.0 == variable.value[0, 0]


def test_a_slice_is_read_alone(path: str) -> None:
    """Part of a tensor is read by its path."""
    with ckpt.load_checkpoint(path) as reader:
        assert [69_000, 69_010] == reader["model/layers"][69_000:69_020:10].tolist()


def test_the_source_says_that_it_cannot_verify(path: str) -> None:
    """There is one finding, ST-10; a restore that asks for every byte first is refused."""
    model = Model()

    assert ["ST-10"] == [finding.rule for finding in ckpt.verify(path)]
    with pytest.raises(UnsupportedFormatError, match=r"no checksums.*verify='first'"):
        ckpt.Checkpoint(model=model).restore(path, verify="first")
    assert 0 == model.layers[0].w.value.max()


def test_a_bool_that_is_none_is_found() -> None:
    """What can be checked without checksums is: a bool is 0 or 1."""
    source = opened(file_of({"a": entry("BOOL", [2], 0, 2)}, b"\1\2"))

    assert ["F-25", "ST-10"] == [finding.rule for finding in source.verify()]


def test_several_files_are_one_checkpoint() -> None:
    """Names, values and metadata come from all files."""
    source = opened_hub(hub())
    found = {name: source.read(number) for name, number in (source.keys or {}).items()}

    assert {name: v.tolist() for name, v in (ONE | TWO).items()} == {
        name: v.tolist() for name, v in found.items()
    }
    assert {"total_size": 7} == source.metadata
    assert ["ST-10"] == [finding.rule for finding in source.verify()]


def test_a_part_that_is_replaced_is_noticed() -> None:
    """`unchanged` looks at every file, not at the index alone."""
    storage = stored(hub())
    source = open_safetensors(storage, f"/run/{LIST}", f"/run/{LIST}")
    before = source.unchanged()
    storage.remove("/run/two.safetensors")

    assert (True, False) == (before, source.unchanged())


def changed(**weights: Any) -> dict[str, Any]:
    """Return the weight map with changes."""
    return weight_map() | {name.replace("_", "."): value for name, value in weights.items()}


BROKEN: dict[str, dict[str, bytes]] = {
    "no JSON": hub(**{LIST: b"{"}),
    "empty": hub(**{LIST: b""}),
    "a list": hub(**{LIST: b"[]"}),
    "no weight map": hub(**{LIST: b"{}"}),
    "nothing in it": hub(**{LIST: b'{"weight_map":{}}'}),
    "a map that is none": hub(**{LIST: b'{"weight_map":[1]}'}),
    "metadata that are none": hub(**{LIST: b'{"metadata":1,"weight_map":{"a":"b"}}'}),
    "a name twice": hub(**{LIST: b'{"weight_map":{"a":"b","a":"b"}}'}),
    "a number for a file": hub(changed(model_head=7)),
    "a directory": hub(changed(model_head="../one.safetensors")),
    "an absolute path": hub(changed(model_head="/run/one.safetensors")),
    "a backslash": hub(changed(model_head="..\\one.safetensors")),
    "another kind of file": hub(changed(model_head="one.bin")),
    "a missing file": hub(changed(model_head="three.safetensors")),
    "a missing tensor": hub(changed(model_tail="one.safetensors")),
    "a tensor in the other file": hub(changed(model_head="two.safetensors")),
    "a tensor too many": hub({n: f for n, f in weight_map().items() if n != "model.head"}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_index_is_refused(what: str) -> None:
    """Each breaks ST-11."""
    with pytest.raises(CorruptCheckpointError) as caught:
        opened_hub(BROKEN[what])

    assert "ST-11" == caught.value.rule


@pytest.mark.parametrize("inside", ["../one.safetensors", "sub/one.safetensors"])
def test_nothing_is_read_from_another_directory(inside: str, tmp_path: Path) -> None:
    """A list cannot lead out of its directory, though a file be there."""
    (tmp_path / "run" / "sub").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "run" / "sub"):
        save_file(ONE, place / "one.safetensors")
    text = json.dumps({"weight_map": dict.fromkeys(ONE, inside)})
    (tmp_path / "run" / LIST).write_text(text)

    with pytest.raises(CorruptCheckpointError, match="said to lie in a file that cannot be"):
        ckpt.load_checkpoint(tmp_path / "run" / LIST)


def test_a_damaged_part_is_refused() -> None:
    """The header of each file is checked."""
    with pytest.raises(CorruptCheckpointError, match=r"two\.safetensors") as caught:
        opened_hub(hub(**{"two.safetensors": save(TWO)[:-1]}))

    assert "ST-6" == caught.value.rule


def test_a_file_that_is_not_there_is_not_found() -> None:
    """Nothing is opened that does not exist, nor what is no file."""
    with pytest.raises(CheckpointNotFoundError):
        open_safetensors(stored({"b": b""}), "/run/a", "/run/a.safetensors")
    with pytest.raises(StorageError):
        open_safetensors(stored({"b": b""}), "/run", "/run")


def test_names_of_too_many_parts_are_refused() -> None:
    """A file cannot make a graph that is many times as large as itself (ST-7)."""
    header = {"." * 6000: entry("U8", [1], 0, 1)}

    with pytest.raises(UnsupportedFormatError, match="6,001 parts"):
        opened(file_of(header, b"a"))


def test_empty_parts_of_names_are_names() -> None:
    """Names with dots at their ends or side by side are told apart."""
    header = {
        name: entry("U8", [1], i, i + 1) for i, name in enumerate(["", ".", "a.", ".a", "a..b"])
    }
    source = opened(file_of(header, b"abcde"))

    assert [97, 98, 99, 100, 101] == [int(source.read(i)[0]) for i in range(5)]
    assert source.graph is not None
    assert 5 == len(source.graph.attribute_values)
