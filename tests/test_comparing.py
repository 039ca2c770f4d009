"""`diff` and `CheckpointView`: checkpoints on disk, compared with each other and with programs."""

import pathlib
import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable import comparing
from checkpointable.bundle.commit import begin
from checkpointable.bundle.writer import write_bundle
from checkpointable.directory.latest import open_resolved
from checkpointable.format.records import Snapshot
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.comparison.stored_slots import with_slots
from tests.harness.named import write_named


class Node(ckpt.Trackable):
    """An object with whatever attributes a test gives it."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class State(ckpt.PythonState):
    """State that is a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def serialize(self) -> bytes:
        return self.text.encode()

    def deserialize(self, data: bytes) -> None:
        self.text = data.decode()


EVERYTHING = {
    **{d: np.arange(3).astype(d) for d in ("bool", "uint64", "f2", "c16", "m8[s]", "U4", "S4")},
    **{name: np.ones(2).astype(getattr(ml_dtypes, name)) for name in ("bfloat16", "int4")},
    "big endian": np.arange(3, dtype=">f4"), "strided": np.arange(12).reshape(3, 4)[:, ::2],
    "0-d": np.array(5), "0-size": np.zeros((0, 3)), "text": np.array(["a", b"b", ""], object),
    "new text": np.array(["a", "é"], np.dtypes.StringDType()), "scalar": np.float32(1.5),
    "variable": ckpt.Variable([1, 2], name="v"), "list": [ckpt.Variable(1.0), None, 3],
    "plain": [1, {"a": (2, {3})}], "large": "x" * 9000, "int": 10**40, "state": State("é"),
    "path": pathlib.PurePosixPath("a/b"), "large array": np.arange(100_000),
}  # fmt: skip


def write_snapshot(path: Path, snapshot: Snapshot) -> str:
    """Write a snapshot and return the path of the checkpoint."""
    settings = SaveOptions(durable=False)
    with begin(LOCAL, str(path), settings, numbered=False) as commit:
        write_bundle(commit, snapshot, settings)
    return str(path)


