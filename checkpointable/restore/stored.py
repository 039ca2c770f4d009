"""The values of stored nodes, as matching sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from checkpointable.format.records import AttributeKind, NodeKind, ObjectGraph, TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.names import VARIABLE_VALUE

#: The plain containers, each matched as a whole or item by item.
CONTAINERS = (list, tuple, dict, set, frozenset)


@attrs.frozen(slots=True)
class Literal:
    """An item of a stored plain container that is matched with a live container item by item."""

    value: Any


#: A stored thing: a node of the graph, or an item of a stored plain value.
Stored = int | Literal


@attrs.frozen(slots=True)
class StoredValue:
    """The value of a stored leaf or variable.

    Attributes:
        attribute: the name of the value at its node.
        kind: what it was in the program.
        number: the number of the value in the checkpoint; -1 for an item of a plain value.
        info: dtype and shape of a tensor; `None` for a Python value.
        plain: the Python value.
    """

    attribute: str
    kind: AttributeKind
    number: int = -1
    info: TensorInfo | None = None
    plain: Any = None

    def is_empty_container(self) -> bool:
        """Tell whether it is an empty list, tuple, dict or set."""
        return self.info is None and isinstance(self.plain, CONTAINERS) and not self.plain


class StoredValues:
    """Reads off what the nodes of one checkpoint hold."""

    def __init__(self, graph: ObjectGraph, source: CheckpointSource) -> None:
        self._graph = graph
        self._source = source
        self._holds_object: dict[int, bool] = {}

    def get(self, stored: Stored) -> StoredValue | None:
        """Return the value of a leaf or variable; `None` where there is none."""
        if isinstance(stored, Literal):
            return StoredValue(VARIABLE_VALUE, AttributeKind.PYTHON, plain=stored.value)
        for attribute in self._graph.attributes(stored):
            if attribute.name == VARIABLE_VALUE:
                number, kind = attribute.value, attribute.kind
                if kind is AttributeKind.PYTHON:
                    plain = self._source.value(number)
                    return StoredValue(attribute.name, kind, number, plain=plain)
                return StoredValue(attribute.name, kind, number, self._source.tensors[number])
        return None

    def items(self, stored: Stored) -> Iterator[tuple[str, Stored]]:
        """Return the named items of a stored container, whichever way it was saved."""
        if isinstance(stored, int) and self._graph.kind(stored) is not NodeKind.VALUE:
            yield from self._graph.children(stored)
            return
        value = self.get(stored)
        plain = value.plain if value is not None else None
        pairs: Iterable[tuple[Any, Any]] = ()
        if isinstance(plain, dict):
            pairs = plain.items()
        elif isinstance(plain, (list, tuple)):
            pairs = enumerate(plain)
        yield from ((str(key), Literal(item)) for key, item in pairs)

    def holds_object(self, node: int) -> bool:
        """Tell whether a stored node is an object, or a container with one at any depth."""
        known = self._holds_object
        if node not in known:
            inside = list(self._containers_below(node))
            is_object = self._graph.kind(node) is NodeKind.OBJECT
            found = is_object or any(self._has_object_child(inner) for inner in inside)
            if not found:
                known.update(dict.fromkeys(inside, False))
            known[node] = found
        return known[node]

    def leaves(self, node: int) -> list[int]:
        """Return the nodes with arrays and plain values in a container without objects."""
        kind = self._graph.kind
        inside = [node, *self._containers_below(node)]
        children = (c for inner in dict.fromkeys(inside) for _, c in self._graph.children(inner))
        return [n for n in dict.fromkeys((*children, node)) if kind(n) is NodeKind.VALUE]

    def _containers_below(self, node: int) -> Iterator[int]:
        seen, stack = set(), [node]
        while stack:
            inner = stack.pop()
            kind = self._graph.kind(inner)
            if inner in seen or kind in (NodeKind.OBJECT, NodeKind.VALUE):
                continue
            seen.add(inner)
            yield inner
            stack.extend(child for _, child in self._graph.children(inner))

    def _has_object_child(self, node: int) -> bool:
        return any(self._graph.kind(c) is NodeKind.OBJECT for _, c in self._graph.children(node))
