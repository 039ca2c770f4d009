"""`Session`: what it runs, whose values it holds, and when it ends."""

import gc
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

import checkpointable as ckpt


class Pair(NamedTuple):
    first: Any
    second: Any


@pytest.fixture
def graph():
    """A graph that is the default."""
    with ckpt.Graph().as_default() as graph:
        yield graph


class TestWhatItIs:
    def test_graphs_and_sessions_say_what_they_hold(self, graph):
        """How many operations and values, and whether they can still be used."""
        w = ckpt.Variable(1)
        session = ckpt.Session()
        assert "<Session of <Graph of 2 operations>: 0 values>" == repr(session)
        session.run(w.initializer)
        assert "<Session of <Graph of 2 operations>: 1 values>" == repr(session)
        graph.finalize()
        session.close()
        assert "<Session of <Graph of 2 operations, finalized>: closed>" == repr(session)


class TestRun:
    def test_nests_come_back_alike(self, graph):
        """Lists, tuples, namedtuples and dicts of variables and operations, at any depth."""
        a, b = ckpt.Variable(1), ckpt.Variable(2)
        with ckpt.Session() as session:
            assert [None, (None,)] == session.run([a.initializer, (b.initializer,)])
            found = session.run({"x": [a, (b,)], "y": Pair(a, {"z": b}), "none": []})
        assert {"x": [1, (2,)], "y": Pair(1, {"z": 2}), "none": []} == found
        assert Pair is type(found["y"])

    def test_a_value_is_a_copy(self, graph):
        """Changing what `run` returned does not change the session."""
        w = ckpt.Variable([1.0, 2.0])
        with ckpt.Session() as session:
            session.run(w.initializer)
            session.run(w)[0] = 9
            assert [1, 2] == session.run(w).tolist()

    def test_operations_run_in_their_order(self, graph):
        """Each is run where it stands, as often as it stands there."""
        calls = []
        one = graph.add_operation("one", lambda session: calls.append(1))
        two = graph.add_operation("two", lambda session: calls.append(2))
        with ckpt.Session() as session:
            session.run([two, one, (two, two)])
        assert [2, 1, 2, 2] == calls

    def test_an_operation_is_given_the_session(self, graph):
        """What it returns is the result of `run`."""
        w = ckpt.Variable([3.0, 4.0])
        norm = graph.add_operation("norm", lambda session: float(np.linalg.norm(session.run(w))))
        with ckpt.Session() as session:
            session.run(w.initializer)
            assert 5.0 == session.run(norm)

    @pytest.mark.parametrize("fetch", ["w", None, 1.0, [set()]])
    def test_other_fetches_are_refused(self, graph, fetch):
        """The error names the type and what is expected."""
        with ckpt.Session() as session, pytest.raises(TypeError, match="expected a Variable"):
            session.run(fetch)

    def test_another_graph_is_refused(self, graph):
        """Variables and operations run in sessions of their own graph only."""
        w = ckpt.Variable(1)
        with ckpt.Session(ckpt.Graph()) as session:
            for fetch in (w, w.initializer, w.assign(2)):
                with pytest.raises(ValueError, match="belongs to another graph"):
                    session.run(fetch)

    def test_a_variable_without_a_value_is_refused(self, graph):
        """The error names the variable and the three remedies; other sessions do not count."""
        w = ckpt.Variable(1, name="w")
        other = ckpt.Session()
        other.run(w.initializer)
        with ckpt.Session() as session:
            for fetch in (w, w.assign_add(1)):
                with pytest.raises(RuntimeError) as error:
                    session.run(fetch)
                for part in ("'w'", "initializer", "initialize_or_restore", "run_restore_ops"):
                    assert part in str(error.value)

    def test_an_eager_variable_is_read_too(self, graph):
        """Its value is the same in every session."""
        counter = ckpt.Checkpoint().save_counter
        with ckpt.Session() as session:
            assert 0 == session.run(counter)


class TestLife:
    def test_a_block_makes_graph_and_session_the_default_and_closes(self):
        """After it the session is closed, and the defaults are what they were."""
        graph = ckpt.Graph()
        with ckpt.Session(graph) as session:
            assert (graph, session) == (ckpt.get_default_graph(), ckpt.get_default_session())
        assert (None, None) == (ckpt.get_default_graph(), ckpt.get_default_session())
        with pytest.raises(RuntimeError, match="the session is closed"):
            session.run([])
        with pytest.raises(RuntimeError, match="the session is closed"), session:
            pass

    def test_as_default_does_neither(self):
        """It makes the session the default, not its graph, and does not close it."""
        session = ckpt.Session(ckpt.Graph())
        with session.as_default() as entered:
            assert (None, session) == (ckpt.get_default_graph(), ckpt.get_default_session())
        assert session is entered
        assert ckpt.get_default_session() is None
        assert [] == session.run([])

    def test_two_sessions_hold_different_values(self, graph):
        """Each has its own value for each variable."""
        w = ckpt.Variable(1)
        add = w.assign_add(1)
        with ckpt.Session() as one, ckpt.Session() as two:
            one.run([w.initializer, add])
            two.run([w.initializer, add, add])
            assert (2, 3) == (one.run(w), two.run(w))

    def test_closing_frees_the_values(self, graph):
        """Nothing else holds the arrays of a session; closing it twice is harmless."""
        w = ckpt.Variable(np.zeros(10))
        session = ckpt.Session()
        with session.as_default():
            array = weakref.ref(w.storage_array())
        assert array() is not None
        session.close()
        session.close()
        assert array() is None

    def test_dropping_a_session_frees_the_values(self, graph):
        """No reference cycle keeps them until the next garbage collection."""
        w = ckpt.Variable(np.zeros(10))
        gc.collect()
        gc.disable()
        try:
            session = ckpt.Session()
            with session.as_default():
                array = weakref.ref(w.storage_array())
            session.run(w.initializer)
            del session
            assert array() is None
        finally:
            gc.enable()

    def test_a_session_needs_a_graph(self):
        """Outside of any graph it must be given one."""
        with pytest.raises(RuntimeError, match=r"Session\(graph\)"):
            ckpt.Session()
        with pytest.raises(TypeError, match="graph is a int"):
            ckpt.Session(3)
