"""The values of stored nodes, as matching sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from checkpointable.format.records import AttributeKind, NodeKind, Slot, TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.names import VARIABLE_VALUE
from checkpointable.restore.grafts import GraftedGraph
from checkpointable.restore.selection import Selection, Trail

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
        may_be_text: whether bytes in it may have been str.
    """

    attribute: str
    kind: AttributeKind
    number: int = -1
    info: TensorInfo | None = None
    plain: Any = None
    may_be_text: bool = False

    def is_empty_container(self) -> bool:
        """Tell whether it is an empty list, tuple, dict or set."""
        return self.info is None and isinstance(self.plain, CONTAINERS) and not self.plain


class OpenCheckpoint:
    """The checkpoint of a restore: closed once nothing waits, opened again for an alias (R-12).

    Attributes:
        source: the checkpoint, open or closed.
    """

    def __init__(self, source: CheckpointSource, reopen: Callable[[], CheckpointSource]) -> None:
        self.source = source
        self._reopen = reopen

    def reopened(self) -> CheckpointSource:
        """Return the checkpoint, opened again if it was closed."""
        if self.source.closed:
            self.source = self._reopen()
        return self.source

    def value(self, number: int) -> Any:
        """Return a stored Python value."""
        is_inline = number >= len(self.source.tensors)
        return (self.source if is_inline else self.reopened()).value(number)


class StoredSlots:
    """The slot variables of one checkpoint, by the nodes that they hang on."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.all = slots
        self.by_node: dict[int, list[Slot]] = {}
        for slot in slots:
            for node in slot.ends:
                self.by_node.setdefault(node, []).append(slot)


class StoredValues:
    """Reads off what the nodes of one checkpoint hold."""

    def __init__(self, graph: GraftedGraph, checkpoint: OpenCheckpoint) -> None:
        self._graph = graph
        self._checkpoint = checkpoint
        self._holds_object: dict[int, bool] = {}

    def get(self, stored: Stored) -> StoredValue | None:
        """Return the value of a leaf or variable; `None` where there is none."""
        if isinstance(stored, Literal):
            return StoredValue(VARIABLE_VALUE, AttributeKind.PYTHON, plain=stored.value)
        attribute = self._graph.attribute(stored, VARIABLE_VALUE)
        if attribute is None:
            return None
        number, kind = attribute.value, attribute.kind
        if kind is AttributeKind.PYTHON:
            return StoredValue(VARIABLE_VALUE, kind, number, plain=self._checkpoint.value(number))
        source = self._checkpoint.source
        info, may_be_text = source.tensors[number], not source.tells_text
        return StoredValue(VARIABLE_VALUE, kind, number, info, may_be_text=may_be_text)

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

    def reached(self, node: int, trail: Trail, selection: Selection) -> set[int]:
        """Return the nodes at and below a container without objects that a selection includes."""
        found: set[int] = set()
        queue = deque([(node, trail)])
        seen: set[tuple[int, bool]] = set()
        while queue:
            inner, trail = queue.popleft()
            if (inner, trail.included) in seen:
                continue
            seen.add((inner, trail.included))
            if trail.included or self._graph.kind(inner) is not NodeKind.VALUE:
                found.add(inner)
            for name, child in self._graph.children(inner):
                followed = selection.follow(trail, name, self._graph.origin(inner, name))
                if followed is not None:
                    queue.append((child, followed))
        return found

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
