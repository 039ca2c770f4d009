"""What the library notes at each object that owns children, and how copies treat these notes."""

from __future__ import annotations

from typing import Any, Final

import attrs

from checkpointable.trackable import waiting
from checkpointable.trackable.slot_table import SlotTable


class NoDependency:
    """Keep one attribute out of every checkpoint.

    `obj.x = NoDependency(v)` stores `v` itself; from then on the name is never tracked, whatever
    is assigned to it, until it is deleted.

    Example:
        >>> from checkpointable.trackable.base import Trackable
        >>> from checkpointable.trackable.base import Variable
        >>> class Model(Trackable):
        ...     pass
        >>> model = Model()
        >>> model.cache = NoDependency(Variable(0.0))
        >>> list(model.trackable_children())
        []
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@attrs.define(eq=False)
class Tracking:
    """The library's notes at one object.

    Attributes:
        declared: what `track` declared under names that are not attributes.
        untracked: the names that were assigned a `NoDependency`.
        restored: the order number of the latest restore that gave the object its values.
        edges: the same for the arrays and plain values that the object holds, by their names from
            the object on, through plain containers.
        slots: the slot variables that an optimizer keeps.
    """

    declared: dict[str, Any] = attrs.field(factory=dict)
    untracked: set[str] = attrs.field(factory=set)
    restored: int = 0
    edges: dict[tuple[str | None, ...], int] = attrs.field(factory=dict)
    slots: SlotTable | None = None

    def for_copy(self) -> Tracking | None:
        """Return what a copy of the object inherits: not what restores noted."""
        if not self.declared and not self.untracked and self.slots is None:
            return None
        slots = None if self.slots is None else self.slots.copied()
        return Tracking(dict(self.declared), set(self.untracked), slots=slots)


class Owner:
    """What every tracked object is: a place for the library's notes, and nothing else.

    Pickling and copying carry over what the object declares, never what restores noted.
    """

    __slots__ = ("__weakref__", "_tracking")

    def __getstate__(self) -> Any:
        return outgoing_state(self, super().__getstate__())

    def __setstate__(self, state: Any) -> None:
        state = incoming_state(self, state)
        parent = getattr(super(), "__setstate__", None)
        if parent is not None:
            parent(state)
            return
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        if attributes:
            self.__dict__.update(attributes)
        for name, value in (slots or {}).items():
            object.__setattr__(self, name, value)


_NAME: Final = "_tracking"
# The slot itself, because `getattr` would ask a `__getattr__` of the user's class when it is empty.
_SLOT: Final[Any] = Owner.__dict__[_NAME]
_read: Final = _SLOT.__get__


def peek_tracking(obj: Owner) -> Tracking | None:
    """Return the notes at an object, if there are any."""
    try:
        return _read(obj)  # type: ignore[no-any-return]
    except AttributeError:
        return None


def tracking_of(obj: Owner) -> Tracking:
    """Return the notes at an object, a new page if there is none yet."""
    tracking = peek_tracking(obj)
    if tracking is None:
        tracking = Tracking()
        _SLOT.__set__(obj, tracking)
    return tracking


def outgoing_state(obj: Owner, state: Any) -> Any:
    """Replace the notes in the state of an object by those that a copy of it inherits."""
    tracking = peek_tracking(obj)
    if tracking is None:
        return state
    slots: dict[str, Any] = {}
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state, slots = state[0], {k: v for k, v in state[1].items() if k != _NAME}
    inherited = tracking.for_copy()
    if inherited is not None:
        slots[_NAME] = inherited
    return (state, slots) if slots else state


def incoming_state(obj: Owner, state: Any) -> Any:
    """Take the notes out of a state that is about to be given to an object."""
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        rest = dict(state[1])
        tracking = rest.pop(_NAME, None)
        if tracking is not None:
            _SLOT.__set__(obj, tracking)
            return (state[0], rest) if rest else state[0]
    return state


def unwrapped(value: Any) -> Any:
    """Return a value without its `NoDependency`."""
    return value.value if type(value) is NoDependency else value


def assigned(obj: Owner, name: str, value: Any) -> None:
    """Note that an attribute was assigned, and let what waits for it come in.

    Args:
        obj: the owner.
        name: the attribute.
        value: what was assigned, as the user gave it: possibly a `NoDependency`.
    """
    tracking = peek_tracking(obj)
    if type(value) is NoDependency:
        tracking = tracking_of(obj)
        tracking.untracked.add(name)
        tracking.declared.pop(name, None)
        return
    if tracking is not None:
        if name in tracking.untracked:
            return
        if name in tracking.declared:  # One edge: what `track` declared moves with the attribute.
            tracking.declared[name] = getattr(obj, name, value)
    if waiting.anything():
        arrived(obj, name, value)


def arrived(obj: Owner, name: str, value: Any) -> None:
    """Let what waits under this name, and then in any container, come in."""
    waiting.assigned(obj, name)
    if isinstance(value, Owner):
        waiting.settle()


def deleted(obj: Owner, name: str) -> bool:
    """Forget what is noted of a name; tell whether something was declared under it."""
    tracking = peek_tracking(obj)
    if tracking is None:
        return False
    tracking.untracked.discard(name)
    return tracking.declared.pop(name, tracking) is not tracking
