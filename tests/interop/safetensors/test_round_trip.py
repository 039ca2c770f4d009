"""Everything that a checkpoint holds comes back from a safetensors file as from a native one."""

from __future__ import annotations

import datetime
import pathlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import checkpointable as ckpt
from checkpointable.interop.safetensors.dtypes import THEIRS
from tests.interop.safetensors.files import opened, snapshot_of, written

PLAIN: list[Any] = [
    *(None, True, 7, -(2**70), 1.5, 2j, "text", b"bytes", "x" * 5000, "\ud800"),
    *([1, (2, "a")], {1: "a", "b": {3}}, frozenset({1}), datetime.timedelta(1)),
    *(datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), pathlib.PurePosixPath("a/b")),
]


class Stateful(ckpt.PythonState):
    """An object whose state is bytes."""

    def __init__(self, state: bytes) -> None:
        self.state = state

    def serialize(self) -> bytes:
        return self.state

    def deserialize(self, data: bytes) -> None:
        self.state = data


class Node(ckpt.Trackable):
    """An object that can be part of a cycle."""

    def __init__(self, value: float) -> None:
        self.w = ckpt.Variable(np.full(3, value), name=f"w{value}")


def built(scale: float) -> ckpt.Checkpoint:
    """Return a checkpoint of everything: shared, in cycles, with slots and state."""
    first, second = Node(scale), Node(2 * scale)
    first.other, second.other = second, first
    optimizer = ckpt.SlotTrackable()
    optimizer.add_slot(first.w, "momentum").assign(np.full(3, 3 * scale))
    shared = np.full((40, 50, 60), scale, np.float32)
    return ckpt.Checkpoint(
        first=first,
        optimizer=optimizer,
        state=Stateful(b"%d" % scale),
        lists=[shared, (shared, np.float16(scale)), {1: np.array(scale), "a": np.zeros((0, 3))}],
        step=int(scale),
    )


def restored(checkpoint: ckpt.Checkpoint) -> list[Any]:
    """Return what the values of a checkpoint are."""
    first = checkpoint.first
    slot = checkpoint.optimizer.get_slot(first.w, "momentum")
    lists = checkpoint.lists
    values = [first.w, first.other.w, slot, lists[0], lists[1][0], lists[1][1], lists[2][1]]
    return [np.asarray(v).tolist() for v in values] + [checkpoint.state.state, checkpoint.step]


def test_objects_come_back(tmp_path: Path) -> None:
    """Shared objects, cycles, slots, states and plain values restore out of one file (ST-1)."""
    saved, live = built(7.0), built(1.0)
    path = saved.save(tmp_path / "ckpt", format="safetensors", metadata={"a": [1, "b"]})
    status = live.restore(path, verify="first")

    status.assert_consumed()
    assert ["checkpoint", "ckpt-1.safetensors"] == sorted(p.name for p in tmp_path.iterdir())
    assert restored(saved) == restored(live)
    assert [] == ckpt.verify(path)
    with ckpt.load_checkpoint(path) as reader:
        assert {"a": [1, "b"]} == reader.metadata


def test_the_same_comes_back_as_from_a_native_file(tmp_path: Path) -> None:
    """There is no difference between the two formats, in any direction."""
    saved = built(7.0)
    native = saved.write(tmp_path / "native")
    other = saved.write(tmp_path / "other", format="safetensors")

    assert not ckpt.diff(native, other)
    assert not ckpt.diff(other, saved)


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: f"{type(v).__name__} {str(v)[:10]!r}")
def test_plain_values_come_back_as_they_were(value: Any, tmp_path: Path) -> None:
    """Every kind of plain value is the same again, and no tensor of a small one is in the file."""
    path = ckpt.Checkpoint(v=value).write(tmp_path / "c", format="safetensors")
    found = ckpt.load(path)["v"]

    assert (type(value), value) == (type(found), found)
    assert (value == "x" * 5000) == bool(load_file(tmp_path / "c.safetensors"))