class Counting(ckpt.Trackable):
    """An object with a plain value."""

    state_attributes = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class TestDiff:
    def test_whatever_was_saved_equals_what_is_stored(self, tmp_path):
        """No value of any kind differs from itself, stored and live, in any combination."""
        live = ckpt.Checkpoint(**EVERYTHING)
        path = live.write(tmp_path / "model")
        again = live.write(tmp_path / "again", max_shard_bytes=1000)
        for a in (path, again, live):
            for b in (path, again, live):
                assert not ckpt.diff(a, b)

    def test_every_value_is_compared(self, tmp_path):
        """Against nothing, every value is added, or removed."""
        path = ckpt.Checkpoint(**EVERYTHING).write(tmp_path / "model")
        nothing = ckpt.Checkpoint()
        names = {*EVERYTHING} - {"list"} | {"list/0", "list/1", "list/2"}
        names = names - {"state"} | {"state/.ATTRIBUTES/py_state"}
        assert names == {entry.path for entry in ckpt.diff(nothing, path).added}
        assert names == {entry.path for entry in ckpt.diff(path, nothing).removed}

    @pytest.mark.parametrize("name", [n for n in EVERYTHING if n not in ("0-size", "list")])
    def test_a_change_of_every_kind_is_found(self, tmp_path, name):
        """A stored value and a live one of another content differ, and the path says where."""
        path = ckpt.Checkpoint(x=EVERYTHING[name]).write(tmp_path / "model")
        value: Any = EVERYTHING[name]
        if isinstance(value, (np.ndarray, ckpt.Variable)):
            array = np.array(value)
            value = array[::-1].copy() if array.ndim else array + 1
            if np.array_equal(array, value):
                value[0] = 0
        else:
            value = State("other") if name == "state" else "other"
        found = ckpt.diff(path, ckpt.Checkpoint(x=value))
        assert ["x/.ATTRIBUTES/py_state" if name == "state" else "x"] == [
            change.path for change in found.changed
        ]

    def test_a_path_may_be_a_directory_or_a_path_object(self, tmp_path):
        """A directory means its newest checkpoint; the names of both sides are in the result."""
        checkpoint = ckpt.Checkpoint(step=1)
        first = checkpoint.save(tmp_path / "run")
        checkpoint.step = 2
        second = checkpoint.save(tmp_path / "run")
        found = ckpt.diff(Path(first), tmp_path)
        assert (first, second) == (found.before, found.after)
        assert ["step: 1 -> 2"] == [str(change) for change in found.changed]
        assert "the live Checkpoint" == ckpt.diff(first, checkpoint).after

    def test_every_kind_of_root_can_be_compared(self, tmp_path):
        """A Trackable, a list, a dict, a tuple and a Checkpoint of these are compared alike."""
        one, two = ckpt.Variable([1.0]), ckpt.Variable([4.0])
        for before, after in [
            (Node(x=one), Node(x=two)), ([one], [two]), ({"x": one}, {"x": two}), ((one,), (two,)),
        ]:  # fmt: skip
            (change,) = ckpt.diff(before, after).changed
            assert 3.0 == change.largest
        path = ckpt.Checkpoint([one], step=1).write(tmp_path / "list")
        assert not ckpt.diff(path, ckpt.Checkpoint([one], step=1))
        assert ["step"] == [entry.path for entry in ckpt.diff(path, [one]).removed]

    def test_the_save_counter_is_no_difference(self, tmp_path):
        """Numbered and unnumbered checkpoints, and live ones, differ in their values alone."""
        checkpoint = ckpt.Checkpoint(step=1)
        plain = checkpoint.write(tmp_path / "plain")
        first, second = checkpoint.save(tmp_path / "run"), checkpoint.save(tmp_path / "run")
        for a in (plain, first, second, checkpoint, ckpt.Checkpoint(step=1)):
            for b in (plain, first, second, checkpoint):
                assert not ckpt.diff(a, b)

    def test_values_that_wait_come_in_first(self, tmp_path):
        """What has come since a restore is given its value before it is compared."""
        path = ckpt.Checkpoint(Node(layers=[Counting(5)])).write(tmp_path / "model")
        live = Node(layers=[])
        status = ckpt.Checkpoint(live).restore(path)
        live.layers.append(Counting(0))
        assert not ckpt.diff(path, live)
        status.assert_consumed()

    def test_files_are_closed_afterwards(self, tmp_path, monkeypatch):
        """No file stays open, whether or not the comparison succeeds."""
        path = ckpt.Checkpoint(w=np.zeros(9)).write(tmp_path / "model")
        sources: list[Any] = []

        def opened(path: Any) -> Any:
            sources.append(open_resolved(path))
            return sources[-1]

        monkeypatch.setattr(comparing, "open_resolved", opened)
        ckpt.diff(path, path)
        view = ckpt.CheckpointView(path)
        with pytest.raises(ckpt.CheckpointNotFoundError):
            ckpt.diff(path, tmp_path / "none")
        assert [True] * 4 == [source.closed for source in sources]
        assert {"w": 1} == view.children(0)

    @pytest.mark.parametrize("side", [5, None, b"run/ckpt", np.zeros(3), object()])
    def test_what_is_neither_a_path_nor_a_root(self, side):
        """Anything else is refused by its type, with the remedy."""
        with pytest.raises(ckpt.NotCheckpointableError, match=r"expected .* Give other values"):
            ckpt.diff(ckpt.Checkpoint(), side)
        with pytest.raises(TypeError, match=type(side).__name__):
            ckpt.diff(side, ckpt.Checkpoint())

    def test_what_cannot_be_saved_cannot_be_compared(self, tmp_path):
        """A live root with a value that no checkpoint can hold is refused, and named."""
        path = ckpt.Checkpoint(step=1).write(tmp_path / "model")
        with pytest.raises(ckpt.NotCheckpointableError, match="x/0"):
            ckpt.diff(path, {"x": [print, np.zeros(1)]})

    def test_damage_is_found(self, tmp_path):
        """A damaged value raises, it is never a difference."""
        live = ckpt.Checkpoint(w=np.zeros(100))
        path = live.write(tmp_path / "model")
        (shard,) = (p for p in tmp_path.iterdir() if ".data-" in p.name)
        data = bytearray(shard.read_bytes())
        data[-1] ^= 1
        shard.write_bytes(data)
        with pytest.raises(ckpt.CorruptCheckpointError, match=shard.name):
            ckpt.diff(path, live)

    def test_names_are_compared_as_paths(self, tmp_path):
        """A name-based checkpoint is compared by its names, with an object graph too."""
        arrays = {"layer/w": np.arange(3.0), "layer": np.ones(2), "b.c": np.zeros(2)}
        path = write_named(tmp_path / "names", arrays)
        changed = write_named(tmp_path / "changed", {**arrays, "layer/w": np.arange(3.0) + 1})
        live = ckpt.Checkpoint(layer={"w": ckpt.Variable(np.arange(3.0))})

        assert not ckpt.diff(path, path)
        assert ["layer/w"] == [value.path for value in ckpt.diff(path, changed).changed]
        assert ["b..c", "layer"] == sorted(v.path for v in ckpt.diff(path, live).removed)

    def test_a_name_based_checkpoint_has_no_graph_to_view(self, tmp_path):
        """A view of the graph is refused where there is none."""
        path = write_named(tmp_path / "names", {"w": np.zeros(2)})
        with pytest.raises(
            ckpt.UnsupportedFormatError, match=r"names: holds named.*load_checkpoint"
        ):
            ckpt.CheckpointView(path)


