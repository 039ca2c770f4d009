"""A name-based checkpoint through the object API (docs/restore.md, R-31 to R-36)."""

import gc
import tempfile
import weakref
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.storage import local
from tests.restore.models import Declared, Node, variable
from tests.restore.named import write_named


def paths(entries: Any) -> list[str]:
    """Return where the entries stand."""
    return [entry.path for entry in entries]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A name-based checkpoint of two Variables."""
    return write_named(tmp_path / "named", {"layer/w": [1.0, 2.0], "layer/b": [3.0]})


def model() -> Node:
    """Objects whose Variables have these global names, under other paths."""
    return Node(kernel=variable(0, 0, name="layer/w"), bias=variable(0, name="layer/b"))


def frozen(*values: int) -> Any:
    """Return an array that cannot be written to."""
    array = np.array(values)
    array.flags.writeable = False
    return array


class TestRunning:
    """Nothing happens before one of the two calls that run it."""

    def test_nothing_is_assigned_before_run_restore_ops(self, path):
        """In eager execution too, values come with the call, by global names (R-33)."""
        live = model()
        status = ckpt.Checkpoint(any=live).restore(path)
        assert isinstance(status, ckpt.NameBasedSaverStatus)
        assert ([0, 0], [0]) == (live.kernel.value.tolist(), live.bias.value.tolist())
        assert ["any/kernel", "any/bias"] == paths(status.report().pending)
        assert {"waits for run_restore_ops()"} == {e.reason for e in status.report().pending}

        assert status is status.run_restore_ops()
        assert ([1, 2], [3]) == (live.kernel.value.tolist(), live.bias.value.tolist())
        assert ["any/kernel", "any/bias"] == paths(status.report().restored)
        assert [] == status.report().pending
        assert status is status.assert_consumed().assert_existing_objects_matched()

    @pytest.mark.parametrize(
        "restore",
        [
            lambda live, path: ckpt.Checkpoint(live).restore(path),
            lambda live, path: ckpt.Checkpoint(live).read(path),
            lambda live, path: ckpt.CheckpointableSaver(live).restore(path),
        ],
    )
    def test_every_way_to_restore_knows_them(self, path, restore):
        """restore, read and CheckpointableSaver.restore return the same kind of status (R-32)."""
        live = model()
        status = restore(live, path)
        assert isinstance(status, ckpt.NameBasedSaverStatus)
        status.initialize_or_restore().assert_consumed()
        assert [1, 2] == live.kernel.value.tolist()

    def test_every_call_matches_what_exists_then(self, path):
        """There is no deferral: what comes after a call is given its value by the next (R-33)."""
        live = Node(kernel=variable(0, 0, name="layer/w"))
        status = ckpt.Checkpoint(live).restore(path).run_restore_ops()
        assert ["layer/b"] == paths(status.report().unused)
        live.bias = variable(0, name="layer/b")
        assert 0 == live.bias[0]
        assert ["bias"] == paths(status.report().pending)

        status.run_restore_ops().assert_consumed()
        assert 3 == live.bias[0]

    def test_a_call_may_be_repeated(self, path):
        """Each call reads everything again."""
        live = model()
        status = ckpt.Checkpoint(live).restore(path).run_restore_ops()
        live.kernel.assign([9, 9])
        status.run_restore_ops()
        assert [1, 2] == live.kernel.value.tolist()

    def test_initialize_or_restore_initializes_what_is_missing(self, path):
        """What the checkpoint lacks gets its initial value, and stays missing (R-33)."""
        live = Node(kernel=ckpt.Variable(shape=(2,), dtype=float, name="layer/w"))
        live.new = ckpt.Variable(shape=(1,), name="new")
        status = ckpt.Checkpoint(live).restore(path).initialize_or_restore()
        assert ([1, 2], [0]) == (live.kernel.value.tolist(), live.new.value.tolist())
        assert ["new"] == paths(status.report().missing)

    def test_the_checkpoint_may_be_deleted_meanwhile(self, path, tmp_path):
        """The status keeps the files open as long as it lives, and no longer (R-33)."""
        live = model()
        status = ckpt.Checkpoint(live).restore(path)
        source = weakref.ref(status)
        for file in tmp_path.glob("named*"):
            file.unlink()
        status.run_restore_ops().assert_consumed()
        assert [1, 2] == live.kernel.value.tolist()
        del status
        gc.collect()
        assert source() is None

    def test_the_files_are_closed_with_the_status(self, path, monkeypatch):
        """Dropping the status closes the checkpoint at once, without a garbage collection."""
        opened = []
        real = local.LocalStorage.open_read

        def counted(self: Any, name: str) -> Any:
            opened.append(real(self, name))
            return opened[-1]

        monkeypatch.setattr(local.LocalStorage, "open_read", counted)
        status = ckpt.Checkpoint(model()).restore(path).run_restore_ops()
        del status
        for file in opened:
            with pytest.raises((ValueError, OSError)):
                file.read_into(0, memoryview(bytearray(1)))


class TestNames:
    """What goes by which name."""

    def test_arrays_and_nameless_variables_go_by_their_path(self, tmp_path):
        """Where there is no global name, the object path is the name (R-32)."""
        values = {"a/x": [1, 2], "a/w": [3.0], "items/0": [4], "n": 5, "kept": [6]}
        path = write_named(tmp_path / "named", values)
        kept = frozen(0)
        live = ckpt.Checkpoint(
            a=Declared(x=np.zeros(2, int), w=variable(0)),
            items=(np.zeros(1, int),),
            n=np.int64(0),
            kept=kept,
        )
        array = live.a.x
        live.restore(path).run_restore_ops().assert_consumed()
        assert ([1, 2], 3, [4], 5, [6]) == (
            array.tolist(),
            live.a.w[0],
            live.items[0].tolist(),
            live.n,
            live.kept.tolist(),
        )
        assert (np.int64, [0], False) == (type(live.n), kept.tolist(), live.kept.flags.writeable)

    def test_what_cannot_be_written_to_is_replaced_where_it_stands(self, tmp_path):
        """Read-only arrays and scalars get new values in tuples, dicts and at roots (R-32)."""
        values = {"t/0": 1, "t/1": [2], "d/k": 4, "d/a": [5], "s": 6}
        root = {
            "t": (np.int64(0), frozen(0)),
            "d": {"k": np.int64(0), "a": np.zeros(1, int)},
        }
        checkpoint = ckpt.Checkpoint(root, s=np.int64(0))
        status = checkpoint.restore(write_named(tmp_path / "named", values))
        status.run_restore_ops().assert_consumed()
        assert (1, [2], 4, [5], 6) == (
            root["t"][0],
            root["t"][1].tolist(),
            root["d"]["k"],
            root["d"]["a"].tolist(),
            checkpoint.s,
        )

    def test_two_variables_of_one_name_both_get_it(self, path):
        """The report lists the second as split, and assert_consumed raises (R-34)."""
        twins = Node(a=variable(0, name="layer/b"), b=variable(0, name="layer/b"))
        status = ckpt.Checkpoint(twins).restore(path, skip="none")
        with pytest.warns(ckpt.CheckpointWarning, match="skip='none' leads to nothing"):
            status.run_restore_ops()
        assert (3, 3) == (twins.a[0], twins.b[0])
        assert ["b"] == paths(status.report().split)

    def test_slot_variables_go_by_their_names_or_their_own_paths(self, tmp_path):
        """A slot variable without a name has the path that reports give it."""
        w, v, sgd = variable(0, name="w"), variable(0), ckpt.SlotTrackable()
        slot, other = sgd.add_slot(w, "m", "ones"), sgd.add_slot(v, "m", "ones")
        values = {"w": [1.0], "w/m": [2.0], "v": [3.0], "v/.OPTIMIZER_SLOT/sgd/m": [4.0]}
        path = write_named(tmp_path / "named", values)
        live = ckpt.Checkpoint(w=w, v=v, sgd=sgd)
        live.restore(path).run_restore_ops().assert_consumed()
        assert (1, 2, 3, 4) == (w[0], slot[0], v[0], other[0])

        slot.assign([0])
        status = live.restore(path, slots=False).run_restore_ops().assert_consumed()
        assert 0 == slot[0]
        assert 2 == len(status.report().skipped)

    def test_parts_get_their_parts(self, tmp_path):
        """Partitioned variables go by the name of the whole, in any slicing (R-32)."""
        path = write_named(tmp_path / "named", {"table": np.arange(10.0).reshape(5, 2)})
        for counts in ((2, 1), (1, 2)):
            parts = ckpt.partitioned_variables((5, 2), counts, dtype=float, name="table")
            status = ckpt.Checkpoint(parts=parts).restore(path).run_restore_ops()
            status.assert_consumed()
            whole = np.concatenate([p.value for p in parts], axis=counts.index(2))
            assert np.arange(10.0).reshape(5, 2).tolist() == whole.tolist()

    def test_plain_values_and_what_saves_itself_are_skipped(self, tmp_path):
        """A name-based checkpoint has nothing for them, so no assertion fails (R-34)."""

        class Bytes(ckpt.PythonState):
            def serialize(self) -> bytes:
                return b""

            def deserialize(self, data: bytes) -> None:
                raise AssertionError

        path = write_named(tmp_path / "named", {"w": [1.0]})
        live = ckpt.Checkpoint(w=variable(0), step=3, state=Bytes(), nothing=None, empty=[])
        status = live.restore(path).run_restore_ops().assert_consumed()
        assert (["step", "state"], 3) == (paths(status.report().skipped), live.step)
        assert "holds no plain values" in status.report().skipped[0].reason

    def test_arrays_in_foreign_objects_are_skipped(self, tmp_path):
        """Their adapters show copies, as likely as not; Variables in them are restored (R-34)."""
        path = write_named(tmp_path / "named", {"w": [1.0]})
        live = ckpt.Checkpoint(q=deque([np.zeros(2), variable(0, name="w")]))
        status = live.restore(path).run_restore_ops().assert_consumed()
        assert (["q/items/0"], 1) == (paths(status.report().skipped), live.q[1][0])

    def test_a_plain_value_under_a_stored_name_is_pointed_out(self, tmp_path):
        """The name is unused, and the report says what to make of the plain value."""
        path = write_named(tmp_path / "named", {"step": np.int64(7)})
        status = ckpt.Checkpoint(step=0).restore(path).run_restore_ops()
        (entry,) = status.report().unused
        assert "make it a Variable" in entry.reason

    def test_the_save_counter_comes_where_it_is_and_is_never_reported(self, tmp_path):
        """The library's own counter is restored, and counts in no list (R-34)."""
        values = {"w": [1.0], "save_counter": np.int64(7)}
        live = ckpt.Checkpoint(w=variable(0))
        status = live.restore(write_named(tmp_path / "named", values)).run_restore_ops()
        status.assert_consumed()
        assert 7 == live.save_counter.value
        report = status.report()
        assert (["w"], [], []) == (paths(report.restored), report.unused, report.skipped)

        without = ckpt.Checkpoint(w=variable(0))
        without.restore(write_named(tmp_path / "b", {"w": [1.0]})).run_restore_ops()
        assert 0 == without.save_counter.value