def test_others_see_arrays_under_dotted_names(tmp_path: Path) -> None:
    """The real package loads the arrays; state is an array of its bytes."""
    built(7.0).write(tmp_path / "c", format="safetensors")
    found = load_file(tmp_path / "c.safetensors")

    assert [7.0] * 3 == found["first.w"].tolist()
    assert [21.0] * 3 == found["optimizer.momentum.first.w"].tolist()
    assert b"7" == found["state.py_state"].tobytes()
    assert (40, 50, 60) == found["lists.0"].shape
    assert "lists.1.0" not in found


def test_names_come_back(tmp_path: Path) -> None:
    """A Saver saves and restores by name in this format."""
    variable = ckpt.Variable(np.arange(3.0), name="a/b")
    options = ckpt.SaveOptions(format="safetensors")
    saver = ckpt.Saver([variable], options=options)
    path = saver.save(None, tmp_path / "model", global_step=3)
    variable.assign(np.zeros(3))
    saver.restore(None, path)

    assert [0.0, 1.0, 2.0] == variable.value.tolist()
    assert [0.0, 1.0, 2.0] == load_file(tmp_path / "model-3.safetensors")["a/b"].tolist()


def test_a_manager_knows_its_own(tmp_path: Path) -> None:
    """Stamps are found, metrics too, and the surplus is removed."""
    checkpoint = ckpt.Checkpoint(w=ckpt.Variable(np.zeros(3)))
    options = ckpt.SaveOptions(format="safetensors")
    with ckpt.CheckpointManager(checkpoint, tmp_path, 2, save_options=options) as manager:
        for _ in range(4):
            manager.save()
    with ckpt.CheckpointManager(checkpoint, tmp_path, 2, save_options=options) as manager:
        assert [str(tmp_path / "ckpt-3"), str(tmp_path / "ckpt-4")] == list(manager.checkpoints)
        assert manager.restore_latest() is not None
    assert ["ckpt-3.safetensors", "ckpt-4.safetensors"] == sorted(
        p.name for p in tmp_path.iterdir() if p.suffix == ".safetensors"
    )


arrays = st.builds(
    lambda name, shape, step: np.zeros(shape, name)[:: step or 1].T,
    st.sampled_from([n for n in THEIRS if "float8" not in n and n != "bfloat16"]),
    st.lists(st.integers(0, 60), min_size=1, max_size=3).map(tuple),
    st.integers(-2, 2),
)
trees = st.recursive(
    arrays | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=4), trees, max_size=4))
def test_any_tree_comes_back(tree: dict[str, Any]) -> None:
    """Whatever lists, dicts and arrays are saved, the index says the same as a native one's."""
    snapshot = snapshot_of(ckpt.Checkpoint(tree))
    source = opened(written(snapshot))

    assert [] == source.verify()
    assert source.graph is not None
    assert snapshot.graph.names == source.graph.names
    for number, tensor in enumerate(snapshot.tensors):
        assert np.array_equal(np.asarray(tensor), source.read(number))
    assert list(snapshot.inline) == [*source._contents._inline]  # type: ignore[attr-defined]


def test_large_tensors_are_read_in_slices_and_by_threads() -> None:
    """Tensors of many chunks, between small ones of other sizes, are read exactly."""
    random = np.random.default_rng(0)
    values = [random.integers(0, 99, 3_000_001).astype(t) for t in ("u1", "f8", "i2", "f4")]
    values += [np.arange(n, dtype="u1") for n in (1, 3, 200)]
    source = opened(written(snapshot_of(ckpt.Checkpoint(v=values))))
    targets = [np.empty_like(value) for value in values]
    source.read_into(range(len(values)), targets)

    assert all(map(np.array_equal, values, targets))
    assert (
        values[1][5:3_000_000:999_983].tolist()
        == source.read_slice(1, slice(5, 3_000_000, 999_983)).tolist()
    )
