"""Rule R-children: which values of an object are its children, and under which names.

An attribute is a child if it is a Trackable or of an adapted type, a container (list, tuple, dict)
that holds one at any depth, or declared; and so is whatever `track` declared. A container that
holds an array or an object at any depth is a node of its own: all in it are its children. One that
holds nothing but plain values is one plain value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping
from types import MemberDescriptorType
from typing import Any, Final, final

import attrs

from checkpointable.errors import NotCheckpointableError
from checkpointable.names import join_all, shorten
from checkpointable.trackable.contents import (
    CONTAINERS,
    HOLDS_TRACKABLE,
    Contents,
    Kind,
    container_kind,
    type_name,
)
from checkpointable.trackable.registry import adapted_children, adapter_of
from checkpointable.trackable.tracking import Owner, Tracking, peek_tracking

__all__ = [
    "ABSENT",
    "CONTAINERS",
    "TRACKED_FIELD",
    "Classifier",
    "Kind",
    "PassedOver",
    "container_kind",
    "namedtuple_fields",
    "stored_attribute",
    "trackable_children",
    "type_name",
]

#: What `peek` returns where there is nothing.
ABSENT: Final[Any] = type("Absent", (), {"__repr__": lambda _: "ABSENT", "__slots__": ()})()

#: The key of the metadata of an attrs field that `tracked` makes.
TRACKED_FIELD: Final = "checkpointable.tracked"

#: Containers of exactly these types have no adapter.
_EXACT: Final = frozenset({list, tuple, dict})

#: A longer integer key has more than 4 KiB of decimals.
_MAX_KEY_BITS: Final = 13_000

#: What was passed over: the name, the value, and why if it is not simply undeclared.
PassedOver = tuple[str, Any, str | None]


def trackable_children(self: Owner) -> Mapping[str, object]:
    """Return the children of this object by name.

    Override it to show other children than the attributes: arrays, plain values, containers and
    Trackables. Each name must lead to the same object every time, unless that was replaced.

    Returns:
        the children that rule R-children gives: see `docs/objects.md`.
    """
    return dict(Classifier().own_children(self))


@final
class Classifier(Contents):
    """Tells children from other attributes, by type rather than by object.

    One serves one walk: it remembers what containers hold, so it must not outlive a change of
    them. Not thread-safe.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plans: dict[type[Any], _Plan] = {}

    def children(
        self, obj: Owner, passed: list[PassedOver] | None = None
    ) -> list[tuple[str, object]]:
        """Return the children of an object, with their names.

        Args:
            obj: the object; if its class overrides `trackable_children`, that is asked.
            passed: receives the attributes that are no children.

        Raises:
            NotCheckpointableError: an overridden `trackable_children` gave something that is not
                a mapping of strings.
        """
        if self._plan(type(obj)).overridden:
            return self._shown(obj)
        return self.own_children(obj, passed)

    def own_children(
        self, obj: Owner, passed: list[PassedOver] | None = None
    ) -> list[tuple[str, object]]:
        """Return the children that the rule gives, whether or not the class overrides it."""
        plan = self._plan(type(obj))
        tracking = peek_tracking(obj)
        declared, untracked = _declared(plan, tracking), tracking.untracked if tracking else ()
        bits, children = self.bits, []
        for name, value in plan.attributes(obj, tracking):
            if name in untracked:
                continue
            if bits(value) & HOLDS_TRACKABLE or name in declared:
                children.append((name, value))
            elif passed is not None:
                passed.append((name, value, None))
        return children

    def items(
        self, container: Any, passed: list[PassedOver] | None = None
    ) -> list[tuple[str | int, object]]:
        """Return the items of a list, tuple or dict, with their positions, field names or keys.

        Args:
            container: the container, subclasses are read as their bases; or an object of a foreign
                type: its children, as its adapter shows them.
            passed: receives the items of a dict whose keys are no names.

        Raises:
            NotCheckpointableError: two keys of a dict have one name.
        """
        if type(container) not in _EXACT and adapter_of(container) is not None:
            return [*adapted_children(container)]
        if isinstance(container, dict):
            return _dict_items(container, passed)
        if isinstance(container, list):
            return list(enumerate(list.__iter__(container)))
        values = tuple.__iter__(container)
        fields = namedtuple_fields(container)
        return list(zip(fields, values, strict=True)) if fields else list(enumerate(values))

    def declared(self, obj: Owner) -> Container[str]:
        """Return the names under which an object has state whatever it holds there."""
        plan, tracking = self._plan(type(obj)), peek_tracking(obj)
        if plan.overridden:
            return {name for name, _ in self._shown(obj)} | plan.declared
        declared = _declared(plan, tracking)
        if tracking is None or not tracking.untracked:
            return declared
        return _Without(declared, tracking.untracked)

    def is_child(self, obj: Owner, name: str) -> bool:
        """Tell whether a name leads to a child, without a look at the other attributes."""
        if self._plan(type(obj)).overridden:
            return any(shown == name for shown, _ in self._shown(obj))
        value = self.peek(obj, name)
        is_state = value is not ABSENT and self.bits(value) & HOLDS_TRACKABLE
        return bool(is_state) or (value is not ABSENT and name in self.declared(obj))

    def peek(self, obj: Owner, name: str) -> Any:
        """Return what stands under a name, child or not; `ABSENT` if nothing does.

        A name that was assigned a `NoDependency` is `ABSENT` too.
        """
        # Without a plan: one look should not have to find all slots of the class.
        tracking = peek_tracking(obj)
        if tracking is not None and name in tracking.untracked:
            return ABSENT
        if _is_overridden(type(obj)):
            for shown, value in self._shown(obj):
                if shown == name:
                    return value
        value = stored_attribute(obj, name)
        if value is ABSENT and tracking is not None:
            value = tracking.declared.get(name, ABSENT)
        if value is ABSENT and name in _names_declared_by(type(obj)):
            value = getattr(obj, name, ABSENT)
        return value

    def _plan(self, cls: type[Any]) -> _Plan:
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = _plan_of(cls)
        return plan

    def _shown(self, obj: Any) -> list[tuple[str, object]]:
        """Return what an overridden `trackable_children` gives."""
        shown = obj.trackable_children()
        if type(shown) is dict and not shown:
            return []
        if not isinstance(shown, Mapping) or not all(isinstance(name, str) for name in shown):
            raise NotCheckpointableError(
                f"{type(obj).__qualname__}.trackable_children() returned a"
                f" {type(shown).__name__}, expected a mapping of names (str) to children."
            )
        return list(shown.items())