class TestAssertions:
    """What is wrong is said, with what to do."""

    def test_before_a_run_every_assertion_says_what_to_call(self, path):
        """Values that were not given yet fail all three (R-35)."""
        status = ckpt.Checkpoint(model()).restore(path)
        for fails in (
            status.assert_consumed,
            status.assert_existing_objects_matched,
            status.assert_nontrivial_match,
        ):
            with pytest.raises(ckpt.UnmatchedError, match=r"call\s+one of them first") as raised:
                fails()
            assert ["kernel", "bias"] == paths(raised.value.report.pending)

    def test_missing_and_unused_names_fail(self, path):
        """Missing names fail two assertions, unused ones one; the nearest name is suggested."""
        live = Node(kernel=variable(0, 0, name="layer/w_1"), bias=variable(0, name="layer/b"))
        status = ckpt.Checkpoint(live).restore(path).run_restore_ops()
        assert 3 == live.bias[0]
        with pytest.raises(ckpt.UnmatchedError, match="no tensor of the name 'layer/w_1'; it hold"):
            status.assert_existing_objects_matched()
        del live.kernel
        status.assert_existing_objects_matched().assert_nontrivial_match()
        with pytest.raises(ckpt.UnmatchedError, match="layer/w float64"):
            status.assert_consumed()

    def test_no_name_in_common_is_no_match(self, path):
        """assert_nontrivial_match says what the checkpoint holds."""
        status = ckpt.Checkpoint(x=variable(0)).restore(path).run_restore_ops()
        with pytest.raises(ckpt.UnmatchedError, match="it holds layer/w, layer/b"):
            status.assert_nontrivial_match()

    def test_misfits_are_raised_before_anything_is_assigned(self, path):
        """All of them, by the run; the report lists them before (R-33)."""
        live = Node(kernel=variable(0, name="layer/w"), bias=variable(0, name="layer/b"))
        status = ckpt.Checkpoint(live).restore(path)
        assert ["kernel"] == paths(status.report().mismatched)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="kernel: the checkpoint holds"):
            status.run_restore_ops()
        assert 0 == live.bias[0]
        with pytest.raises(ckpt.UnmatchedError, match="did not fit"):
            status.assert_existing_objects_matched()

    def test_what_a_class_refuses_is_an_error_of_its_own(self, tmp_path):
        """A setter that raises does not keep the other values from coming."""

        class Strict(ckpt.Checkpoint):
            def __setattr__(self, name: str, value: Any) -> None:
                if name == "n" and value > 3:
                    raise ValueError("too large")
                super().__setattr__(name, value)

        live = Strict(n=np.int64(0), w=variable(0))
        status = live.restore(write_named(tmp_path / "named", {"n": np.int64(5), "w": [1.0]}))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="n: ValueError: too large"):
            status.run_restore_ops()
        assert (0, 1) == (live.n, live.w[0])
        assert ["n"] == paths(status.report().pending)

    def test_a_later_restore_counts(self, path, tmp_path):
        """What a later restore has given is matched, whatever this one has for it."""
        live = Node(kernel=variable(0, 0, name="layer/w"), bias=variable(0, name="else"))
        saved = ckpt.Checkpoint(live).write(tmp_path / "objects")
        status = ckpt.Checkpoint(live).restore(path).run_restore_ops()
        ckpt.Checkpoint(live).restore(saved).assert_consumed()
        status.assert_existing_objects_matched()
        assert ["kernel", "bias"] == paths(status.report().restored)

    def test_an_earlier_restore_that_is_run_later_does_not(self, path):
        """Which restore is later is decided by the calls of `restore`, as for objects (R-34)."""
        live = ckpt.Checkpoint(model())
        earlier, later = live.restore(path), live.restore(path)
        earlier.run_restore_ops().assert_consumed()
        assert ["kernel", "bias"] == paths(later.report().pending)
        later.run_restore_ops().assert_consumed()
        earlier.assert_consumed()

    def test_an_earlier_object_based_restore_counts_it(self, path, tmp_path):
        """The status of an earlier restore takes what came by name as matched."""
        saved = ckpt.Checkpoint(Node()).write(tmp_path / "objects")
        live = model()
        earlier = ckpt.Checkpoint(live).restore(saved)
        ckpt.Checkpoint(live).restore(path).run_restore_ops()
        earlier.assert_existing_objects_matched()

    def test_the_report_is_a_tree(self, path):
        """It names the checkpoint, and each list with its paths."""
        text = str(ckpt.Checkpoint(model()).restore(path).run_restore_ops().report())
        assert text.startswith(f"{path}: 2 restored")


