"""What users of object-based checkpoints know, case by case: as they know it, or better.

Where an outcome differs from what TensorFlow does in the same case, the test says how.
"""

from __future__ import annotations

import os
import weakref

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Node, variable


def keys(path: str) -> list[str]:
    """The keys of a checkpoint, without the end that all have."""
    return [key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") for key, _ in ckpt.list_variables(path)]


def test_a_shared_object_has_one_key(tmp_path):
    """A list that holds one variable twice, and a cycle: each object is stored once."""
    v = variable(1)
    node = Node(l=[v, v])
    node.self = node
    path = ckpt.Checkpoint(node).write(tmp_path / "m")
    assert ["l/0"] == keys(path)
    late = variable(0)
    live = Node(l=[late, late])
    live.self = live
    ckpt.Checkpoint(live).restore(path).assert_consumed()
    assert 1 == late[0]


def test_two_restores_and_then_an_assignment_give_the_newer_value(tmp_path):
    """Both statuses are consumed."""
    paths = [ckpt.Checkpoint(m=Node(v=variable(n))).write(tmp_path / str(n)) for n in (1, 2)]
    live = Node()
    holder = ckpt.Checkpoint(m=live)
    statuses = [holder.restore(path) for path in paths]
    live.v = variable(0)
    assert 2 == live.v[0]
    for status in statuses:
        status.assert_consumed()


def test_a_second_variable_under_a_restored_name_keeps_its_value(tmp_path):
    """The value was given to the first; the second is missing, as both assertions say."""
    path = ckpt.Checkpoint(m=Node(v=variable(1))).write(tmp_path / "m")
    live = Node()
    status = ckpt.Checkpoint(m=live).restore(path)
    live.v = variable(0)
    live.v = variable(5)
    assert 5 == live.v[0]
    with pytest.raises(ckpt.UnmatchedError, match="m/v"):
        status.assert_existing_objects_matched()


def test_deleting_and_adding_again_restores_nothing_twice(tmp_path):
    """A value is given once."""
    path = ckpt.Checkpoint(m=Node(v=variable(1))).write(tmp_path / "m")
    live = Node()
    ckpt.Checkpoint(m=live).restore(path)
    live.v = variable(0)
    del live.v
    live.v = variable(5)
    assert 5 == live.v[0]


def test_a_plain_value_in_place_of_an_object_removes_it(tmp_path):
    """TensorFlow goes on saving what was replaced by a number or None."""
    node = Node(v=variable(1), w=variable(2))
    node.v = 5
    node.w = None
    assert [] == keys(ckpt.Checkpoint(m=node).write(tmp_path / "m"))


def test_a_pending_value_outlives_its_file(tmp_path):
    """TensorFlow opens the file again at the assignment, and fails there."""
    path = ckpt.Checkpoint(m=Node(v=variable(1))).write(tmp_path / "m")
    live = Node()
    ckpt.Checkpoint(m=live).restore(path)
    for file in os.listdir(tmp_path):
        os.remove(tmp_path / file)
    live.v = variable(0)
    assert 1 == live.v[0]


def test_a_save_says_which_pending_values_it_loses(tmp_path):
    """TensorFlow loses them in silence."""
    path = ckpt.Checkpoint(m=Node(v=variable(1))).write(tmp_path / "m")
    holder = ckpt.Checkpoint(m=Node())
    status = holder.restore(path)
    with pytest.warns(ckpt.CheckpointWarning, match="wait for their objects: m/v") as caught:
        holder.write(tmp_path / "next")
    assert 1 == len(caught)
    status.expect_partial()
    holder.write(tmp_path / "next")


def test_a_pending_value_of_another_shape_is_an_error_at_the_assignment(tmp_path):
    """The attribute is set, the value is not."""
    path = ckpt.Checkpoint(m=Node(v=variable(1, 2))).write(tmp_path / "m")
    live = Node()
    ckpt.Checkpoint(m=live).restore(path)
    late = variable(7)
    with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"\(2,\).*\(1,\)"):
        live.v = late
    assert live.v is late
    assert 7 == late[0]


def test_a_variable_may_be_the_root(tmp_path):
    """Its key begins with a slash, for the path of the root is empty."""
    path = ckpt.Checkpoint(variable(3)).write(tmp_path / "m")
    assert ["/.ATTRIBUTES/VARIABLE_VALUE"] == [key for key, _ in ckpt.list_variables(path)]
    live = variable(0)
    ckpt.Checkpoint(live).read(path).assert_consumed()
    assert 3 == live[0]


@pytest.mark.parametrize("save", ["save", "write"])
@pytest.mark.parametrize("restore", ["restore", "read"])
def test_the_counter_never_fails_an_assertion(tmp_path, save, restore):
    """In TensorFlow, write and restore, or save and read, fail on it."""
    path = getattr(ckpt.Checkpoint(v=variable(1)), save)(tmp_path / "m")
    live = ckpt.Checkpoint(v=variable(0))
    getattr(live, restore)(path).assert_consumed()
    assert 1 == live.v[0]


