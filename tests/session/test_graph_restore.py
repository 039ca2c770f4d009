"""Saving from sessions, and restores that are recorded while a graph is built (R-25, R-26)."""

import gc
import json
import os
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.session.graph import executing_eagerly


class Node(ckpt.Trackable):
    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Declared(Node):
    state_attributes = ("x", "n")


class Settings(ckpt.PythonState):
    def __init__(self, values: Any) -> None:
        self.values = values

    def serialize(self) -> bytes:
        return json.dumps(self.values).encode()

    def deserialize(self, data: bytes) -> None:
        self.values = json.loads(data)


def variable(*values: float) -> ckpt.Variable:
    """A float64 Variable."""
    return ckpt.Variable(np.array(values, float))


def write(tmp_path, *given: Any, **dependencies: Any) -> str:
    """Write a checkpoint and return its path: of what a function makes eagerly, or of what is."""
    name = next((x for x in given if isinstance(x, str)), "model")
    if dependencies:
        return ckpt.Checkpoint(**dependencies).write(tmp_path / name)
    with executing_eagerly():
        return ckpt.Checkpoint(**given[-1]()).write(tmp_path / name)


def paths(entries) -> list[str]:
    """The paths of the entries of a report."""
    return [entry.path for entry in entries]


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def damage(path: str) -> None:
    """Flip a byte in the middle of the first shard of a checkpoint."""
    directory, name = os.path.split(path)
    shard = next(f for f in sorted(os.listdir(directory)) if f.startswith(name) and ".data" in f)
    with open(os.path.join(directory, shard), "r+b") as file:
        data = bytearray(file.read())
        data[len(data) // 2] ^= 0xFF
        file.seek(0)
        file.write(data)


@pytest.fixture
def graph():
    """A graph that is the default."""
    with ckpt.Graph().as_default() as graph:
        yield graph


class TestRecording:
    def test_values_come_with_run_restore_ops(self, tmp_path, graph):
        """Nothing is read into a session before; then all values are those saved (R-25)."""
        path = write(
            tmp_path, lambda: {"m": Node(w=Node(a=ckpt.Variable([1.0, 2.0])), b=ckpt.Variable(3))}
        )
        live = Node(w=Node(a=variable(0, 0)), b=ckpt.Variable(0))
        status = ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        with ckpt.Session() as session:
            assert not live.b.initialized
            assert status is status.run_restore_ops()
            assert [[1, 2], 3] == [v.tolist() for v in session.run([live.w.a, live.b])]

    def test_the_report_needs_no_session(self, tmp_path, graph):
        """Recorded values count as restored, with dtype and shape."""
        path = write(tmp_path, lambda: {"m": Node(a=variable(1, 2), b=variable(3))})
        live = Node(a=variable(0, 0), c=ckpt.Variable(np.float32(0)))
        report = ckpt.Checkpoint(m=live).restore(path).report()
        assert [("m/a", "float64", (2,))] == [(e.path, e.dtype, e.shape) for e in report.restored]
        assert ["m/b"] == paths(report.pending)
        assert [("m/c", "float32", ())] == [(e.path, e.dtype, e.shape) for e in report.missing]

    def test_other_values_are_assigned_at_once(self, tmp_path, graph):
        """Arrays, plain values, PythonState and eager Variables need no session."""

        def model(value):
            return Declared(x=np.full(2, value), n=[value], s=Settings(value), w=variable(value))

        path = write(tmp_path, lambda: {"m": model(5), "k": 6})
        with executing_eagerly():
            live = model(0)
        live.late = variable(0)
        checkpoint = ckpt.Checkpoint(m=live, k=0)
        checkpoint.restore(path)
        assert ([5, 5], [5], 5, [5]) == (live.x.tolist(), live.n, live.s.values, list(live.w))
        assert 6 == checkpoint.k

    def test_all_is_checked_at_once(self, tmp_path, graph):
        """A shape or dtype that does not fit is an error of `restore`; nothing is recorded."""
        path = write(tmp_path, lambda: {"m": Node(a=variable(1), b=ckpt.Variable(np.float32(1)))})
        live = Node(a=variable(0, 0), b=ckpt.Variable(0))
        with pytest.raises(ckpt.IncompatibleCheckpointError) as error:
            ckpt.Checkpoint(m=live).restore(path)
        assert ["m/a", "m/b"] == paths(error.value.mismatches)
        restore = next(o for o in graph.get_operations() if o.name.endswith("/restore"))
        with ckpt.Session() as session, pytest.raises(RuntimeError, match="no restore has"):
            session.run(restore)

    def test_options_hold(self, tmp_path, graph):
        """Casts, other shapes and what is left out are as in eager execution."""
        path = write(
            tmp_path,
            lambda: {"a": ckpt.Variable([[1.5, 2.5]]), "b": variable(3), "c": ckpt.Variable(4)},
        )
        live = ckpt.Checkpoint(a=ckpt.Variable(np.zeros(2, "f4")), b=variable(0), c=variable(0))
        options = ckpt.RestoreOptions(casting="same_kind", shapes="reshape", skip=("b", "c"))
        status = live.restore(path, options).assert_consumed()
        with ckpt.Session() as session:
            status.initialize_or_restore()
            assert [[1.5, 2.5], [0]] == [v.tolist() for v in session.run([live.a, live.b])]
        assert ["a"] == paths(status.report().cast)

    def test_a_plain_number_fits_a_variable_of_a_graph(self, tmp_path, graph):
        """Values that are no tensors in the file are converted when the read is run."""
        path = write(tmp_path, lambda: {"step": 7, "name": np.array("abc")})
        live = ckpt.Checkpoint(step=ckpt.Variable(0), name=ckpt.Variable(np.array("xyz")))
        status = live.restore(path).assert_consumed()
        with ckpt.Session() as session:
            status.run_restore_ops()
            assert [7, "abc"] == [v.item() for v in session.run([live.step, live.name])]

    def test_one_variable_under_two_names_is_read_once(self, tmp_path, graph):
        """Shared objects are one, in the file and here."""
        w = variable(1)
        with ckpt.Session() as session:
            session.run(w.initializer)
            path = write(tmp_path, a=Node(w=w), b=Node(w=w))
            session.run(w.assign([0]))
            live = ckpt.Checkpoint(a=Node(w=w), b=Node(w=w))
            live.restore(path).assert_consumed().run_restore_ops()
            assert [1] == session.run(w).tolist()

    def test_bulk_values_are_read_whole(self, tmp_path, graph):
        """Large and small, many at once, of different dtypes."""
        random = np.random.default_rng(0)
        values = [random.normal(size=n).astype(d) for n in (1, 70_000, 3) for d in ("f4", "f8")]
        path = write(tmp_path, lambda: {"m": Node(v=[ckpt.Variable(1), *values])})
        live = [ckpt.Variable(np.zeros_like(value)) for value in values]
        status = ckpt.Checkpoint(m=Node(v=[ckpt.Variable(0), *live])).restore(path)
        with ckpt.Session() as session:
            status.run_restore_ops()
            found = session.run(live)
        assert [value.tobytes() for value in values] == [value.tobytes() for value in found]


class TestSessions:
    def test_a_restore_is_run_in_any_session_and_again(self, tmp_path, graph):
        """Each session receives the values; running again gives them again."""
        path = write(tmp_path, lambda: {"w": variable(1)})
        live = ckpt.Checkpoint(w=variable(0))
        status = live.restore(path)
        one, two = ckpt.Session(), ckpt.Session()
        status.run_restore_ops(one)
        one.run(live.w.assign([5]))
        status.run_restore_ops(two)
        assert ([5], [1]) == (one.run(live.w).tolist(), two.run(live.w).tolist())
        status.run_restore_ops(session=one)
        assert [1] == one.run(live.w).tolist()

    def test_each_status_runs_its_own_restore(self, tmp_path, graph):
        """Two restores of one object from two checkpoints, each run where it is wanted."""
        first, second = (
            write(tmp_path, "a", lambda: {"w": variable(1)}),
            write(tmp_path, "b", lambda: {"w": variable(2)}),
        )
        live = ckpt.Checkpoint(w=variable(0))
        older, newer = live.restore(first), live.restore(second)
        with ckpt.Session() as session:
            newer.run_restore_ops()
            assert [2] == session.run(live.w).tolist()
            older.run_restore_ops()
            assert [1] == session.run(live.w).tolist()

    def test_a_late_variable_is_recorded_by_the_latest_restore(self, tmp_path, graph):
        """An older restore counts it as matched, and leaves it to the newer one (R-11)."""
        first = write(tmp_path, "a", lambda: {"m": Node(w=variable(1))})
        second = write(tmp_path, "b", lambda: {"m": Node(w=variable(2))})
        live = ckpt.Checkpoint(m=Node())
        older, newer = live.restore(first), live.restore(second)
        live.m.w = variable(0)
        with ckpt.Session() as session:
            for status in (older, newer, older):
                status.assert_consumed().run_restore_ops()
            assert [2] == session.run(live.m.w).tolist()

    def test_without_a_session_the_error_says_what_to_create(self, tmp_path, graph):
        """Running restores, initializing and saving all need one."""
        path = write(tmp_path, lambda: {"w": variable(1)})
        live = ckpt.Checkpoint(w=variable(0))
        status = live.restore(path)
        for use in (
            status.run_restore_ops,
            status.initialize_or_restore,
            live.restore(None).initialize_or_restore,
            lambda: live.save(tmp_path / "new"),
            lambda: live.write(tmp_path / "new"),
        ):
            with pytest.raises(RuntimeError, match=r"with Session\(\) as session"):
                use()
        assert not [name for name in os.listdir(tmp_path) if name.startswith("new")]

    def test_a_session_of_another_graph_is_refused(self, tmp_path, graph):
        """Nothing is read then."""
        path = write(tmp_path, lambda: {"w": variable(1)})
        live = ckpt.Checkpoint(w=variable(0))
        status = live.restore(path)
        for use in (status.run_restore_ops, status.initialize_or_restore):
            with pytest.raises(ValueError, match="belongs to another graph"):
                use(ckpt.Session(ckpt.Graph()))
        with pytest.raises(TypeError, match="session is a str"):
            status.run_restore_ops("session")

    def test_the_restore_operation_may_be_run_by_the_session(self, tmp_path, graph):
        """It gives one variable what the latest restore recorded, while its status lives."""
        path = write(tmp_path, lambda: {"a": variable(1), "b": variable(2)})
        live = ckpt.Checkpoint(a=ckpt.Variable([0.0], name="a"), b=variable(0))
        restore = next(o for o in graph.get_operations() if o.name == "a/restore")
        status = live.restore(path)
        with ckpt.Session() as session:
            session.run(restore)
            assert [1] == session.run(live.a).tolist()
            assert not live.b.initialized
            del status
            with pytest.raises(RuntimeError, match="keep the status"):
                session.run(restore)


class TestDeferral:
    def test_the_list_of_restores_grows_as_objects_appear(self, tmp_path, graph):
        """Each run gives all that has come by then."""
        path = write(tmp_path, lambda: {"m": Node(a=variable(1), b=variable(2))})
        live = Node(a=variable(0))
        status = ckpt.Checkpoint(m=live).restore(path)
        with ckpt.Session() as session:
            status.run_restore_ops()
            with pytest.raises(ckpt.UnmatchedError):
                status.assert_consumed()
            live.b = variable(0)
            assert not live.b.initialized
            status.assert_consumed().run_restore_ops()
            assert [[1], [2]] == [v.tolist() for v in session.run([live.a, live.b])]

    def test_add_variable_records_initializer_and_restore(self, tmp_path, graph):
        """The stored value takes the place of the initializer's, which stays to be run by hand."""
        path = write(tmp_path, lambda: {"m": Node(w=ckpt.Variable(np.float32([1, 2])))})
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        asked = []

        def initializer(shape, dtype):
            asked.append(shape)
            return np.full(shape, 7, dtype)

        w = live.add_variable("w", (2,), initializer=initializer)
        with ckpt.Session() as session:
            status.initialize_or_restore()
            assert ([1, 2], []) == (session.run(w).tolist(), asked)
            session.run(w.initializer)
            assert [7, 7] == session.run(w).tolist()

    def test_items_of_plain_lists_are_noticed(self, tmp_path, graph):
        """`run_restore_ops` looks for them first."""
        path = write(tmp_path, lambda: {"m": Node(layers=[Node(w=variable(i)) for i in range(3)])})
        live = Node(layers=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers.extend(Node(w=variable(9)) for _ in range(3))
        with ckpt.Session() as session:
            status.run_restore_ops()
            assert [0, 1, 2] == [session.run(layer.w).item() for layer in live.layers]

    def test_a_late_value_that_does_not_fit_is_an_error_there(self, tmp_path, graph):
        """The attribute is set, no restore is recorded, and the report keeps it."""
        path = write(tmp_path, lambda: {"m": Node(w=variable(1))})
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/w"):
            live.w = variable(0, 0)
        assert ["m/w"] == paths(status.report().mismatched)
        with ckpt.Session():
            status.run_restore_ops()
            assert not live.w.initialized

    def test_what_comes_after_the_status_is_gone_draws_a_warning(self, tmp_path, graph):
        """Nobody can run its restore any more."""
        path = write(tmp_path, lambda: {"m": Node(w=variable(1))})
        live = Node()
        before = descriptors()
        ckpt.Checkpoint(m=live).restore(path)
        with pytest.warns(
            ckpt.CheckpointWarning, match="m/w belongs to a graph and has come after"
        ):
            live.w = variable(0)
        assert before == descriptors()

    def test_objects_may_come_in_any_thread(self, tmp_path):
        """A thread that builds the graph records into the restore of another."""
        graph = ckpt.Graph()
        path = write(tmp_path, lambda: {"m": Node(w=variable(1))})
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)

        def build():
            with graph.as_default():
                live.w = variable(0)

        thread = threading.Thread(target=build)
        thread.start()
        thread.join()
        with ckpt.Session(graph) as session:
            status.assert_consumed().run_restore_ops()
            assert [1] == session.run(live.w).tolist()


class TestNothingGrows:
    def test_repeated_saves_and_restores_add_nothing(self, tmp_path, graph):
        """No operation, no open file, no waiting value more after 20 times; finalized too."""
        live = Node(a=variable(1), b=Node(c=variable(2)))
        checkpoint = ckpt.Checkpoint(m=live)
        graph.finalize()
        with ckpt.Session() as session:
            session.run([live.a.initializer, live.b.c.initializer])
            before = descriptors()
            for _ in range(20):
                path = checkpoint.write(tmp_path / "m")
                checkpoint.restore(path).assert_consumed().run_restore_ops()
                kept = checkpoint.restore(path)
                kept.initialize_or_restore()
            assert 4 == len(graph.get_operations())
            assert 2 == len(graph.get_collection("variables"))
            del kept
        assert before == descriptors()

    def test_restores_that_wait_keep_nothing_either(self, tmp_path, graph):
        """Restoring again and again while one value waits keeps as many files open as once."""
        path = write(tmp_path, lambda: {"m": Node(a=variable(1), b=variable(2))})
        checkpoint = ckpt.Checkpoint(m=Node(a=variable(0)))
        status = checkpoint.restore(path)
        before = descriptors()
        for _ in range(20):
            status = checkpoint.restore(path)
        assert before == descriptors()
        with ckpt.Session() as session:
            status.run_restore_ops()
            assert [1] == session.run(checkpoint.m.a).tolist()
        del checkpoint, status

    def test_a_finalized_graph_saves_and_restores(self, tmp_path, graph):
        """For the first time too: nothing is added for it."""
        live = ckpt.Checkpoint(w=variable(3))
        graph.finalize()
        with ckpt.Session() as session:
            live.restore(None).initialize_or_restore()
            saved = live.save(tmp_path / "ckpt")
            assert [3] == ckpt.load(saved)["w"].tolist()
            live.restore(saved).run_restore_ops()
            assert [3] == session.run(live.w).tolist()

    def test_dropping_the_graph_frees_everything(self, tmp_path):
        """Graph and variables refer to each other; nothing else keeps them."""
        path = write(tmp_path, lambda: {"m": Node(w=variable(1), late=variable(2))})
        before = descriptors()
        with ckpt.Session(ckpt.Graph()) as session:
            live = Node(w=variable(0))
            ckpt.Checkpoint(m=live).restore(path).run_restore_ops()
            dead = [weakref.ref(live), weakref.ref(session.graph), weakref.ref(live.w)]
        del live, session
        gc.collect()
        assert [None] * 3 == [reference() for reference in dead]
        assert before == descriptors()


class TestFiles:
    def test_they_stay_open_while_the_status_lives(self, tmp_path, graph):
        """Deleting the checkpoint loses nothing; dropping the status closes it."""
        path = write(tmp_path, lambda: {"w": variable(1)})
        live = ckpt.Checkpoint(w=variable(0))
        before = descriptors()
        status = live.restore(path)
        for name in os.listdir(tmp_path):
            os.remove(tmp_path / name)
        with ckpt.Session() as session:
            for _ in range(2):
                status.run_restore_ops()
                assert [1] == session.run(live.w).tolist()
        assert before < descriptors()
        del status
        assert before == descriptors()

    def test_an_alias_that_may_come_keeps_nothing_open(self, tmp_path, graph):
        """Once the status is gone, a further edge to what is matched holds no file (R-12)."""
        w = variable(1)
        with ckpt.Session() as session:
            session.run(w.initializer)
            path = write(tmp_path, m=Node(a=w, b=w))
        live = Node(a=variable(0))
        before = descriptors()
        status = ckpt.Checkpoint(m=live).restore(path)
        assert before < descriptors()
        del status
        assert before == descriptors()

    def test_a_value_that_waits_keeps_them_open(self, tmp_path, graph):
        """After the status is gone too, as in eager execution."""
        path = write(tmp_path, lambda: {"m": Declared(w=variable(1), x=np.array([2]))})
        live = Declared(w=variable(0))
        ckpt.Checkpoint(m=live).restore(path)
        for name in os.listdir(tmp_path):
            os.remove(tmp_path / name)
        live.x = np.array([0])
        assert [2] == live.x.tolist()

    def test_a_status_that_is_dropped_meanwhile_lets_the_reads_end(self, tmp_path, graph):
        """User code that drops the status while values come in does not close the files early."""
        kept = {}

        class Dropping(Settings):
            def deserialize(self, data):
                kept.clear()
                super().deserialize(data)

        path = write(tmp_path, lambda: {"w": variable(1), "m": Node(a=Settings(2), b=Settings(3))})
        live = ckpt.Checkpoint(w=variable(0))
        before = descriptors()
        kept["status"] = live.restore(path)
        live.m = Node(a=Dropping(0), b=Settings(0))
        assert (2, 3, {}) == (live.m.a.values, live.m.b.values, kept)
        assert before == descriptors()

    def test_restores_may_be_run_while_values_come_in(self, tmp_path, graph):
        """User code that runs what is recorded, and drops the status, closes no file early."""
        kept = {}

        class Running(Settings):
            def deserialize(self, data):
                kept.pop("status").run_restore_ops(session)
                super().deserialize(data)

        path = write(tmp_path, lambda: {"w": variable(1), "m": Node(a=Settings(2), b=Settings(3))})
        live = ckpt.Checkpoint(w=variable(0))
        before = descriptors()
        kept["status"] = live.restore(path)
        with ckpt.Session() as session:
            live.m = Node(a=Running(0), b=Settings(0))
            assert (2, 3, [1]) == (live.m.a.values, live.m.b.values, session.run(live.w).tolist())
        assert before == descriptors()

    def test_eager_restores_keep_none_open(self, tmp_path):
        """Where nothing is recorded, the files are closed at once although the status lives."""
        path = write(tmp_path, lambda: {"w": variable(1)})
        before = descriptors()
        status = ckpt.Checkpoint(w=variable(0)).restore(path)
        assert before == descriptors()
        status.run_restore_ops()

    def test_damage_is_found_when_the_reads_are_run(self, tmp_path, graph):
        """It raises, the report lists what was assigned, and the variables stay without a value."""
        path = write(tmp_path, lambda: {"w": ckpt.Variable(np.arange(1000.0))})
        live = ckpt.Checkpoint(w=ckpt.Variable(np.zeros(1000)))
        status = live.restore(path)
        damage(path)
        with ckpt.Session():
            with pytest.raises(ckpt.CorruptCheckpointError) as error:
                status.run_restore_ops()
            assert not live.w.initialized
        assert paths(error.value.report.restored) in ([], ["w"])

    def test_verify_first_finds_damage_at_once(self, tmp_path, graph):
        """With that option the restore itself raises."""
        path = write(tmp_path, lambda: {"w": ckpt.Variable(np.arange(1000.0))})
        damage(path)
        with pytest.raises(ckpt.CorruptCheckpointError):
            ckpt.Checkpoint(w=ckpt.Variable(np.zeros(1000))).restore(path, verify="first")


class TestSaving:
    def test_values_are_those_of_the_default_session(self, tmp_path, graph):
        """Each session is saved with its own values."""
        live = ckpt.Checkpoint(w=variable(1))
        saved = []
        for add in (1.0, 2.0):
            with ckpt.Session() as session:
                session.run([live.w.initializer, live.w.assign_add(add)])
                saved.append(ckpt.load(live.save(tmp_path / "ckpt"))["w"].tolist())
        assert [[2], [3]] == saved

    def test_graph_variables_reached_from_outside_need_a_session(self, tmp_path):
        """No graph need be the default: a session is asked for where one of them is met."""
        graph = ckpt.Graph()
        with graph.as_default():
            live = ckpt.Checkpoint(w=variable(1))
        with pytest.raises(RuntimeError, match=r"with Session\(\) as session"):
            live.write(tmp_path / "m")
        assert [] == os.listdir(tmp_path)
        session = ckpt.Session(graph)
        session.run(live.w.initializer)
        with session.as_default():
            assert [1] == ckpt.load(live.write(tmp_path / "m"))["w"].tolist()

    def test_an_uninitialised_variable_is_named(self, tmp_path, graph):
        """The error has its path; no number is used and nothing is written."""
        live = ckpt.Checkpoint(m=Node(w=variable(1)))
        expected = pytest.raises(ckpt.NotCheckpointableError, match="m/w is a Variable without a")
        with ckpt.Session(), expected:
            live.save(tmp_path / "ckpt")
        assert [] == os.listdir(tmp_path)

    def test_the_counter_is_eager(self, tmp_path, graph):
        """Saves count, and a restore sets the counter, with nothing in the graph for it."""
        live = ckpt.Checkpoint(w=variable(1))
        with ckpt.Session() as session:
            session.run(live.w.initializer)
            paths = [live.save(tmp_path / "ckpt") for _ in range(2)]
            assert [str(tmp_path / "ckpt-1"), str(tmp_path / "ckpt-2")] == paths
            again = ckpt.Checkpoint(w=live.w)
            again.restore(paths[1])
            assert (2, 2) == (live.save_counter.value, again.save_counter.value)
        assert 1 == len(graph.get_collection("variables"))

    def test_a_checkpoint_crosses_over(self, tmp_path):
        """What a graph saved restores eagerly, and the reverse."""
        with ckpt.Session(ckpt.Graph()) as session:
            live = Node(w=variable(1, 2))
            session.run(live.w.initializer)
            path = ckpt.Checkpoint(m=live, step=3).save(tmp_path / "graph")
        eager = ckpt.Checkpoint(m=Node(w=variable(0, 0)), step=0)
        eager.restore(path).assert_consumed()
        assert ([1, 2], 3) == (eager.m.w.value.tolist(), eager.step)
        eager.m.w.assign([5, 6])
        path = eager.save(tmp_path / "eager")
        with ckpt.Session(ckpt.Graph()) as session:
            live = ckpt.Checkpoint(m=Node(w=variable(0, 0)), step=0)
            live.restore(path).assert_consumed().run_restore_ops()
            assert [5, 6] == session.run(live.m.w).tolist()

    def test_the_file_is_the_same_in_both_modes(self, tmp_path):
        """Equal values give equal bytes."""

        def model():
            return Node(w=ckpt.Variable([1.0, 2.0], name="w"), v=ckpt.Variable(3, name="v"))

        write(tmp_path, "e", m=model())
        with ckpt.Session(ckpt.Graph()) as session:
            live = model()
            session.run([live.w.initializer, live.v.initializer])
            write(tmp_path, "g", m=live)
        assert (tmp_path / "e.index").read_bytes() == (tmp_path / "g.index").read_bytes()


class TestInitializeOrRestore:
    def test_what_is_not_restored_is_initialized(self, tmp_path, graph):
        """Restored values are those of the file, others those of the initializers."""
        path = write(tmp_path, lambda: {"m": Node(a=variable(1))})
        live = Node(a=variable(5), b=variable(6), c=Node(d=ckpt.Variable(shape=2)))
        status = ckpt.Checkpoint(m=live).restore(path)
        with ckpt.Session() as session:
            assert status is status.initialize_or_restore()
            found = session.run([live.a, live.b, live.c.d])
        assert [[1], [6], [0, 0]] == [value.tolist() for value in found]

    def test_what_has_a_value_keeps_it(self, tmp_path, graph):
        """Only variables without a value in that session are initialized."""
        path = write(tmp_path, lambda: {"m": Node(a=variable(1))})
        live = Node(a=variable(5), b=variable(6))
        status = ckpt.Checkpoint(m=live).restore(path)
        one, two = ckpt.Session(), ckpt.Session()
        one.run(live.b.assign([7]))
        for session in (one, two):
            status.initialize_or_restore(session)
        assert ([7], [6]) == (one.run(live.b).tolist(), two.run(live.b).tolist())

    def test_restore_none_initializes_everything(self, tmp_path, graph):
        """The usual beginning: restore the newest checkpoint, if there is one."""
        live = ckpt.Checkpoint(m=Node(a=variable(5)), n=variable(6))
        status = live.restore(ckpt.latest_checkpoint(tmp_path))
        with ckpt.Session() as session:
            status.initialize_or_restore()
            assert [[5], [6]] == [v.tolist() for v in session.run([live.m.a, live.n])]

    def test_other_variables_of_the_graph_are_left_alone(self, tmp_path, graph):
        """Only what the root leads to is initialized."""
        other = variable(1)
        status = ckpt.Checkpoint(m=Node(a=variable(5))).restore(None)
        with ckpt.Session():
            status.initialize_or_restore()
            assert not other.initialized
