"""Deques are restored in place, like lists (docs/objects.md, O-34)."""

from __future__ import annotations

from collections import deque
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import checkpointable as ckpt


class Node(ckpt.Trackable):
    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


PLAIN = st.lists(st.one_of(st.integers(), st.text(max_size=3), st.none()), max_size=5)


@given(PLAIN, PLAIN)
@settings(max_examples=60, deadline=None)
def test_plain_items_are_replaced_as_a_whole(tmp_path_factory, stored, present):
    """Whatever was in it before, and however long it was; it stays the same deque."""
    path = tmp_path_factory.mktemp("deque") / "m"
    ckpt.Checkpoint(m=Node(items=deque(stored))).write(path, durable=False)
    items = deque(present)
    ckpt.Checkpoint(m=Node(items=items)).restore(path).assert_consumed()
    assert stored == list(items)


def test_an_empty_deque_is_filled_with_arrays(tmp_path):
    """A replay buffer comes back, tuples and all."""
    buffer = deque([(np.arange(3.0) + i, i, bool(i % 2)) for i in range(4)], maxlen=10)
    path = ckpt.Checkpoint(buffer=buffer).write(tmp_path / "m")
    live: deque[Any] = deque(maxlen=10)
    ckpt.Checkpoint(buffer=live).restore(path).assert_consumed()
    assert [(i, bool(i % 2)) for i in range(4)] == [item[1:] for item in live]
    assert [[0, 1, 2], [1, 2, 3]] == [item[0].tolist() for item in list(live)[:2]]
    assert 10 == live.maxlen


def test_arrays_are_overwritten_in_place(tmp_path):
    """The arrays in a deque stay the same arrays."""
    path = ckpt.Checkpoint(d=deque([np.ones(2), np.ones(2)])).write(tmp_path / "m")
    first = np.zeros(2)
    live = deque([first, np.zeros(2)])
    ckpt.Checkpoint(d=live).restore(path).assert_consumed()
    assert live[0] is first
    assert [1, 1] == first.tolist()


def test_objects_wait_until_they_are_appended(tmp_path):
    """An item that comes later is restored before it can be read."""
    path = ckpt.Checkpoint(m=Node(d=deque([ckpt.Variable(1.0), ckpt.Variable(2.0)]))).write(
        tmp_path / "m"
    )
    live: deque[Any] = deque([ckpt.Variable(0.0)])
    holder = ckpt.Checkpoint(m=Node(d=live))
    status = holder.restore(path)
    assert ["m/d/items/1"] == [entry.path for entry in status.report().pending]
    live.append(ckpt.Variable(0.0))
    assert [1, 2] == [variable.value for variable in live]
    status.assert_consumed()


def test_more_items_than_it_may_hold_are_refused(tmp_path):
    """Nothing is dropped in silence: the deque keeps what it has."""
    path = ckpt.Checkpoint(d=deque(range(5))).write(tmp_path / "m")
    live = deque([7], maxlen=3)
    with pytest.raises(
        ckpt.IncompatibleCheckpointError, match=r"5 items, more than .* maxlen of 3"
    ):
        ckpt.Checkpoint(d=live).restore(path)
    assert [7] == list(live)


def test_a_deque_within_others(tmp_path):
    """Within lists, dicts, tuples and deques."""
    path = ckpt.Checkpoint(x=[{"a": (deque([deque([1, 2])]), 3)}]).write(tmp_path / "m")
    inner: deque[Any] = deque()
    live = ckpt.Checkpoint(x=[{"a": (deque([inner]), 0)}])
    live.restore(path).assert_consumed()
    assert [1, 2] == list(inner)
    assert 3 == live.x[0]["a"][1]


def test_what_cannot_be_saved_in_it_is_named(tmp_path):
    """Declared, it is refused with its path; undeclared, it is listed as untracked."""
    with pytest.raises(ckpt.NotCheckpointableError, match="d/items/0 is a builtin_function"):
        ckpt.Checkpoint(d=deque([print])).write(tmp_path / "m")
    node = Node(d=deque([print, 1]))
    ckpt.Checkpoint(m=node).write(tmp_path / "m")
    assert ["d/items"] == [entry.path for entry in ckpt.TrackableView(node).untracked()]