class TestOptions:
    """RestoreOptions say what they say for objects, where there is something to say."""

    def test_only_and_skip_leave_out_paths(self, path):
        """What is left out is skipped, its names too, and fails no assertion (R-36)."""
        live = Node(a=model(), other=variable(0, name="other"))
        for options in ({"only": "a/kernel"}, {"skip": ("a/bias", "other")}):
            live.a = model()
            status = ckpt.Checkpoint(live).restore(path, **options).run_restore_ops()
            status.assert_consumed()
            assert ([1, 2], 0) == (live.a.kernel.value.tolist(), live.a.bias[0])
            assert {"a/bias", "other"} == {*paths(status.report().skipped)}

    def test_with_only_no_name_is_unused(self, path):
        """Stored names have no paths, so what `only` does not ask for counts as left out (R-36)."""
        live = ckpt.Checkpoint(kernel=variable(0, 0, name="layer/w"))
        live.restore(path, only="kernel").run_restore_ops().assert_consumed()
        assert [1, 2] == live.kernel.value.tolist()

    def test_any_path_to_an_object_can_be_named(self, path):
        """A path that is not the first one to its end leads to it all the same."""
        shared = model()
        live = ckpt.Checkpoint(a=shared, b=shared)
        live.restore(path, only="b").run_restore_ops().assert_consumed()
        assert [1, 2] == shared.kernel.value.tolist()

    def test_rename_says_which_name_a_path_has(self, path):
        """A path of the program is given the tensor of another name (R-36)."""
        live = Node(new=variable(0, 0), bias=variable(0, name="layer/b"))
        renamed = {"new": "layer/w"}
        ckpt.Checkpoint(live).restore(path, rename=renamed).run_restore_ops().assert_consumed()
        assert [1, 2] == live.new.value.tolist()

    def test_rename_to_a_name_that_is_not_there_is_refused(self, path):
        """At the call, with the nearest names."""
        with pytest.raises(ckpt.TensorNotFoundError, match="It holds layer/w"):
            ckpt.Checkpoint(model()).restore(path, rename={"kernel": "layer/ww"})

    def test_at_is_refused(self, path):
        """There is no stored object to begin at (R-36)."""
        with pytest.raises(ValueError, match="holds no objects"):
            ckpt.Checkpoint(model()).restore(path, at="layer")

    def test_casting_and_shapes(self, path):
        """Casts are reported; values of another shape can be reshaped or left out (R-36)."""
        live = Node(w=ckpt.Variable(np.zeros((1, 2), np.float32), name="layer/w"))
        live.b = ckpt.Variable(np.zeros((2, 2)), name="layer/b")
        options = {"casting": "same_kind", "shapes": "reshape"}
        status = ckpt.Checkpoint(live).restore(path, skip="b", **options).run_restore_ops()
        assert ([[1, 2]], ["w"]) == (live.w.value.tolist(), paths(status.report().cast))

        kept = Node(w=variable(5, 5, 5, name="layer/w"), b=variable(0, name="layer/b"))
        status = ckpt.Checkpoint(kept).restore(path, shapes="skip").run_restore_ops()
        status.assert_consumed()
        assert (5, 3, ["w"]) == (kept.w[0], kept.b[0], paths(status.report().skipped))

    def test_defer_false_checks_at_the_call(self, path):
        """What the assertions would say after a run is raised at once; nothing is given (R-36)."""
        with pytest.raises(ckpt.UnmatchedError, match="Nothing was assigned, because of defer"):
            ckpt.Checkpoint(b=variable(0, name="layer/b")).restore(path, defer=False)
        live = model()
        status = ckpt.Checkpoint(live).restore(path, defer=False)
        assert 0 == live.bias[0]
        status.run_restore_ops().assert_consumed()

    def test_verify_first_reads_every_byte_before_it_assigns(self, path, tmp_path):
        """Damage anywhere leaves everything as it is."""
        (shard,) = tmp_path.glob("named.data*")
        shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
        live = Node(kernel=variable(0, 0, name="layer/w"))
        status = ckpt.Checkpoint(live).restore(path, verify="first")
        with pytest.raises(ckpt.CorruptCheckpointError, match="Nothing was assigned"):
            status.run_restore_ops()
        assert [0, 0] == live.kernel.value.tolist()


