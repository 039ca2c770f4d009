"""Where a live value stands, and how another one is put there (R-21)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final

import attrs

from checkpointable.trackable.base import Trackable, peek_tracking
from checkpointable.trackable.registry import adapted_children, adapter_of, restore_adapted

#: The names that lead from a Trackable to a value: attribute, then keys of plain containers and
#: names in foreign objects. `None` leads from a `Checkpoint` to its root, where that is no
#: Trackable; at the end, it leads from a foreign object to the tensors of its own.
Names = tuple[str | None, ...]
OWN_TENSORS: Final = None


@attrs.define(slots=True, eq=False)
class Place:
    """A live value's place.

    Attributes:
        owner: the nearest `Trackable` that leads here.
        names: the local names from the owner to the value.
        holder: what holds the value: the owner, a container, or a foreign object.
        key: the attribute, position or key under which it is held; `None` for a root.
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


@attrs.define(slots=True, eq=False)
class Rebuild:
    """An object of a foreign type, whose adapter takes back what was restored in it.

    Attributes:
        path: the number of its path.
        live: the object.
        place: where it stands.
        values: its children, as they were shown to this run of matching.
        numbers: the stored values of its own tensors, by name.
    """

    path: int
    live: Any
    place: Place
    values: dict[str, Any]
    numbers: dict[str, int] = attrs.field(factory=dict)


class Rebinding:
    """Puts values into their places.

    Tuples are made anew, and foreign objects are given to their adapters, once all that they hold
    is known.

    Args:
        again: further places of tuples and foreign objects.
        rebuilds: foreign objects that are to be given to their adapters in any case.
    """

    def __init__(
        self, again: Iterable[tuple[Any, Place]] = (), rebuilds: Iterable[Rebuild] = ()
    ) -> None:
        self._edits: dict[int, _Edit] = {}
        self._again: dict[int, list[Place]] = {}
        for holder, place in again:
            self._again.setdefault(id(holder), []).append(place)
        self._deepest: list[tuple[int, int]] = []
        for foreign in rebuilds:
            edit = _edit_of_foreign(foreign.live, foreign.values, foreign.path)
            self._edits[id(foreign.live)] = edit
            edit.places.append(foreign.place)
            self._schedule(edit, len(foreign.place.names))

    def put(self, place: Place, value: Any, path: int) -> None:
        """Put a value into a place, with `setattr` where an object holds it.

        Args:
            place: where to.
            value: what.
            path: the number of its path.
        """
        holder = place.holder
        if place.key is None:
            raise ValueError(
                "another object would take the place of the root of a Checkpoint, which stays the"
                " same. Give it by name: Checkpoint(name=object)"
            )
        if isinstance(holder, Trackable):
            _set_attribute(holder, place.key, value)
        elif isinstance(holder, tuple):
            self._edit(place, path).items[_position(holder, place.key)] = value
        elif adapter_of(holder) is not None:
            self._edit(place, path).items[place.key] = value
        else:
            holder[place.key] = value

    def finish(self, call: Callable[[int, Place, Callable[[], None]], object]) -> None:
        """Make the changed tuples and give foreign objects to their adapters, inner ones first.

        Args:
            call: is given the number of a path, a place, and what puts the new value there.
        """
        while self._deepest:
            _, identity = heappop(self._deepest)
            edit = self._edits[identity]  # it is kept: what it holds may still change again
            edit.is_due = False
            places = (*edit.places, *self._again.get(identity, ()))
            call(edit.path, places[0], edit.remake)
            if edit.new is not edit.old:
                for place in places:
                    call(edit.path, place, partial(self.put, place, edit.new, edit.path))

    def _edit(self, place: Place, path: int) -> _Edit:
        """Return what changes in the tuple or foreign object that holds a place."""
        holder = place.holder
        edit = self._edits.get(id(holder))
        if edit is None and isinstance(holder, tuple):
            new: Callable[[list[Any]], Any] = partial(tuple.__new__, type(holder))
            edit = _Edit(holder, list(holder), new, path)
        elif edit is None:
            edit = _edit_of_foreign(holder, dict(adapted_children(holder)), path)
        self._edits[id(holder)] = edit
        self._schedule(edit, len(place.names) - 1)
        if place.outer is not None and place.outer not in edit.places:
            edit.places.append(place.outer)
        return edit

    def _schedule(self, edit: _Edit, depth: int) -> None:
        if not edit.is_due:
            edit.is_due = True
            heappush(self._deepest, (-depth, id(edit.old)))


@attrs.define(slots=True, eq=False)
class _Edit:
    """A tuple or foreign object that changes: what it holds now, and where it stands."""

    old: Any
    items: Any
    make: Callable[[Any], Any]
    path: int
    places: list[Place] = attrs.field(factory=list)
    is_due: bool = False
    new: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.new = self.old

    def remake(self) -> None:
        """Make what takes its place."""
        self.new = self.make(self.items)


def _edit_of_foreign(obj: Any, values: dict[str, Any], path: int) -> _Edit:
    return _Edit(obj, values, partial(restore_adapted, obj), path)


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