def check_storable(classifier: Classifier, name: str, value: object) -> None:
    """Refuse a value that can never be saved.

    Raises:
        NotCheckpointableError: with where it is at fault, what stands there, and the remedy.
    """
    if classifier.kind(value) is Kind.UNSUPPORTED:
        refusal = classifier.refusal(value)
        path = join_all((name, *refusal.trail))
        raise NotCheckpointableError(
            f"{shorten(path)} is a {refusal.type}: {refusal.reason}.", path=path
        )


def namedtuple_fields(container: object) -> tuple[str, ...]:
    """Return the field names of a namedtuple; of any other container, nothing."""
    if type(container) is tuple or not isinstance(container, tuple):
        return ()
    fields = getattr(type(container), "_fields", ())
    named = isinstance(fields, tuple) and all(isinstance(f, str) for f in fields)
    return fields if named and len(fields) == len(container) else ()


def stored_attribute(obj: object, name: str) -> Any:
    """Return an attribute from the slots or the `__dict__` of an object; `ABSENT` if not there."""
    for cls in type(obj).__mro__:
        member = cls.__dict__.get(name)
        if isinstance(member, MemberDescriptorType):
            return _slot_value(member, obj)
    return obj.__dict__.get(name, ABSENT) if type(obj).__dictoffset__ else ABSENT


@attrs.frozen
class _Plan:
    """Where the children of the objects of one class are found."""

    slots: tuple[tuple[str, Any], ...]
    has_dict: bool
    declared: frozenset[str]
    declares_all: bool
    overridden: bool

    def attributes(self, obj: Any, tracking: Tracking | None) -> list[tuple[str, Any]]:
        """Return every attribute that has a value, and whatever `track` declared."""
        if not self.slots and not self.declared and tracking is None:
            return list(obj.__dict__.items()) if self.has_dict else []
        found = []
        for name, member in self.slots:
            value = _slot_value(member, obj)
            if value is not ABSENT:
                found.append((name, value))
        if self.has_dict:
            found += obj.__dict__.items()
        if self.declared or (tracking is not None and tracking.declared):
            found += self._others(obj, tracking, {name for name, _ in found})
        return found

    def _others(
        self, obj: Any, tracking: Tracking | None, names: set[str]
    ) -> Iterable[tuple[str, Any]]:
        """Yield what is declared but not stored as an attribute, properties included."""
        for name in sorted(self.declared - names):
            value = getattr(obj, name, ABSENT)
            if value is not ABSENT:
                names.add(name)
                yield name, value
        if tracking is not None:
            yield from [(n, v) for n, v in tracking.declared.items() if n not in names]