class TestGraphs:
    """Variables of a graph have their values in sessions."""

    def test_values_come_into_the_session(self, path):
        """The given session, or the default one, with initial values for what is missing (R-33)."""
        graph = ckpt.Graph()
        with graph.as_default():
            live = model()
            live.new = ckpt.Variable([7.0], name="new")
            status = ckpt.Checkpoint(live).restore(path)
            with ckpt.Session() as session:
                status.initialize_or_restore()
                assert [[1, 2], [3], [7]] == [
                    session.run(v).tolist() for v in (live.kernel, live.bias, live.new)
                ]
            other = ckpt.Session(graph)
            status.run_restore_ops(other)
            assert [1, 2] == other.run(live.kernel).tolist()
            with pytest.raises(RuntimeError, match="has no value in this session"):
                other.run(live.new)

    def test_without_a_session_the_error_says_so(self, path):
        """Nothing is assigned then, and the report can be read without one."""
        with ckpt.Graph().as_default():
            status = ckpt.Checkpoint(model()).restore(path)
            assert 2 == len(status.report().pending)
            with pytest.raises(RuntimeError, match="there is no session"):
                status.run_restore_ops()

    def test_restoring_adds_nothing_to_the_graph(self, path):
        """However often a checkpoint is restored and run; a finalized graph restores too."""
        graph = ckpt.Graph()
        with graph.as_default():
            live = model()
        graph.finalize()
        before = len(graph.get_operations())
        with ckpt.Session(graph) as session:
            for _ in range(3):
                ckpt.Checkpoint(live).restore(path).run_restore_ops(session).assert_consumed()
        assert before == len(graph.get_operations())


SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 2))
#: By path: the global name, if there is one, and the size.
LIVE = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.none() | st.sampled_from("abcdef"), st.integers(1, 2)),
)


@given(stored=SIZES, live=LIVE, options=st.sampled_from(["exact", "skip"]))
@settings(max_examples=60, deadline=None)
def test_the_report_and_the_values_are_those_of_a_naive_model(stored, live, options):
    """For any names on both sides, the lists and the values are what plain loops say (R-34)."""
    asked = {path: name or path for path, (name, _) in live.items()}
    fits = [p for p, n in asked.items() if stored.get(n) == live[p][1]]
    misfits = [p for p, n in asked.items() if n in stored and p not in fits]
    root = Node(**{p: variable(*[-1] * size, name=name) for p, (name, size) in live.items()})
    with tempfile.TemporaryDirectory() as directory:
        values = {n: np.full(size, float(ord(n))) for n, size in stored.items()}
        path = write_named(f"{directory}/named", values)
        status = ckpt.Checkpoint(root).restore(path, shapes=options)
        fails = misfits and options == "exact"
        with pytest.raises(ckpt.IncompatibleCheckpointError) if fails else nullcontext():
            status.run_restore_ops()

    report = status.report()
    assert {
        "restored": [] if fails else fits,
        "pending": fits if fails else [],
        "missing": [p for p, n in asked.items() if n not in stored],
        "mismatched": misfits if fails else [],
        "skipped": [] if fails else misfits,
        "unused": [n for n in stored if n not in asked.values()],
    } == {
        kind: paths(getattr(report, kind))
        for kind in ("restored", "pending", "missing", "mismatched", "skipped", "unused")
    }
    assert {p: ord(asked[p]) if p in fits and not fails else -1 for p in live} == {
        p: getattr(root, p)[0] for p in live
    }


def test_a_name_based_checkpoint_can_be_saved_again_as_objects(path, tmp_path):
    """Crossing over for good: restore by names, save as objects, restore by edges (R-32)."""
    live = ckpt.Checkpoint(model=model())
    live.restore(path).run_restore_ops().assert_consumed()
    again = live.save(tmp_path / "objects")
    fresh = ckpt.Checkpoint(model=Node(kernel=variable(0, 0), bias=variable(0)))
    fresh.restore(again).assert_consumed()
    assert [1, 2] == fresh.model.kernel.value.tolist()


def test_a_save_before_the_run_warns_once(path, tmp_path):
    """R-33: a save says that nothing was restored yet, once, and not where that is intended."""
    live = ckpt.Checkpoint(model=model())
    status = live.restore(path)
    with pytest.warns(ckpt.CheckpointWarning, match="has none of its values yet") as warned:
        live.save(tmp_path / "saved")
    live.save(tmp_path / "saved")
    assert 1 == len(warned)

    del status
    live.restore(path).run_restore_ops()
    live.save(tmp_path / "saved")
    live.restore(path).expect_partial()
    live.save(tmp_path / "saved")
