"""Assigning, deleting, `track`, `add_variable`, `NoDependency`, and what waits meanwhile."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from checkpointable.errors import NotCheckpointableError
from checkpointable.trackable import waiting
from checkpointable.trackable.base import (
    NoDependency,
    Trackable,
    Variable,
    peek_tracking,
    tracking_of,
)
from checkpointable.trackable.state import PythonState


class Node(Trackable):
    pass


class Declaring(Trackable):
    state_attributes = ("a",)


class Recorder:
    """What waits at one object: it notes when it is asked."""

    def __init__(self, gives: Any = None) -> None:
        self.calls: list[Any] = []
        self._gives = gives

    def assigned(self, owner: Any, name: str) -> None:
        self.calls.append(name)
        value = getattr(owner, name, None) or tracking_of(owner).declared.get(name)
        if self._gives is not None and isinstance(value, Variable):
            value.storage_array()[...] = self._gives
            value.mark_initialized()

    def settle(self, owner: Any) -> None:
        self.calls.append(...)


@pytest.fixture
def node() -> Iterator[Node]:
    """Give an object at which nothing waits in the end."""
    made = Node()
    yield made
    waiting.drop(made)


def children(obj: Trackable) -> dict[str, Any]:
    """Return the children of an object by name."""
    return dict(obj.trackable_children())


def test_no_dependency(node: Node) -> None:
    """A name that was assigned a NoDependency is not tracked until it is deleted."""
    first, second = Variable(1), Variable(2)
    node.a = NoDependency(first)
    assert first is node.a
    node.a = second
    assert {} == children(node)
    del node.a
    node.a = second
    assert {"a": second} == children(node)


def test_no_dependency_beats_a_declaration() -> None:
    """A declared name that was assigned a NoDependency is no child."""
    node = Declaring()
    node.a = NoDependency(3)

    assert 3 == node.a
    assert {} == children(node)


def test_a_failed_assignment_leaves_no_mark() -> None:
    """Where an attribute cannot be set, its name is not marked."""

    class Fixed(Trackable):
        @property
        def a(self) -> int:
            return 1

    node = Fixed()
    with pytest.raises(AttributeError):
        node.a = NoDependency(2)  # type: ignore[misc]
    assert peek_tracking(node) is None


def test_assignment_is_cooperative() -> None:
    """`__setattr__` of further bases is called."""

    class Noting:
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, ("noted", value))

    class Both(Trackable, Noting):
        pass

    node = Both()
    node.a = 1

    assert ("noted", 1) == node.a


def test_track(node: Node) -> None:
    """`track` declares a value under any name, and returns it."""
    array = np.zeros(2)

    assert array is node.track("a/b.c", array)
    assert {"a/b.c": array} == children(node)
    del node.__dict__
    assert {"a/b.c": array} == children(node)


def test_track_declares_an_attribute(node: Node) -> None:
    """An attribute of the same name is the same edge: declared, whatever is assigned later."""
    node.a = [1, 2]
    node.track("a", node.a)

    assert {"a": [1, 2]} == children(node)
    node.a = 3
    assert {"a": 3} == children(node)
    node.a = NoDependency(4)
    assert {} == children(node)


def test_track_fills_an_empty_attribute(node: Node) -> None:
    """An attribute that is None is an empty place: `track` sets it."""
    node.a = None
    variable = node.track("a", Variable(1))

    assert variable is node.a
    assert {"a": variable} == children(node)


def test_track_refuses_a_name_in_use(node: Node) -> None:
    """Another object under the name is refused, unless it may be replaced."""
    node.a, new = Variable(1), Variable(2)
    with pytest.raises(ValueError, match="stands under the name 'a' already"):
        node.track("a", new)
    node.track("a", new, overwrite=True)

    assert new is node.a
    node.track("b", 1)
    with pytest.raises(ValueError, match="stands under the name"):
        node.track("b", 2)
    assert 2 == node.track("b", 2, overwrite=True)
    assert {"a": new, "b": 2} == children(node)


def test_track_refuses_what_it_cannot_do(node: Node) -> None:
    """Wrong names, values that can never be saved and marked names are refused at once."""
    with pytest.raises(TypeError, match="expected a string"):
        node.track(1, 2)  # type: ignore[arg-type]
    with pytest.raises(NotCheckpointableError, match="4,097 bytes"):
        node.track("x" * 4097, 2)
    with pytest.raises(NotCheckpointableError, match="a/1 is a builtin_function"):
        node.track("a", [1, print])
    node.b = NoDependency(1)
    with pytest.raises(ValueError, match="Delete that attribute first"):
        node.track("b", 2)
    assert {} == children(node)


def test_deleting_a_tracked_name(node: Node) -> None:
    """`del` removes what was tracked, attribute or not; an unknown name is an AttributeError."""
    node.track("a", 1)
    node.b = node.track("b", Variable(1))
    delattr(node, "a")
    del node.b

    assert {} == children(node)
    assert not hasattr(node, "b")
    with pytest.raises(AttributeError):
        del node.a


def test_an_assignment_replaces_what_was_tracked(node: Node) -> None:
    """An attribute assigned under a tracked name takes the place of what `track` declared."""
    array = np.zeros(2)
    reference = weakref.ref(array)
    node.track("a", array)
    node.a = 5
    del array

    assert {"a": 5} == children(node)
    assert reference() is None


@pytest.mark.parametrize(
    ("initializer", "shape", "expected"),
    [
        (None, (2,), [0, 0]),
        ("zeros", 2, [0, 0]),
        ("ones", [2], [1, 1]),
        ([3, 4], None, [3, 4]),
        ([3, 4], (2,), [3, 4]),
        (7.0, None, 7),
        (None, None, 0),
        (lambda shape, dtype: np.full(shape, 9, dtype), (2,), [9, 9]),
        (Variable([5, 6]), None, [5, 6]),
    ],
)
def test_add_variable(node: Node, initializer: Any, shape: Any, expected: Any) -> None:
    """`add_variable` tracks a float32 Variable with the value that its initializer gives."""
    variable = node.add_variable("w", shape, initializer=initializer, trainable=False)

    assert {"w": variable} == children(node)
    assert expected == variable.numpy().tolist()
    assert (np.float32, "w", False) == (variable.dtype, variable.name, variable.trainable)


def test_add_variable_refuses(node: Node) -> None:
    """A used name, another shape, an unknown initializer: refused, and nothing is tracked."""
    with pytest.raises(ValueError, match=r"the initializer has the shape \(2,\)"):
        node.add_variable("w", (3,), initializer=[1, 2])
    with pytest.raises(ValueError, match="expected one of zeros, ones"):
        node.add_variable("w", (3,), initializer="twos")
    with pytest.raises(ValueError, match="at least 0"):
        node.add_variable("w", (-1,))
    with pytest.raises(TypeError, match="tuple of integers"):
        node.add_variable("w", "ab")
    node.a = 1
    with pytest.raises(ValueError, match="stands under the name"):
        node.add_variable("a")
    assert {} == children(node)


@pytest.mark.parametrize("is_attribute", [False, True])
def test_an_initializer_that_fails_leaves_nothing(node: Node, is_attribute: bool) -> None:
    """The name is free again, and the attribute is what it was."""
    if is_attribute:
        node.w = None
    for initializer in (lambda shape, dtype: 1 / 0, lambda shape, dtype: np.ones(3, dtype)):
        with pytest.raises((ZeroDivisionError, ValueError)):
            node.add_variable("w", (2,), initializer=initializer)
        assert {} == dict(node.trackable_children())
        assert ({"w": None} if is_attribute else {}) == vars(node)
    assert [0, 0] == node.add_variable("w", (2,)).value.tolist()


def test_an_attribute_may_hold_the_added_variable(node: Node) -> None:
    """`self.w = self.add_variable("w")` is one edge, also where `w` was None before."""
    node.w = None
    node.w = node.add_variable("w")

    assert {"w": node.w} == children(node)
    del node.w
    assert {} == children(node)


def test_a_waiting_value_comes_in_instead_of_the_initializer(node: Node) -> None:
    """Where a restored value waits for the name, the initializer is not called."""
    waiting.put(node, Recorder(gives=3), polled=True)

    def refuse(*_: Any) -> Any:
        raise AssertionError("called")

    assert 3 == node.add_variable("w", (), initializer=refuse).value


def test_a_failing_restore_leaves_an_initialized_variable(node: Node) -> None:
    """If what waits raises, the error is passed on and the Variable has its initial value."""

    class Failing(Recorder):
        def assigned(self, owner: Any, name: str) -> None:
            raise RuntimeError("does not fit")

    waiting.put(node, Failing(), polled=True)
    with pytest.raises(RuntimeError, match="does not fit"):
        node.add_variable("w", (), initializer="ones")

    assert 1 == children(node)["w"].value


def test_what_waits_is_told_of_assignments(node: Node) -> None:
    """An assignment is told to what waits at the owner; a Trackable settles what waits at all."""
    elsewhere = Node()
    here, there = Recorder(), Recorder()
    waiting.put(node, here, polled=True)
    waiting.put(elsewhere, there, polled=True)
    node.a = 1
    assert (["a"], []) == (here.calls, there.calls)
    node.b = Node()
    assert ["a", "b", ...] == here.calls
    assert [...] == there.calls
    node.track("c", 1)
    node.off = NoDependency(Node())
    node.off = Node()
    assert ["a", "b", ..., "c"] == here.calls
    waiting.drop(elsewhere)


def test_an_unrestored_variable_settles_when_it_is_used(node: Node) -> None:
    """Any access to a Variable that nothing has restored settles; to a restored one does not."""
    recorder = Recorder()
    waiting.put(node, recorder, polled=True)
    variable = Variable([1.0, 2.0])
    tracking_of(variable).restored = 0
    for use in (
        lambda: variable.value,
        variable.numpy,
        lambda: variable + 1,
        lambda: variable[0],
        lambda: np.asarray(variable),
        lambda: variable.assign([3, 4]),
        lambda: float(variable[0]),
        lambda: variable.initialized,
        lambda: repr(variable.value),
    ):
        recorder.calls.clear()
        use()
        assert recorder.calls, use
    tracking_of(variable).restored = 1
    recorder.calls.clear()
    variable += 1
    assert [] == recorder.calls


def test_a_waiting_value_does_not_undo_an_assignment(node: Node) -> None:
    """What waits for a Variable in a container comes in before an assignment, not after it."""
    node.items = [Variable(1)]

    class Giving(Recorder):
        def settle(self, owner: Any) -> None:
            waiting.drop(owner)
            owner.items[0].storage_array()[...] = 5

    waiting.put(node, Giving(), polled=True)
    node.items[0].assign(7)

    assert 7 == node.items[0].value


def test_objects_go_with_their_last_reference() -> None:
    """Nothing here keeps an object alive: reference counting frees it at once."""
    node = Node()
    node.track("a", Variable(1))
    node.b = NoDependency(1)
    reference = weakref.ref(node)
    del node

    assert reference() is None


def test_python_state_is_abstract() -> None:
    """A PythonState needs both of its methods."""
    with pytest.raises(TypeError, match="abstract"):
        PythonState()  # type: ignore[abstract]
