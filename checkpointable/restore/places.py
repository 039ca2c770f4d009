"""Where a live value stands, and how another one is put there (R-21)."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import attrs

from checkpointable.trackable.base import Trackable, peek_tracking
from checkpointable.trackable.children import ABSENT, Classifier, stored_attribute
from checkpointable.trackable.registry import adapted_children, adapter_of, restore_adapted

#: The names that lead from a Trackable to a value: attribute, then keys of plain containers and
#: names in foreign objects. `None` leads from a `Checkpoint` to its root, where that is no
#: Trackable; at the end, it leads from a foreign object to the tensors of its own.
Names = tuple[str | None, ...]
OWN_TENSORS: Final = None

_BUILTIN: Final = frozenset({list, tuple, dict})
_CONTAINERS: Final = (list, tuple, dict)
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")


@attrs.define(slots=True, eq=False)
class Place:
    """A live value's place.

    Attributes:
        owner: the nearest `Trackable` that leads here.
        names: the local names from the owner to the value.
        holder: what holds the value: the owner, a container, or a foreign object.
        key: the attribute, position or key under which it is held; `None` for a root.
        outer: the place of the container that holds it; `None` where the owner does.
        above: the last place before this one that a foreign object holds; `None` if none does.
        is_shown: whether a foreign object holds this place.
    """

    owner: Any
    names: Names
    holder: Any
    key: Any
    outer: Place | None = None
    above: Place | None = None
    is_shown: bool = False

    @property
    def shown(self) -> Place | None:
        """The last place on the way here, this one included, that a foreign object holds."""
        return self if self.is_shown else self.above

    def item(self, container: Any, name: str, key: Any) -> Place:
        """Return the place of an item of the container that stands here."""
        is_shown = type(container) not in _BUILTIN and adapter_of(container) is not None
        names = (*self.names, name)
        return Place(self.owner, names, container, key, self, self.shown, is_shown)

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


def is_given_after(order: int, owner: Any, names: Names) -> bool:
    """Tell whether a restore later than `order` gave the value there, or what holds it (R-11)."""
    tracking = peek_tracking(owner)
    if tracking is None or not tracking.edges:
        return False
    return any(tracking.edges.get(names[:n], 0) > order for n in range(1, len(names) + 1))


def overrides_children(owner: Any) -> bool:
    """Tell whether an object says itself what its children are."""
    return type(owner).trackable_children is not Trackable.trackable_children


def is_container(value: Any) -> bool:
    """Tell whether a value holds others without being a Trackable."""
    if isinstance(value, Trackable):
        return False
    return isinstance(value, _CONTAINERS) or adapter_of(value) is not None


def first_of(owner: Any, first: str | None) -> Any:
    """Return what stands under the first name, whether or not it is a child."""
    if first is None:
        return owner.root
    value = stored_attribute(owner, first) if not overrides_children(owner) else ABSENT
    tracking = peek_tracking(owner)
    if value is not ABSENT and (tracking is None or first not in tracking.untracked):
        return value  # what a Classifier would find too, but not as soon
    return Classifier().peek(owner, first)


def _key(container: Any, name: str | None) -> Any:
    """Return the key under which a plain container holds a local name; `ABSENT` if it does not."""
    if isinstance(container, dict):
        if name in container:
            return name
        number = int(name) if name is not None and _INTEGER.fullmatch(name) else None
        return number if number is not None and number in container else ABSENT
    if isinstance(container, tuple) and name in getattr(container, "_fields", ()):
        return name
    if isinstance(container, (list, tuple)) and name is not None and name.isdecimal():
        return int(name) if int(name) < len(container) else ABSENT
    if is_container(container) and name in dict(adapted_children(container)):
        return name
    return ABSENT


def item_of(container: Any, name: str | None) -> Any:
    """Return what a plain container holds under a local name."""
    key = _key(container, name)
    if key is ABSENT:
        return ABSENT
    if isinstance(container, tuple) and isinstance(key, str):
        return getattr(container, key)
    if not isinstance(container, _CONTAINERS):
        return dict(adapted_children(container))[key]
    return container[key]


def find(owner: Any, names: Names) -> tuple[Place | None, Any]:
    """Return the place at the end of the names, and what stands there."""
    live = first_of(owner, names[0])
    place = Place(owner, names[:1], owner, names[0])
    for name in names[1:]:
        if not is_container(live):
            return None, ABSENT
        key = _key(live, name)
        if key is ABSENT:
            return None, ABSENT
        place, live = place.item(live, str(name), key), item_of(live, name)
    return (None, ABSENT) if live is ABSENT else (place, live)
