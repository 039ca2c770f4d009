"""`TrackableView`, and the warning about undeclared state."""

import dataclasses
import types
import warnings
from typing import Any

import numpy as np
import pytest

from checkpointable.errors import UndeclaredStateWarning
from checkpointable.graph.view import TrackableView, warn_undeclared
from checkpointable.graph.walk import walk
from checkpointable.trackable.base import NoDependency, Trackable, Variable
from checkpointable.trackable.state import PythonState

TORCH_TENSOR = types.new_class("Tensor", (), {}, lambda ns: ns.update(__module__="torch"))
TORCH_MODULE = types.new_class(
    "Module", (), {}, lambda ns: ns.update(__module__="torch.nn.modules.module")
)


@dataclasses.dataclass
class Settings:
    rate: Any


class Layer(TORCH_MODULE):  # type: ignore[misc, valid-type]
    pass


def fresh(**attributes: Any) -> Trackable:
    """Return an object of a class of its own."""
    obj = type("Fresh", (Trackable,), {})()
    vars(obj).update(attributes)
    return obj


def warnings_of(root: Any) -> list[str]:
    """Return the warnings that a save of a root gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_undeclared(walk(root))
    assert {UndeclaredStateWarning} >= {w.category for w in caught}
    return [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(1), np.ma.masked_array([1]), [[np.zeros(1)]], {"a": (np.zeros(1), print)},
        Settings(np.zeros(1)), Settings(Variable(1)), {Variable(1)}, np.random.PCG64(1),
        TORCH_TENSOR(), [TORCH_TENSOR()], Layer(), {"a": Layer()},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_looks_like_state(value: Any) -> None:
    """An undeclared attribute that looks like state is named, with the remedies."""
    (message,) = warnings_of(fresh(weights=value))

    assert "weights (" in message
    for remedy in ("state_attributes", "tracked()", "Variables", "NoDependency"):
        assert remedy in message


@pytest.mark.parametrize(
    "value", [1, 0.5, "x", None, [1, 2], {"a": 1}, print, np.float32(1), object(), np, (), len]
)
def test_what_does_not(value: Any) -> None:
    """Plain values, functions and other objects draw no warning."""
    assert [] == warnings_of(fresh(x=value))


def test_who_is_never_asked() -> None:
    """Private names, NoDependency and classes that serialize themselves draw no warning."""

    class Own(Trackable):
        def serialize_to_tensors(self) -> dict[str, Any]:
            return {"x": self.x}

    class State(PythonState):
        def serialize(self) -> bytes:
            return b""

        def deserialize(self, data: bytes) -> None:
            pass

    root = fresh(_private=np.zeros(1), own=Own(), state=State())
    root.off = NoDependency(np.zeros(1))
    root.own.x = root.state.x = np.zeros(1)

    assert [] == warnings_of(root)


def test_once_for_each_class() -> None:
    """A class is warned about once, with the attributes of all its objects; another one again."""
    root = fresh(a=np.zeros(1))
    root.part = type(root)()
    root.part.b = np.zeros(1)
    (message,) = warnings_of(root)

    assert "a (numpy.ndarray), b (numpy.ndarray)" in message
    assert [] == warnings_of(root)
    assert 1 == len(warnings_of(fresh(a=np.zeros(1))))


def test_the_view() -> None:
    """The view shows children by name, descendants breadth-first, and what is passed over."""
    root = fresh(items=[Variable(1), 2], rate=0.5)
    view = TrackableView(root)

    assert root is view.root
    assert {"items": root.items} == view.children(root)
    assert {"0": root.items[0], "1": 2} == view.children(root.items)
    assert {} == view.children(5)
    assert [root, root.items, root.items[0], 2] == view.descendants()
    assert [("rate", "float")] == [(u.path, u.type) for u in view.untracked()]
    root.more = Variable(3)
    assert 5 == len(view.descendants())