def _plan_of(cls: type[Any]) -> _Plan:
    return _Plan(
        slots=tuple(slot for base in reversed(cls.__mro__) for slot in _slots_of(base)),
        has_dict=bool(cls.__dictoffset__),
        declared=frozenset(_names_declared_by(cls)),
        declares_all=bool(getattr(cls, "declares_all", False)),
        overridden=_is_overridden(cls),
    )


def _names_declared_by(cls: type[Any]) -> list[str]:
    declared: list[str] = []
    for base in cls.__mro__:
        declared += base.__dict__.get("state_attributes", ())
    declared += [a.name for a in getattr(cls, "__attrs_attrs__", ()) if TRACKED_FIELD in a.metadata]
    return declared


def _is_overridden(cls: type[Any]) -> bool:
    return cls.trackable_children is not trackable_children


def _slots_of(cls: type[Any]) -> list[tuple[str, Any]]:
    """Return the slots that a class adds, in the order in which it names them."""
    if cls is Owner:
        return []
    members = {k: v for k, v in cls.__dict__.items() if isinstance(v, MemberDescriptorType)}
    given = cls.__dict__.get("__slots__", ())
    order = [given] if isinstance(given, str) else list(given)
    private = f"_{cls.__name__.lstrip('_')}"
    # Python mangles `__x` to `_Class__x`.
    named = [n for name in order for n in (name, private + name) if n in members]
    return [(n, members[n]) for n in dict.fromkeys(named + sorted(members))]


def _slot_value(member: Any, obj: object) -> Any:
    try:
        return member.__get__(obj)
    except AttributeError:
        return ABSENT


@final
class _Public(Container[str]):
    """Every name that does not begin with an underscore."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and not name.startswith("_")


@attrs.frozen
class _Either(Container[str]):
    """The names in one of two containers."""

    first: Container[str]
    second: Container[str]

    def __contains__(self, name: object) -> bool:
        return name in self.first or name in self.second


@attrs.frozen
class _Without(Container[str]):
    """The names in one container and not in the other."""

    names: Container[str]
    excluded: Container[str]

    def __contains__(self, name: object) -> bool:
        return name in self.names and name not in self.excluded


_PUBLIC: Final = _Public()


def _declared(plan: _Plan, tracking: Tracking | None) -> Container[str]:
    declared: Container[str] = plan.declared
    if plan.declares_all:
        declared = _Either(_PUBLIC, declared)
    if tracking is not None and tracking.declared:
        declared = _Either(tracking.declared, declared)
    return declared


def _dict_items(
    container: dict[Any, object], passed: list[PassedOver] | None
) -> list[tuple[str | int, object]]:
    read: Callable[[Any], Iterable[tuple[Any, object]]] = (
        OrderedDict.items if isinstance(container, OrderedDict) else dict.items
    )
    items = list(read(container))
    types = set(map(type, [key for key, _ in items]))
    if types <= {str}:
        return items
    kept: list[tuple[str | int, object]] = []
    names: dict[str, str | int] = {}
    for key, value in items:
        if not _is_name(key):
            if passed is not None:
                passed.append((_shown_key(key), value, _KEY_REASON))
            continue
        if names.setdefault(str(key), key) is not key:
            raise NotCheckpointableError(
                f"a dict has the keys {names[str(key)]!r} and {key!r}, which have one name in a"
                " checkpoint. Rename one of them."
            )
        kept.append((key, value))
    return kept


_KEY_REASON: Final = (
    "its key is no name: in a dict that holds arrays or Trackables, keys are strings or integers"
)


def _is_name(key: object) -> bool:
    return type(key) is str or (type(key) is int and key.bit_length() <= _MAX_KEY_BITS)


def _shown_key(key: object) -> str:
    return f"<a key of type {type(key).__name__}>"
