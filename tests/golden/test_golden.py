"""Checkpoints of every released format version are read for ever, and written as they were."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from checkpointable.format.index import decode_index, encode_index
from checkpointable.format.values import encode_value
from checkpointable.interop.opening import open_checkpoint, verify_files
from checkpointable.storage.local import LocalStorage
from tests.golden.contents import ARRAYS, CHECKPOINTS, METADATA, STRINGS, VALUES, write_golden

GOLDEN = Path(__file__).parent
VERSIONS = sorted(path.name for path in GOLDEN.glob("v*"))


def test_there_are_golden_files() -> None:
    """The tests below mean nothing without files."""
    assert ["v1"] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_golden_checkpoints_verify(version: str, name: str) -> None:
    """Every byte of a golden checkpoint is right."""
    assert [] == verify_files(LocalStorage(), str(GOLDEN / version / name))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["dtypes", "dtypes-in-one-file"])
def test_golden_values_are_read(version: str, name: str) -> None:
    """Arrays of every dtype and values of every type come back bit for bit."""
    source = open_checkpoint(LocalStorage(), str(GOLDEN / version / name))
    for number, array in enumerate(ARRAYS.values()):
        found = source.read(number)
        assert (array.dtype, array.shape) == (found.dtype, found.shape)
        assert array.tobytes() == found.tobytes()
    count = len(ARRAYS)

    assert STRINGS.tolist() == source.read(count).tolist()
    assert (list(range(5000)), b"state") == (source.value(count + 1), source.value(count + 2))
    found_values = [source.value(count + 3 + i) for i in range(len(VALUES))]
    assert list(map(encode_value, VALUES)) == list(map(encode_value, found_values))
    assert METADATA == source.metadata
    source.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_graphs_are_read(version: str) -> None:
    """Nodes of every kind, their edges, attributes and slot variables are read."""
    source = open_checkpoint(LocalStorage(), str(GOLDEN / version / "graph"))
    graph = source.graph
    assert graph is not None

    names = [name for name, _ in graph.children(0)]
    assert ["model", "items", "pair", "table", "step"] == names
    assert [[0, 1], ["größe", 7]] == [graph.keys(2), graph.keys(4)]
    assert "momentum" == graph.slot_variables()[0].slot_name
    assert np.arange(20).tolist() == source.read(0).tolist()
    assert (b"state", "xxxxxxx", 5) == (source.value(1), source.value(4), source.value(6))
    source.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_names_are_read(version: str) -> None:
    """A name-based checkpoint gives its arrays by name, those in slices as a whole."""
    source = open_checkpoint(LocalStorage(), str(GOLDEN / version / "names"))
    found = {name: source.read(*numbers) for name, numbers in source.names.items()}

    assert None is source.graph
    assert ["layer/w", "step", "texts", "parts"] == list(found)
    assert ARRAYS["large"].tolist() == found["layer/w"].tolist()
    assert (3, STRINGS.tolist()) == (found["step"], found["texts"].tolist())
    assert np.arange(24.0).reshape(4, 6).tolist() == found["parts"].tolist()
    source.close()


def test_golden_checkpoints_are_written_again(tmp_path: Path) -> None:
    """The current version writes the same names and bytes, but for its own version in the index."""
    write_golden(str(tmp_path))
    old = {path.name: path.read_bytes() for path in (GOLDEN / VERSIONS[-1]).iterdir()}
    new = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert sorted(old) == sorted(new)
    for name, data in old.items():
        if name.endswith(".index"):
            library = decode_index(data, name).library
            index = attrs.evolve(decode_index(new[name], name), library=library)
            assert data == b"".join(encode_index(index))
        elif ".data-" in name:
            assert data == new[name]
