"""Put other values into their places: attributes, items, tuples made anew, foreign objects (R-21).

What holds each other is made from the inside out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import attrs

from checkpointable.restore.places import Place, has_attribute
from checkpointable.trackable.base import Trackable, peek_tracking
from checkpointable.trackable.registry import adapted_children, restore_adapted


@attrs.define(slots=True, eq=False)
class Rebuild:
    """An object of a foreign type, whose adapter takes back what was restored in it.

    Attributes:
        path: the number of its path.
        live: the object.
        place: where it stands.
        values: its children, as they were shown to this run of matching.
        node: the stored node; -1 if there is none.
        numbers: the stored values of its own tensors, by name.
        is_due: whether something in it was matched, so that its adapter must be asked.
    """

    path: int
    live: Any
    place: Place
    values: dict[str, Any]
    node: int = -1
    numbers: dict[str, int] = attrs.field(factory=dict)
    is_due: bool = False


class Rebinding:
    """Puts values into their places.

    Tuples are made anew, and foreign objects are given to their adapters, once all that they hold
    is known.

    Args:
        again: further places of tuples and foreign objects.
        rebuilds: foreign objects in which something may change.
    """

    def __init__(
        self, again: Iterable[tuple[Any, Place]] = (), rebuilds: Iterable[Rebuild] = ()
    ) -> None:
        self._edits: dict[int, _Edit] = {}
        self._again: dict[int, list[Place]] = {}
        for holder, place in again:
            self._again.setdefault(id(holder), []).append(place)
        for foreign in rebuilds:
            new = _edit_of_foreign(foreign.live, foreign.values, foreign.path)
            edit = self._edits.setdefault(id(foreign.live), new)
            edit.places.append(foreign.place)
            edit.is_due |= foreign.is_due

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
        elif place.is_shown:
            self._edit(place, path).change(place.key, value)
        elif isinstance(holder, tuple):
            self._edit(place, path).change(_position(holder, place.key), value)
        else:
            holder[place.key] = value
            if place.shown is not None:  # The foreign object may have made the container anew.
                around = self._edit(place.shown, path)
                around.is_due |= around.new is not value

    def finish(self, call: Callable[[int, Place, Callable[[], None]], object]) -> None:
        """Make the changed tuples and give foreign objects to their adapters, inner ones first.

        Args:
            call: is given the number of a path, a place, and what puts the new value there.
        """
        order = self._inner_first()
        for _ in range(len(order) + 1):  # Once, but for what holds each other in a circle.
            if not any(edit.is_due for edit in order):
                return
            for edit in order:
                if edit.is_due:
                    self._remake(edit, call)
        for edit in order:
            if edit.is_changed:
                call(edit.path, edit.places[0], _refuse_circle)

    def now(self, live: Any) -> Any:
        """Return what has taken the place of an object."""
        edit = self._edits.get(id(live))
        return live if edit is None else edit.new

    def _remake(
        self, edit: _Edit, call: Callable[[int, Place, Callable[[], None]], object]
    ) -> None:
        edit.is_due = edit.is_changed = False
        before = edit.new
        call(edit.path, edit.places[0], edit.remake)
        if edit.new is not before:
            for place in self._places(edit):
                call(edit.path, place, partial(self.put, place, edit.new, edit.path))

    def _inner_first(self) -> list[_Edit]:
        """Return all that may change, each after what it holds; circles come last."""
        found = [edit for edit in self._edits.values() if edit.is_due]
        seen = {id(edit) for edit in found}
        around: dict[int, list[_Edit]] = {}
        inner: Counter[int] = Counter()
        for edit in found:  # It grows meanwhile.
            around[id(edit)] = list(self._around(edit))
            for outer in around[id(edit)]:
                inner[id(outer)] += 1
                if id(outer) not in seen:
                    seen.add(id(outer))
                    found.append(outer)
        order = [edit for edit in found if not inner[id(edit)]]
        for edit in order:  # It grows meanwhile.
            for outer in around[id(edit)]:
                inner[id(outer)] -= 1
                if not inner[id(outer)]:
                    order.append(outer)
        return [*order, *(edit for edit in found if inner[id(edit)])]

    def _around(self, edit: _Edit) -> Iterator[_Edit]:
        """Yield the tuples and foreign objects that may change if one of them does."""
        for place in self._places(edit):
            inner = place if isinstance(place.holder, tuple) else place.shown
            outer = edit if inner is None else self._edit(inner, edit.path)
            if outer is not edit:
                yield outer

    def _places(self, edit: _Edit) -> list[Place]:
        return [*edit.places, *self._again.get(id(edit.old), ())]

    def _edit(self, place: Place, path: int) -> _Edit:
        """Return what changes in the tuple or foreign object that holds a place."""
        holder = place.holder
        edit = self._edits.get(id(holder))
        if edit is None and place.is_shown:
            edit = _edit_of_foreign(holder, dict(adapted_children(holder)), path)
        elif edit is None:
            new: Callable[[list[Any]], Any] = partial(tuple.__new__, type(holder))
            edit = _Edit(holder, list(holder), new, path)
        self._edits[id(holder)] = edit
        if place.outer is not None and place.outer not in edit.places:
            edit.places.append(place.outer)
        return edit


@attrs.define(slots=True, eq=False)
class _Edit:
    """A tuple or foreign object that changes: what it holds now, and where it stands."""

    old: Any
    items: Any
    make: Callable[[Any], Any]
    path: int
    places: list[Place] = attrs.field(factory=list)
    is_due: bool = False
    is_changed: bool = False
    new: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.new = self.old

    def change(self, key: Any, value: Any) -> None:
        """Hold another value from now on."""
        self.items[key] = value
        self.is_due = self.is_changed = True

    def remake(self) -> None:
        """Make what takes its place."""
        self.new = self.make(self.items)


def _edit_of_foreign(obj: Any, values: dict[str, Any], path: int) -> _Edit:
    return _Edit(obj, values, partial(restore_adapted, obj), path)


def _refuse_circle() -> None:
    raise ValueError(
        "its adapter returned another object again and again, because the objects hold each other"
        " in a circle. Let restore() return the object itself"
    )


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