class TestView:
    def test_the_graph_by_numbers(self, tmp_path):
        """Children by name, descendants breadth-first; shared objects have one number."""
        shared = ckpt.Variable(1.0)
        root = Node(a=Node(w=shared, x=ckpt.Variable(2.0)), b=Node(w=shared))
        view = ckpt.CheckpointView(ckpt.Checkpoint(root).write(tmp_path / "model"))
        assert {"a": 1, "b": 2} == view.children(0)
        assert {"w": 3, "x": 4} == view.children(1)
        assert {"w": 3} == view.children(2)
        assert {} == view.children(3)
        assert [0, 1, 2, 3, 4] == view.descendants()
        assert f"<CheckpointView of {tmp_path}/model: 5 nodes>" == repr(view)

    def test_a_directory_means_its_newest_checkpoint(self, tmp_path):
        """The path of the view is that of the checkpoint that it found."""
        checkpoint = ckpt.Checkpoint(step=1)
        checkpoint.save(tmp_path / "run")
        newest = checkpoint.save(tmp_path / "run")
        assert newest == ckpt.CheckpointView(tmp_path).path

    @pytest.mark.parametrize("node", [-1, 2, 2**70])
    def test_a_number_without_a_node(self, tmp_path, node):
        """The error says which numbers there are."""
        view = ckpt.CheckpointView(ckpt.Checkpoint(step=1).write(tmp_path / "model"))
        with pytest.raises(ValueError, match=rf"no node {node}, expected 0 \(the root\) to 1"):
            view.children(node)
        with pytest.raises(TypeError, match="node_id is 'step', expected the number of a node"):
            view.children("step")  # type: ignore[arg-type]

    def test_live_objects_stand_for_nodes(self, tmp_path):
        """Objects, containers and plain values are matched by name, whatever the root is."""
        root = Node(layers=[Node(w=ckpt.Variable(1.0))])
        view = ckpt.CheckpointView(ckpt.Checkpoint(root, step=3).write(tmp_path / "model"))
        assert {"layers": 1, "step": 2} == view.children(0)
        assert ({"0": 3}, {"w": 4}) == (view.children(1), view.children(3))
        live = Node(layers=[Node(w=ckpt.Variable(2.0)), Node()])
        below = {0: live, 1: live.layers, 3: live.layers[0], 4: live.layers[0].w}
        assert below == view.match(live)
        assert below | {2: 7} == view.match(ckpt.Checkpoint(live, step=7, extra=1))
        layers = ({"w": 5},)
        named = {"step": None, "layers": layers}
        assert {0: named, 1: layers, 2: None} == view.match(named)
        array = {"layers": [{"w": np.zeros(3)}]}
        assert {0, 1, 3, 4} == {*view.match(array)}
        assert {0: []} == view.match([])

    def test_what_only_one_side_has(self, tmp_path):
        """The difference lists nodes without an object, and objects without a node."""
        saved = ckpt.Checkpoint(w=ckpt.Variable(1.0), b=ckpt.Variable(2.0), step=1)
        view = ckpt.CheckpointView(saved.save(tmp_path / "run"))
        live = ckpt.Checkpoint(w=ckpt.Variable(3.0), step=1, scale=ckpt.Variable(4.0))
        found = view.diff(live)
        children = view.children(0)
        assert {0: live, children["w"]: live.w, children["step"]: 1} == found.matches
        assert [children["b"]] == found.only_in_checkpoint
        (scale,) = found.only_in_program
        assert live.scale is scale

    def test_the_save_counter_is_no_difference(self, tmp_path):
        """Whichever side has a counter, it is in neither list."""
        counting = ckpt.Checkpoint(step=1)
        numbered, plain = counting.save(tmp_path / "run"), ckpt.Checkpoint(step=1)
        for path in (numbered, plain.write(tmp_path / "plain")):
            for live in (counting, plain):
                _, only_in_checkpoint, only_in_program = ckpt.CheckpointView(path).diff(live)
                assert ([], []) == (only_in_checkpoint, only_in_program)

    def test_one_warning_names_all_conflicts(self, tmp_path):
        """One stored object that is several live ones: the first wins, and the others are named."""
        shared = ckpt.Variable(1.0)
        names = [f"v{i}" for i in range(8)]
        saved = ckpt.Checkpoint(**dict.fromkeys(names, shared))
        view = ckpt.CheckpointView(saved.write(tmp_path / "model"))
        live = ckpt.Checkpoint(**{name: ckpt.Variable(1.0) for name in names})
        with pytest.warns(ckpt.CheckpointWarning) as caught:
            matches = view.match(live)
        (warning,) = caught
        assert r"v1 (matched under v0), v2 (matched under v0)" in str(warning.message)
        assert "v5 (matched under v0) and 2 more" in str(warning.message)
        assert __file__ == warning.filename
        assert live.v0 is matches[1]
        with warnings.catch_warnings(action="error"):
            view.match(saved)

    @pytest.mark.parametrize("obj", [5, None, "run/ckpt", np.zeros(3)])
    def test_what_is_no_root(self, tmp_path, obj):
        """Anything that a graph cannot begin with is refused by its type, with the remedy."""
        view = ckpt.CheckpointView(ckpt.Checkpoint(step=1).write(tmp_path / "model"))
        for question in (view.match, view.diff):
            with pytest.raises(ckpt.NotCheckpointableError, match=r"Checkpoint\(value=value\)"):
                question(obj)

    def test_slot_variables_are_listed_last(self, tmp_path):
        """Nodes that only slots lead to are descendants, children of none, and without objects."""
        root = Node(w=ckpt.Variable(1.0), adam=Node(), s=ckpt.Variable(2.0))
        path = write_snapshot(tmp_path / "model", with_slots(root, [(2, 1, "m", 3)]))
        view = ckpt.CheckpointView(path)
        assert {"w": 1, "adam": 2} == view.children(0)
        assert [0, 1, 2, 3] == view.descendants()
        assert [3] == view.diff(root).only_in_checkpoint

    def test_live_slot_variables_are_matched_by_their_pair(self, tmp_path):
        """A slot belongs to its variable and optimizer, in a match and in a difference."""

        def program(momentum):
            w, optimizer = ckpt.Variable(1.0), ckpt.SlotTrackable()
            optimizer.add_slot(w, "m", np.float64(momentum))
            return ckpt.Checkpoint(w=w, optimizer=optimizer)

        path, live = program(1.0).write(tmp_path / "model"), program(3.0)
        view = ckpt.CheckpointView(path)
        (slot,) = set(view.descendants()) - {0, *view.children(0).values()}
        assert live.optimizer.get_slot(live.w, "m") is view.match(live)[slot]
        assert ([], []) == view.diff(live)[1:]
        (change,) = ckpt.diff(path, live).changed
        assert ("w/.OPTIMIZER_SLOT/optimizer/m", 2.0) == (change.path, change.largest)

    def test_stored_slot_variables_are_compared(self, tmp_path):
        """Two checkpoints with slot variables are compared by the paths of the slots."""
        paths = []
        for name, value in (("a", 1.0), ("b", 1.5)):
            root = Node(w=ckpt.Variable(1.0), adam=Node(), s=ckpt.Variable(value))
            snapshot = with_slots(root, [(2, 1, "m", 3)])
            paths.append(write_snapshot(tmp_path / name, snapshot))
        (change,) = ckpt.diff(*paths).changed
        assert ("w/.OPTIMIZER_SLOT/adam/m", 0.5) == (change.path, change.largest)
