"""How a value is stored, and what containers hold: decided by type, without recursion."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from enum import Enum, IntEnum
from typing import Any, Final, cast

import attrs
import numpy as np

from checkpointable.plain import PLAIN_CONTAINERS, PLAIN_SCALARS
from checkpointable.trackable.arrays import array_refusal, dtype_refusal
from checkpointable.trackable.registry import (
    adapter_of,
    is_plain_dataclass,
    registered_adapter,
)
from checkpointable.trackable.tracking import Owner


class Kind(IntEnum):
    """How a value is stored."""

    TRACKABLE = 1  #: a node with the names of its children
    ARRAY = 2  #: a node with one tensor
    SCALAR = 3  #: a numpy scalar: a node with one tensor, never shared
    PLAIN = 4  #: a plain value, or a container of nothing else: one Python value, never shared
    LIST = 5  #: a list that holds an array or a Trackable at any depth
    TUPLE = 6  #: a tuple that holds one
    DICT = 7  #: a dict that holds one
    UNSUPPORTED = 8  #: what cannot be stored
    ADAPTED = 9  #: an object of a foreign type, which an adapter speaks for


#: The kinds of containers that are nodes.
CONTAINERS: Final = frozenset({Kind.LIST, Kind.TUPLE, Kind.DICT})

#: What a value is, or holds at any depth.
HOLDS_TRACKABLE: Final = 1  #: a Trackable, or an object of a registered type
HOLDS_ARRAY: Final = 2
HOLDS_OTHER: Final = 4  #: something that cannot be stored
HOLDS_DATACLASS: Final = 8  #: a dataclass that is no Trackable: state only where declared

#: What can hold plain values only.
_HASHED: Final = (set, frozenset)

_MAKES_A_NODE: Final = HOLDS_TRACKABLE | HOLDS_ARRAY | HOLDS_DATACLASS

# By the number of the kind: a dict would hash an Enum member, which is slow.
_BITS: Final = (0, HOLDS_TRACKABLE, HOLDS_ARRAY, 0, 0, 0, 0, 0, HOLDS_OTHER)


@attrs.frozen
class Refusal:
    """Why a value cannot be stored.

    Attributes:
        trail: the names that lead from the value, through containers, to what is at fault.
        type: the type of what is at fault.
        reason: what is wrong with it and what to do.
    """

    trail: tuple[str, ...]
    type: str
    reason: str


class Contents:
    """The kinds of values; what containers hold is found out once for each container.

    A container is surveyed together with all containers below it, breadth-first, so that depth
    and cycles do not matter and the work is linear.
    """

    def __init__(self) -> None:
        self._by_type: dict[type[Any], Kind | None] = {}
        self._bits_by_type: dict[type[Any], int | None] = {}
        # By identity; the container is kept, so that its identity is not given to another.
        self._surveyed: dict[int, tuple[object, int]] = {}

    def kind(self, value: object) -> Kind:
        """Return how a value is stored."""
        cls = type(value)
        kind = self._by_type.get(cls) or self._kind_of_type(cls)
        if kind is not None:
            return kind
        if cls is np.ndarray:
            return Kind.UNSUPPORTED if array_refusal(value) else Kind.ARRAY  # type: ignore[arg-type]
        return self._container_kind(value)

    def bits(self, value: object) -> int:
        """Return what a value is or holds, as a sum of `HOLDS_...`; arrays are not looked into."""
        cls = type(value)
        bits = self._bits_by_type.get(cls)
        if bits is None:
            bits = self._bits_of_type(cls)
        if bits is not None:
            return bits
        if cls is np.ndarray:
            return HOLDS_ARRAY
        known = self._surveyed.get(id(value))
        if known is None:
            self._survey(value)
            known = self._surveyed[id(value)]
        return known[1]

    def holds_array(self, value: object) -> bool:
        """Tell whether a value is an array, or a container that holds one at any depth."""
        return bool(self.bits(value) & HOLDS_ARRAY)

    def refusal(self, value: object) -> Refusal:
        """Say why a value of kind `UNSUPPORTED` cannot be stored."""
        trail: list[str] = []
        seen = set()
        while isinstance(value, PLAIN_CONTAINERS) and id(value) not in seen:
            seen.add(id(value))
            fault = self._first_fault(value)
            if fault is None:
                break
            trail.append(fault[0])
            value = fault[1]
        return Refusal(tuple(trail), type_name(value), _reason(value, id(value) in seen))

    def _kind_of_type(self, cls: type[Any]) -> Kind | None:
        """Return the kind of all values of a type; `None` if each must be looked at."""
        if cls not in self._by_type:
            self._by_type[cls] = _type_kind(cls)
        return self._by_type[cls]

    def _bits_of_type(self, cls: type[Any]) -> int | None:
        """Return the bits of all values of a type; `None` if each must be looked at."""
        if cls not in self._bits_by_type:
            kind = self._kind_of_type(cls)
            if kind is Kind.ADAPTED:
                is_registered = registered_adapter(cls) is not None
                bits: int | None = HOLDS_TRACKABLE if is_registered else HOLDS_DATACLASS
            else:
                bits = None if kind is None else _BITS[kind]
            self._bits_by_type[cls] = bits
        return self._bits_by_type[cls]

    def _container_kind(self, container: object) -> Kind:
        bits = self.bits(container)
        if bits & _MAKES_A_NODE:
            return container_kind(container)
        return Kind.UNSUPPORTED if bits else Kind.PLAIN

    def _survey(self, top: object) -> None:
        """Find out what a container, and every container below it, holds."""
        order = [top]
        above: dict[int, list[object]] = {id(top): []}
        bits: dict[int, int] = {}
        for container in order:
            own, members = self._look(container)
            for member in members:
                known = self._surveyed.get(id(member))
                if known is not None:
                    own |= _handed_up(known[1], container)
                    continue
                if id(member) not in above:
                    above[id(member)] = []
                    order.append(member)
                above[id(member)].append(container)
            bits[id(container)] = own
        _hand_up(order, above, bits)
        for cyclic in _in_plain_cycles(order, above, bits):
            bits[id(cyclic)] = HOLDS_OTHER
        self._surveyed.update((id(c), (c, bits[id(c)])) for c in order)

    def _look(self, container: object) -> tuple[int, list[object]]:
        """Return what a container holds directly, and the containers in it."""
        values = list(raw_values(container))
        own, nested = self._sum(values, container)
        if isinstance(container, dict):
            keys = list(dict.__iter__(container))
            of_keys, in_keys = self._sum(keys, None)
            own |= HOLDS_OTHER if of_keys else 0
            nested += in_keys
        return own, nested

    def _sum(self, values: list[object], container: object) -> tuple[int, list[object]]:
        own, look_at = 0, set()
        for cls in set(map(type, values)):
            bits = self._bits_of_type(cls)
            if bits is not None:
                own |= bits
            else:
                look_at.add(cls)
        nested = [value for value in values if type(value) in look_at] if look_at else []
        if np.ndarray in look_at:
            for value in nested:
                own |= _BITS[self.kind(value)] if type(value) is np.ndarray else 0
            nested = [value for value in nested if type(value) is not np.ndarray]
        return _handed_up(own, container), nested

    def _first_fault(self, container: Any) -> tuple[str, object] | None:
        """Return the first item of a container that is at fault, with its name."""
        for value in raw_values(container) if isinstance(container, _HASHED) else ():
            if self.bits(value):
                return f"<item of type {type(value).__name__}>", value
        for key in dict.__iter__(container) if isinstance(container, dict) else ():
            if self.bits(key):
                return _shown_key(key), key
        for name, value in _named_values(container):
            if self.kind(value) is Kind.UNSUPPORTED:
                return name, value
        return None


def container_kind(container: object) -> Kind:
    """Return the kind of a list, tuple, dict or adapted object as a node, whatever it holds."""
    if isinstance(container, dict):
        return Kind.DICT
    if isinstance(container, list):
        return Kind.LIST
    return Kind.TUPLE if isinstance(container, tuple) else Kind.ADAPTED


def raw_values(container: Any) -> Iterable[object]:
    """Return what a container holds, whatever methods a subclass overrides."""
    if isinstance(container, dict):
        read: Callable[[Any], Iterable[object]] = (
            OrderedDict.values if isinstance(container, OrderedDict) else dict.values
        )
        return read(container)
    base: Any = next(base for base in PLAIN_CONTAINERS if isinstance(container, base))
    return cast(Iterable[object], base.__iter__(container))


def _named_values(container: Any) -> Iterable[tuple[str, object]]:
    if isinstance(container, dict):
        yield from [(_key_name(k), v) for k, v in dict.items(container)]
    elif isinstance(container, (list, tuple)):
        yield from [(str(i), value) for i, value in enumerate(raw_values(container))]


def _key_name(key: object) -> str:
    return str(key) if type(key) in (str, int) else _shown_key(key)


def _shown_key(key: object) -> str:
    return f"<key of type {type(key).__name__}>"


def _type_kind(cls: type[Any]) -> Kind | None:
    """Return the kind of all values of a type; `None` for arrays and containers."""
    if issubclass(cls, Owner):
        return Kind.TRACKABLE
    if registered_adapter(cls) is not None:
        return Kind.ADAPTED
    if cls in PLAIN_SCALARS:
        return Kind.PLAIN
    if issubclass(cls, np.generic):
        storable = np.dtype(cls).type is cls and dtype_refusal(np.dtype(cls)) is None
        return Kind.SCALAR if storable else Kind.UNSUPPORTED
    if cls is np.ndarray:
        return None
    if issubclass(cls, PLAIN_CONTAINERS) and not issubclass(cls, Enum):
        return None
    return Kind.ADAPTED if is_plain_dataclass(cls) else Kind.UNSUPPORTED


def _handed_up(bits: int, container: object) -> int:
    """Return what a container gets from an item: sets and keys may hold plain values only."""
    if bits and (container is None or isinstance(container, _HASHED)):
        return HOLDS_OTHER
    return bits


def _hand_up(order: list[object], above: dict[int, list[object]], bits: dict[int, int]) -> None:
    """Hand what each container holds up to the containers that it is in."""
    work = [container for container in order if bits[id(container)]]
    while work:
        inner = work.pop()
        for outer in above[id(inner)]:
            new = bits[id(outer)] | _handed_up(bits[id(inner)], outer)
            if new != bits[id(outer)]:
                bits[id(outer)] = new
                work.append(outer)


def _in_plain_cycles(
    order: list[object], above: dict[int, list[object]], bits: dict[int, int]
) -> list[object]:
    """Return the containers of plain values that hold themselves, or one that does."""
    plain = [c for c in order if not bits[id(c)]]
    inner = Counter(id(o) for c in plain for o in above[id(c)] if not bits[id(o)])
    finished = [c for c in plain if not inner[id(c)]]
    while finished:
        for outer in above[id(finished.pop())]:
            if not bits[id(outer)]:
                inner[id(outer)] -= 1
                if not inner[id(outer)]:
                    finished.append(outer)
    return [c for c in plain if inner[id(c)]]


def type_name(value: object) -> str:
    """Return the name of a value's type, with its module unless it is a builtin."""
    cls = type(value)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def _reason(value: object, cyclic: bool) -> str:
    """Say what is wrong with a value and what to do."""
    if cyclic:
        return "it contains itself, and holds neither an array nor a Trackable"
    if isinstance(value, Enum):
        return "Enum members are not stored: keep its .name"
    if isinstance(value, np.ndarray):
        return array_refusal(value) or "a set or a key cannot hold it"
    if isinstance(value, np.generic):
        return dtype_refusal(value.dtype) or f"use a {value.dtype.type.__name__} itself"
    if isinstance(value, Owner) or adapter_of(value) is not None:
        return "a set or a key cannot hold objects in a checkpoint: use a list"
    for base in PLAIN_SCALARS:
        if isinstance(value, base):
            return f"a subclass of {base.__name__} is not stored: convert it to {base.__name__}"
    return (
        "it is neither a Trackable nor an array nor a plain value: make it one of these, tell with"
        " register_adapter() how it is saved, or keep it out with NoDependency"
    )
