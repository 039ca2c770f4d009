"""Name-based checkpoints: arrays under names, whole or in slices (F-28, F-45)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import Divided
from checkpointable.graph.named import divided, named_snapshot
from checkpointable.interop.opening import open_checkpoint
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import MemoryStorage
from tests.harness.named import write_named

ARRAYS = {
    "w": np.arange(6.0).reshape(2, 3),
    "layer/w": np.array(7),
    "a.b": np.array(["text", b"bytes"], object),
    "empty": np.zeros((0, 3), np.int8),
    "/odd//": np.array([True]),
}


def grid(shape: tuple[int, ...], cuts: list[list[int]]) -> list[tuple[tuple[int, ...], Any]]:
    """Return the slices of an array that counts its elements, cut at these places."""
    whole = np.arange(np.prod(shape)).reshape(shape)
    pieces: list[tuple[tuple[int, ...], Any]] = [((0,) * len(shape), whole)]
    for axis, places in enumerate(cuts):
        new = []
        for start, piece in pieces:
            edges = [0, *sorted(places), piece.shape[axis]]
            for begin, end in pairwise(edges):
                index = [slice(None)] * len(shape)
                index[axis] = slice(begin, end)
                at = tuple(n + begin * (i == axis) for i, n in enumerate(start))
                new.append((at, piece[tuple(index)]))
        pieces = new
    return pieces


@pytest.mark.parametrize("single_file", [False, True])
def test_arrays_come_back_under_their_names(tmp_path: Path, single_file: bool) -> None:
    """Every array, its dtype and shape is there under its name, and there is no graph."""
    path = write_named(tmp_path / "names", ARRAYS, single_file=single_file, metadata={"a": 1})
    source = open_checkpoint(LOCAL, path)

    assert source.graph is None
    assert {"a": 1} == source.metadata
    assert list(ARRAYS) == list(source.names)
    for name, array in ARRAYS.items():
        (number,) = source.names[name]
        found = source.read(number)
        assert (array.dtype, array.shape, array.tolist()) == (
            (found.dtype, found.shape, found.tolist())
        )
    assert [] == source.verify()
    source.close()


def test_a_checkpoint_without_arrays_is_one(tmp_path: Path) -> None:
    """There may be no name at all."""
    source = open_checkpoint(LOCAL, write_named(tmp_path / "names", {}))
    assert (None, {}) == (source.graph, source.names)
    source.close()


def test_the_reader_takes_names_for_keys(tmp_path: Path) -> None:
    """`load_checkpoint`, `list_variables`, `load_variable` and `load` work by name."""
    path = write_named(tmp_path / "names", ARRAYS)
    with ckpt.load_checkpoint(path) as reader:
        assert reader.graph is None
        assert sorted(ARRAYS) == reader.keys()
        assert [[1.0], [4.0]] == reader["w"][:, 1:2].tolist()
        with pytest.raises(ckpt.TensorNotFoundError, match="layer/w"):
            reader.get_tensor("layer/v")
    assert ("layer/w", ()) in ckpt.list_variables(path)
    assert 7 == ckpt.load_variable(path, "layer/w")
    loaded = ckpt.load(path)
    assert list(ARRAYS) == list(loaded)
    assert ARRAYS["w"].tolist() == loaded["w"].tolist()


def test_names_of_variables_in_a_graph_are_there_too(tmp_path: Path) -> None:
    """An object-based checkpoint tells the values of each global name, several where there are."""
    variables = [ckpt.Variable(float(n), name=name) for n, name in enumerate("aba")]
    path = ckpt.Checkpoint(v=[*variables, ckpt.Variable(9.0)]).write(tmp_path / "graph")
    source = open_checkpoint(LOCAL, path)

    found = {n: [source.read(i).item() for i in numbers] for n, numbers in source.names.items()}
    assert {"a": [0.0, 2.0], "b": [1.0]} == found
    source.close()


@given(st.data())
def test_slices_are_read_as_a_whole(data: st.DataObject) -> None:
    """However an array is cut along its axes, and wherever its slices lie, it is read whole."""
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    cuts = [data.draw(st.lists(st.integers(0, size), max_size=2)) for size in shape]
    slices = data.draw(st.permutations(grid(shape, cuts)))
    tensor = divided("w", shape, slices)
    pieces = len(tensor.slices) if isinstance(tensor, Divided) else 1
    groups = data.draw(st.lists(st.integers(0, 2), min_size=pieces + 1, max_size=pieces + 1))
    storage = MemoryStorage()
    write_named("/names", {"w": tensor, "b": np.arange(3)}, groups, storage)
    source = open_checkpoint(storage, "/names")
    whole = np.arange(np.prod(shape)).reshape(shape)

    assert whole.tolist() == np.asarray(tensor).tolist()
    assert whole.tolist() == source.read(0).tolist()
    assert whole[..., -1].tolist() == source.read_slice(0, (..., -1)).tolist()
    assert [0, 1, 2] == source.read(1).tolist()
    assert [] == source.verify()
    assert len(set(groups)) == sum(".data-" in name for name in storage.list_dir("/"))


def test_groups_do_not_share_shards(tmp_path: Path) -> None:
    """There is a shard for each group, and in it the arrays of the group alone."""
    arrays = {name: np.full(100, n, np.uint8) for n, name in enumerate("abcd")}
    write_named(tmp_path / "names", arrays, [5, 0, 5, 0])
    shards = [path.read_bytes() for path in sorted(tmp_path.glob("names.data-*"))]

    assert [{0, 2}, {0, 1, 3}] == [set(shard) for shard in shards]
    assert [228, 228] == [len(shard) for shard in shards]


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ([((0,), np.zeros(2)), ((3,), np.zeros(1))], "do not fill the whole"),
        ([((0,), np.zeros(3)), ((2,), np.zeros(1))], "do not fill the whole"),
        ([((0,), np.zeros(2)), ((1,), np.zeros(2))], "do not fill the whole"),
        ([((0,), np.zeros(2)), ((2,), np.zeros(3))], "does not fit the whole"),
        ([((-1,), np.zeros(2)), ((2,), np.zeros(2))], "does not fit the whole"),
        ([((0,), np.zeros(2)), ((2,), np.zeros(2, int))], "does not fit the whole"),
        ([((0, 0), np.zeros((2, 2)))], "does not fit the whole"),
    ],
)
def test_slices_that_are_no_whole_are_refused(slices: Any, message: str) -> None:
    """Holes, overlaps, slices beyond the edge and of another dtype or rank are named."""
    with pytest.raises(ValueError, match=f"^w: .*{message}"):
        divided("w", (4,), slices)


def test_strings_are_not_divided() -> None:
    """Strings have no fixed size, so they are saved whole."""
    text = np.array(["a", "b"], object)
    with pytest.raises(NotCheckpointableError, match="w: strings cannot be saved in slices"):
        divided("w", (4,), [((0,), text), ((2,), text)])


@pytest.mark.parametrize("name", ["", "x" * 4097])
def test_names_that_cannot_be_stored_are_refused(name: str) -> None:
    """An empty name and one beyond the limit are refused before anything is written."""
    with pytest.raises(NotCheckpointableError, match="empty or too long"):
        named_snapshot({name: np.zeros(1)})


def test_arrays_that_cannot_be_stored_are_refused() -> None:
    """The name of the array, and what to do, are in the message."""
    with pytest.raises(NotCheckpointableError, match=r"^w: float128.*convert"):
        named_snapshot({"w": np.zeros(1, np.longdouble)})
