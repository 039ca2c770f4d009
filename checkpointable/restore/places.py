"""Where a live value stands, and how another one is put there (R-21)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from typing import Any

import attrs

from checkpointable.trackable.base import Trackable, peek_tracking

#: The names that lead from an object to a value: attribute, then keys of plain containers.
#: `None` leads from a `Checkpoint` to its root, where that is a container.
Names = tuple[str | None, ...]


@attrs.define(slots=True, eq=False)
class Place:
    """A live value's place.

    Attributes:
        owner: the nearest `Trackable` that leads here.
        names: the local names from the owner to the value.
        holder: what holds the value: the owner, or a container.
        key: the attribute, position or key under which it is held.
        outer: the place of the container that holds it; `None` where the owner does.
    """

    owner: Any
    names: Names
    holder: Any
    key: Any
    outer: Place | None = None

    def item(self, container: Any, name: str, key: Any) -> Place:
        """Return the place of an item of the container that stands here."""
        return Place(self.owner, (*self.names, name), container, key, self)

    def can_put(self) -> bool:
        """Tell whether another value can be put here."""
        if self.key is None:
            return False
        if isinstance(self.holder, Trackable):
            descriptor = inspect.getattr_static(type(self.holder), self.key, None)
            if isinstance(descriptor, property):
                return descriptor.fset is not None
            is_set = hasattr(type(descriptor), "__set__")
            return is_set or has_attribute(self.holder, self.key) or self._is_declared()
        if isinstance(self.holder, tuple):
            return self.outer is not None and self.outer.can_put()
        return True

    def _is_declared(self) -> bool:
        tracking = peek_tracking(self.holder)
        return tracking is not None and self.key in tracking.declared


def has_attribute(holder: Any, name: str) -> bool:
    """Tell whether an object has an attribute of its own, without running a property."""
    if name in getattr(holder, "__dict__", ()):
        return True
    slot = getattr(type(holder), name, None)
    return type(slot).__name__ == "member_descriptor" and hasattr(holder, name)


class Rebinding:
    """Puts values into their places; tuples are made anew once all their items are known."""

    def __init__(self, again: Iterable[tuple[tuple[Any, ...], Place]] = ()) -> None:
        self._tuples: dict[int, _TupleEdit] = {}
        self._again: dict[int, list[Place]] = {}
        for holder, place in again:
            self._again.setdefault(id(holder), []).append(place)
        self._deepest: list[tuple[int, int]] = []

    def put(self, place: Place, value: Any, path: int) -> None:
        """Put a value into a place, with `setattr` where an object holds it.

        Args:
            place: where to.
            value: what.
            path: the number of its path.
        """
        holder = place.holder
        if isinstance(holder, Trackable):
            _set_attribute(holder, place.key, value)
        elif isinstance(holder, tuple):
            self._edit(holder, place, path).items[_position(holder, place.key)] = value
        else:
            holder[place.key] = value

    def finish(self, call: Callable[[int, Place, Callable[[], None]], object]) -> None:
        """Make the changed tuples, inner ones before those that hold them.

        Args:
            call: is given the number of a path, a place, and what puts the new tuple there.
        """
        while self._deepest:
            _, identity = heappop(self._deepest)
            edit = self._tuples[identity]  # it is kept: an inner tuple may still change it again
            edit.is_due = False
            new = tuple.__new__(type(edit.old), edit.items)
            for place in (*edit.places, *self._again.get(identity, ())):
                call(edit.path, place, partial(self.put, place, new, edit.path))

    def _edit(self, holder: tuple[Any, ...], place: Place, path: int) -> _TupleEdit:
        edit = self._tuples.get(id(holder))
        if edit is None:
            edit = self._tuples[id(holder)] = _TupleEdit(holder, list(holder), path)
        if not edit.is_due:
            edit.is_due = True
            heappush(self._deepest, (-len(place.names), id(holder)))
        if place.outer is not None and place.outer not in edit.places:
            edit.places.append(place.outer)
        return edit


@attrs.define(slots=True, eq=False)
class _TupleEdit:
    """A tuple whose items change: its new items, and where the new tuple goes."""

    old: tuple[Any, ...]
    items: list[Any]
    path: int
    places: list[Place] = attrs.field(factory=list)
    is_due: bool = False


def _position(holder: tuple[Any, ...], key: Any) -> int:
    fields: tuple[str, ...] = getattr(holder, "_fields", ())
    return fields.index(key) if isinstance(key, str) else key


def _set_attribute(holder: Any, name: str, value: Any) -> None:
    if not has_attribute(holder, name):
        tracking = peek_tracking(holder)
        if tracking is not None and name in tracking.declared:
            tracking.declared[name] = value
            return
    try:
        setattr(holder, name, value)
    except (attrs.exceptions.FrozenError, dataclasses.FrozenInstanceError):
        object.__setattr__(holder, name, value)


def is_given_after(order: int, owner: Any, names: Names) -> bool:
    """Tell whether a restore later than `order` gave the value there, or what holds it (R-11)."""
    tracking = peek_tracking(owner)
    if tracking is None or not tracking.edges:
        return False
    return any(tracking.edges.get(names[:n], 0) > order for n in range(1, len(names) + 1))
