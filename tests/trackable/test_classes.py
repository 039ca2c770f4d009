"""attrs classes, dataclasses and copies of all kinds of objects are tracked as ordinary ones."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

from checkpointable.trackable import waiting
from checkpointable.trackable.base import (
    NoDependency,
    Trackable,
    Variable,
    peek_tracking,
    tracking_of,
)
from checkpointable.trackable.fields import tracked


class Plain(Trackable):
    def __init__(self, x: Any = None, y: Any = None) -> None:
        self.x, self.y = x, y


@attrs.define
class Slots(Trackable):
    x: Any = None
    y: Any = None


@attrs.define(slots=False)
class Dict(Trackable):
    x: Any = None
    y: Any = None


@attrs.define
class Checked(Trackable):
    x: Any = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.instance_of((Variable, int))),
    )
    y: Any = attrs.field(default=None, converter=lambda y: y)


@attrs.define(slots=False)
class CheckedDict(Trackable):
    x: Any = attrs.field(default=None, converter=lambda x: x)
    y: Any = None


@attrs.frozen
class Frozen(Trackable):
    x: Any = None
    y: Any = None


@attrs.frozen(slots=False)
class FrozenDict(Trackable):
    x: Any = None
    y: Any = None


@attrs.define
class Reset(Checked):
    """attrs resets the `__setattr__` that its base had."""

    x: Any = attrs.field(default=None, on_setattr=attrs.setters.NO_OP)
    y: Any = attrs.field(default=None, on_setattr=attrs.setters.NO_OP)


class Undecorated(Checked):
    pass


@attrs.define(init=False)
class OwnInit(Trackable):
    x: Any = attrs.field(converter=lambda x: x)
    y: Any = None

    def __init__(self, x: Any = None, y: Any = None) -> None:
        self.__attrs_init__(x, y)


@dataclasses.dataclass
class Data(Trackable):
    x: Any = None
    y: Any = None


@dataclasses.dataclass(slots=True)
class DataSlots(Trackable):
    x: Any = None
    y: Any = None


@dataclasses.dataclass(frozen=True)
class DataFrozen(Trackable):
    x: Any = None
    y: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class DataPostInit(Trackable):
    x: Any = None
    y: Any = None

    def __post_init__(self) -> None:
        assert not isinstance(self.x, NoDependency)


MUTABLE = [Plain, Slots, Dict, Checked, CheckedDict, Reset, Undecorated, OwnInit, Data, DataSlots]
FROZEN = [Frozen, FrozenDict, DataFrozen, DataPostInit]


@pytest.mark.parametrize("cls", MUTABLE + FROZEN)
def test_constructor(cls: Any) -> None:
    """Arguments are tracked; a NoDependency among them is unwrapped and its name never tracked."""
    one, two = Variable(1), Variable(2)
    for obj in (cls(one, NoDependency(two)), cls(x=one, y=NoDependency(two))):
        assert two is obj.y
        assert {"x": one} == dict(obj.trackable_children())
        assert {"y"} == tracking_of(obj).untracked


@pytest.mark.parametrize("cls", MUTABLE)
def test_assignment(cls: Any) -> None:
    """Assignments are tracked, and told to what waits."""
    calls: list[str] = []

    class Recorder:
        def assigned(self, owner: Any, name: str) -> None:
            calls.append(name)

        def settle(self, owner: Any) -> None:
            pass

    obj, one = cls(), Variable(1)
    waiting.put(obj, Recorder(), polled=True)
    obj.x = NoDependency(2)
    assert 2 == obj.x
    assert [] == calls
    obj.y = one
    waiting.drop(obj)

    assert ["y"] == calls
    assert {"y": one} == dict(obj.trackable_children())


@pytest.mark.parametrize("cls", FROZEN)
def test_frozen_classes_stay_frozen(cls: Any) -> None:
    """A frozen class refuses assignments and deletions, and can declare more with `track`."""
    obj = cls()
    with pytest.raises(AttributeError):
        obj.x = 1
    with pytest.raises(AttributeError):
        del obj.x
    obj.track("more", [1])

    assert {"more": [1]} == dict(obj.trackable_children())


@pytest.mark.parametrize("cls", [Checked, Undecorated])
def test_validators_and_converters_run(cls: Any) -> None:
    """What attrs does when an attribute is set, it still does."""
    obj = cls()
    with pytest.raises(TypeError):
        obj.x = "text"
    with pytest.raises(TypeError):
        obj.x = NoDependency("text")

    assert obj.x is None


def test_no_dependency_reaches_converters_unwrapped() -> None:
    """Converters and validators see the value, in the constructor and in assignments."""

    @attrs.define
    class Converting(Trackable):
        x: int = attrs.field(converter=int)
        _hidden: int = attrs.field(default=0, converter=int, alias="other")
        made: Any = attrs.field(factory=lambda: NoDependency([Variable(1)]))

    obj = Converting(NoDependency("3"), other=NoDependency("4"))

    assert (3, 4) == (obj.x, obj._hidden)
    assert [1] == [int(v) for v in obj.made]
    assert {"x", "_hidden", "made"} == tracking_of(obj).untracked
    assert {} == dict(obj.trackable_children())


def test_tracked_fields() -> None:
    """A `tracked` field is state whatever it holds; other options of attrs work with it."""

    @attrs.define
    class Base(Trackable):
        rate: float = tracked(default=0.5, metadata={"unit": "1/s"})
        note: str = "x"

    @attrs.define
    class Derived(Base):
        more: list[int] = tracked(factory=list, kw_only=True)  # noqa: RUF009

    assert {"rate": 0.5, "more": [7]} == dict(Derived(more=[7]).trackable_children())
    assert "1/s" == attrs.fields(Base).rate.metadata["unit"]


def test_the_order_of_fields() -> None:
    """Children of a class with slots come in the order of its fields, bases first."""

    @attrs.define
    class Base(Trackable):
        z: Any = attrs.field(factory=lambda: Variable(0))
        a: Any = attrs.field(factory=lambda: Variable(0))

    @attrs.define
    class Derived(Base):
        c: Any = attrs.field(factory=lambda: Variable(0))
        b: Any = attrs.field(factory=lambda: Variable(0))

    assert ["z", "a", "c", "b"] == list(Derived().trackable_children())


def test_a_base_that_would_bypass_tracking_is_refused() -> None:
    """An attrs class with hooks must not stand before Trackable; after it, it works."""

    @attrs.define(slots=False)
    class Hooked:
        x: int = attrs.field(default=0, converter=int)

    with pytest.raises(TypeError, match="Name Trackable before it"):

        class Wrong(Hooked, Trackable):
            pass

    class Right(Trackable, Hooked):
        pass

    obj = Right()
    obj.x = NoDependency("3")
    assert 3 == obj.x


def test_unhashable_objects_are_told_apart_by_identity() -> None:
    """Objects that compare equal and cannot be hashed are different children."""
    obj = Plain([Slots(), Slots(), Data(), Data()])

    assert ["x"] == list(obj.trackable_children())
    with pytest.raises(TypeError):
        hash(obj.x[0])


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
@pytest.mark.parametrize("cls", MUTABLE + FROZEN)
def test_copies(cls: Any, duplicate: Callable[[Any], Any]) -> None:
    """A copy declares what its original does, on a page of its own, and was never restored."""
    obj = cls(1, NoDependency(2))
    obj.track("me", obj)
    tracking_of(obj).restored = 7
    tracking_of(obj).edges["x",] = 7
    twin = duplicate(obj)

    assert (1, 2) == (twin.x, twin.y)
    notes = peek_tracking(twin)
    assert notes is not None
    assert ({"y"}, 0, {}) == (notes.untracked, notes.restored, notes.edges)
    assert notes.declared["me"] is (obj if duplicate is copy.copy else twin)
    twin.track("more", 1)
    notes.untracked.add("z")
    assert ["me"] == list(tracking_of(obj).declared)
    assert {"y"} == tracking_of(obj).untracked


@pytest.mark.parametrize("cls", MUTABLE + FROZEN)
def test_copies_without_marks_have_no_page(cls: Any) -> None:
    """A copy of an object at which only restores were noted has no notes."""
    obj = cls(1)
    tracking_of(obj).restored = 7

    assert peek_tracking(copy.copy(obj)) is None
    assert peek_tracking(pickle.loads(pickle.dumps(obj))) is None


def test_own_setstate_of_another_base() -> None:
    """Another base's `__setstate__` gets its state without the library's notes."""

    class Stateful:
        def __setstate__(self, state: dict[str, Any]) -> None:
            self.__dict__.update(state, loaded=True)

    class Both(Trackable, Stateful):
        pass

    obj = Both()
    obj.a = NoDependency(np.int64(1))
    twin = copy.copy(obj)

    assert {"a": 1, "loaded": True} == vars(twin)
    assert {"a"} == tracking_of(twin).untracked
