"""Where a live value stands, and what stands at a place."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

import attrs

from checkpointable.trackable.base import Trackable, peek_tracking
from checkpointable.trackable.children import ABSENT, Classifier, stored_attribute
from checkpointable.trackable.registry import adapted_children, adapter_of

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