def test_another_object_at_an_alias_is_restored_too(tmp_path):
    """TensorFlow leaves it as it is, because the other name was matched before."""
    shared = variable(1)
    path = ckpt.Checkpoint(m=Node(a=shared, b=shared)).write(tmp_path / "m")
    live = Node(a=variable(0))
    status = ckpt.Checkpoint(m=live).restore(path).assert_consumed()
    live.b = variable(0)
    assert 1 == live.b[0]
    with pytest.raises(ckpt.UnmatchedError, match="more than one object"):
        status.assert_consumed()


def test_the_same_object_at_an_alias_has_nothing_left_to_get(tmp_path):
    """What the program did to it meanwhile stays."""
    shared = variable(1)
    path = ckpt.Checkpoint(m=Node(a=shared, b=shared)).write(tmp_path / "m")
    live = Node(a=variable(0))
    status = ckpt.Checkpoint(m=live).restore(path)
    live.a.assign([7])
    live.b = live.a
    assert 7 == live.b[0]
    status.assert_consumed()


def test_a_variable_at_a_stored_container_is_not_matched(tmp_path):
    """TensorFlow's assert_existing_objects_matched passes, though it received no value."""
    path = ckpt.Checkpoint(m=Node(v=[variable(1)])).write(tmp_path / "m")
    status = ckpt.Checkpoint(m=Node(v=variable(5))).restore(path)
    with pytest.raises(ckpt.UnmatchedError, match="m/v"):
        status.assert_existing_objects_matched()


def test_names_of_own_tensors_are_escaped_once(tmp_path):
    """TensorFlow escapes them twice when saving and once when restoring, and finds nothing."""

    class Table(ckpt.Trackable):
        def __init__(self, value):
            self.held = np.array(value)

        def serialize_to_tensors(self):
            return {"x.y/z": self.held}

        def restore_from_tensors(self, tensors):
            self.held = tensors["x.y/z"]

    path = ckpt.Checkpoint(t=Table(1)).write(tmp_path / "m")
    assert ["t/.ATTRIBUTES/x..y.Sz"] == [key for key, _ in ckpt.list_variables(path)]
    live = Table(0)
    ckpt.Checkpoint(t=live).restore(path).assert_consumed()
    assert 1 == live.held


def test_a_misfit_in_the_middle_changes_nothing(tmp_path):
    """TensorFlow has changed the variables before it by then."""
    path = ckpt.Checkpoint(a=variable(1), b=variable(1, 2), c=variable(3)).write(tmp_path / "m")
    live = ckpt.Checkpoint(a=variable(0), b=variable(0), c=variable(0))
    with pytest.raises(ckpt.IncompatibleCheckpointError, match="b: "):
        live.restore(path)
    assert [0, 0, 0] == [live.a[0], live.b[0], live.c[0]]


def test_the_order_of_restores_counts_not_that_of_assignments(tmp_path):
    """An object reachable from two checkpoints has the value of the later restore."""
    first = ckpt.Checkpoint(v=variable(1)).write(tmp_path / "1")
    second = ckpt.Checkpoint(v=variable(2)).write(tmp_path / "2")
    a, b = ckpt.Checkpoint(), ckpt.Checkpoint()
    a.read(first)
    b.read(second)
    shared = variable(0)
    b.v = shared
    a.v = shared
    assert 2 == shared[0]


def test_reading_twice_and_saving_takes_the_number_of_the_later_restore(tmp_path):
    """With and without a root; in TensorFlow the two differ."""
    for root in ([], [Node()]):
        directory = tmp_path / str(len(root))
        saved = ckpt.Checkpoint(*root, v=1)
        paths = [saved.save(directory / "ckpt") for _ in range(3)]
        live = ckpt.Checkpoint(*root, v=0)
        live.read(paths[2])
        live.restore(paths[0])
        assert 1 == live.save_counter.value


def test_a_weak_root_is_not_kept_alive(tmp_path):
    """It is rebuilt from at each save, and an error says when it is gone."""
    root = Node(v=variable(1))
    checkpoint = ckpt.Checkpoint(weakref.ref(root))
    path = checkpoint.write(tmp_path / "m")
    root.v = variable(2)
    checkpoint.write(path)
    assert 2 == ckpt.load(path)["v"][0]
    del root
    with pytest.raises(ckpt.CheckpointError, match="weak reference, and is gone"):
        checkpoint.write(path)


def test_integers_arrays_and_text_are_refused_by_nobody(tmp_path):
    """TensorFlow's Checkpoint takes trackable objects only."""
    values = {"i": 5, "f": 0.5, "s": "text", "n": None, "a": np.arange(3), "l": [1, [2, "x"]]}
    path = ckpt.Checkpoint(**values).write(tmp_path / "m")
    live = ckpt.Checkpoint(i=0, f=0.0, s="", n=None, a=np.zeros(3, int), l=[])
    live.restore(path).assert_consumed()
    assert (5, 0.5, "text", [1, [2, "x"]]) == (live.i, live.f, live.s, live.l)
    assert [0, 1, 2] == live.a.tolist()
