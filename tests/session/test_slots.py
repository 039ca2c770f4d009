"""Slot variables of variables of a graph live in that graph (docs/restore.md, R-25, R-27)."""

from __future__ import annotations

import numpy as np
import pytest

import checkpointable as ckpt


def program(value: float = 0.0, momentum: float | None = None) -> ckpt.Checkpoint:
    """A variable and an optimizer, with a slot if a value is given."""
    w, optimizer = ckpt.Variable([value, value], name="w"), ckpt.SlotTrackable()
    if momentum is not None:
        optimizer.add_slot(w, "m", np.full(2, momentum))
    return ckpt.Checkpoint(w=w, optimizer=optimizer)


@pytest.fixture
def path(tmp_path) -> str:
    """A checkpoint that was written eagerly, with a slot."""
    return program(1.0, 5.0).write(tmp_path / "eager")


def test_a_slot_is_recorded_in_the_graph_of_its_variable():
    """Under its name, whatever graph and name scope are the default when it is added."""
    with ckpt.Graph().as_default() as graph, graph.name_scope("layer"):
        w = ckpt.Variable([1.0, 2.0], name="w")
    optimizer = ckpt.SlotTrackable()
    with ckpt.Graph().as_default() as other, other.name_scope("elsewhere"):
        slot = optimizer.add_slot(w, "m", "ones")
    assert "layer/w/m" == slot.name
    assert [w, slot] == graph.get_collection("variables")
    assert [w] == graph.get_collection("trainable_variables")
    with ckpt.Session(graph) as session:
        session.run([w.initializer, slot.initializer])
        assert [1, 1] == session.run(slot).tolist()


def test_a_slot_of_an_eager_variable_is_eager_inside_a_graph():
    """It has its value at once."""
    w, optimizer = ckpt.Variable([1.0]), ckpt.SlotTrackable()
    with ckpt.Graph().as_default():
        slot = optimizer.add_slot(w, "m", "ones")
    assert [1] == slot.value.tolist()


@pytest.mark.parametrize("exists", [True, False], ids=["created before", "created on demand"])
def test_a_recorded_slot_is_restored_in_a_session(path, exists):
    """Its read is recorded with that of its variable, and run with it."""
    with ckpt.Graph().as_default(), ckpt.Session() as session:
        live = program(momentum=0.0 if exists else None)
        status = live.restore(path).assert_consumed()
        status.run_restore_ops()
        slot = live.optimizer.get_slot(live.w, "m")
        assert [[1, 1], [5, 5]] == [session.run(v).tolist() for v in (live.w, slot)]


def test_slots_are_initialized_where_nothing_is_restored():
    """initialize_or_restore() runs the initializers of slots too."""
    with ckpt.Graph().as_default(), ckpt.Session() as session:
        live = program(3.0, 4.0)
        live.restore(None).initialize_or_restore()
        assert [4, 4] == session.run(live.optimizer.get_slot(live.w, "m")).tolist()


def test_a_graph_that_is_saved_with_slots_loads_eagerly(tmp_path):
    """The values of the session are those of the checkpoint."""
    with ckpt.Graph().as_default(), ckpt.Session() as session:
        saved = program(1.0, 5.0)
        saved.restore(None).initialize_or_restore()
        slot = saved.optimizer.get_slot(saved.w, "m")
        session.run(slot.assign_add(np.ones(2)))
        path = saved.write(tmp_path / "graph")
    live = program()
    live.restore(path).assert_consumed()
    assert [6, 6] == live.optimizer.get_slot(live.w, "m").value.tolist()


def test_a_finalized_graph_gets_no_new_slots(path):
    """Nothing can be added to it: the stored slot is unused, the rest is restored."""
    with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
        live = program()
        graph.finalize()
        status = live.restore(path)
        status.run_restore_ops()
        assert [1, 1] == session.run(live.w).tolist()
        assert [] == live.optimizer.get_slot_names()
        assert ["w/.OPTIMIZER_SLOT/optimizer/m"] == [e.path for e in status.report().unused]


def test_repeated_restores_create_a_slot_once(path):
    """The graph does not grow."""
    with ckpt.Graph().as_default() as graph, ckpt.Session():
        live = program()
        live.restore(path).run_restore_ops()
        count = len(graph.get_operations())
        for _ in range(20):
            live.restore(path).run_restore_ops()
            live.write(path)
        assert count == len(graph.get_operations())
