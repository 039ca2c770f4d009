"""The stored graph as a restore sees it: parts of it may stand under other names than they did.

A graft is a node of its own, numbered after the stored ones. It has the values and the children of
a stored node, its base, with some edges added or taken away; or it has no base, where the program
of today has an object that the checkpoint knows nothing of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import attrs

from checkpointable.format.records import Attribute, NodeKind, ObjectGraph, Slot


@attrs.frozen(slots=True)
class Origin:
    """Where the checkpoint has what an edge of the program leads to; or the other way round.

    Attributes:
        path: its path there; `None` where the edge itself was not moved.
        below: the paths there of what was moved, and lies behind the edge here.
    """

    path: str | None
    below: tuple[str, ...] = ()


def moved_to(origins: Mapping[str, Origin]) -> dict[str, Origin]:
    """Return where the program has what stands at paths of the checkpoint.

    Args:
        origins: where the checkpoint has what stands at paths of the program.
    """
    moved = {o.path: today for today, o in origins.items() if o.path is not None}
    below: dict[str, list[str]] = {}
    for stored, today in moved.items():
        parts = stored.split("/")
        for length in range(1, len(parts)):
            below.setdefault("/".join(parts[:length]), []).append(today)
    return {path: Origin(moved.get(path), tuple(below.get(path, ()))) for path in (*moved, *below)}


@attrs.frozen(slots=True)
class _Graft:
    base: int | None
    children: Sequence[tuple[str, int]]
    origins: Mapping[str, Origin]


@final
class GraftedGraph:
    """A stored graph and the grafts of one restore. Nodes are numbers, as in the stored graph."""

    def __init__(self, stored: ObjectGraph) -> None:
        self.stored = stored
        self._size = len(stored)
        self._grafts: list[_Graft] = []

    def graft(
        self, base: int | None, children: Sequence[tuple[str, int]], origins: Mapping[str, Origin]
    ) -> int:
        """Make a graft and return its number.

        Args:
            base: the node whose values, kind and slots it has; it may be a graft itself.
            children: all its children.
            origins: where those were that were moved, by name.
        """
        if base is not None and base >= self._size:
            inner = self._grafts[base - self._size]
            base, origins = inner.base, {**inner.origins, **origins}
        self._grafts.append(_Graft(base, children, origins))
        return self._size + len(self._grafts) - 1

    def base(self, node: int) -> int:
        """Return the stored node that a node has its values from; itself if there is none."""
        if node < self._size:
            return node
        base = self._grafts[node - self._size].base
        return node if base is None else base

    def is_moved(self, node: int) -> bool:
        """Tell whether a node is a graft."""
        return node >= self._size

    def origin(self, node: int, name: str) -> Origin | None:
        """Return where the child of that name was, if it is there because of a graft."""
        return None if node < self._size else self._grafts[node - self._size].origins.get(name)

    def children(self, node: int) -> Sequence[tuple[str, int]]:
        """Return the (local name, node) pairs of a node's children."""
        if node < self._size:
            return self.stored.children(node)
        return self._grafts[node - self._size].children

    def keys(self, node: int) -> Sequence[str | int]:
        """Return the keys of a node's children, integers where they were integers."""
        if node < self._size:
            return self.stored.keys(node)
        graft = self._grafts[node - self._size]
        kept: dict[str, str | int] = {}
        if graft.base is not None:
            kept = {str(key): key for key in self.stored.keys(graft.base)}
        return [kept.get(name, name) for name, _ in graft.children]

    def kind(self, node: int) -> NodeKind:
        """Return what stood at a node; a graft without a base counts as an object."""
        base = self.base(node)
        return NodeKind.OBJECT if base >= self._size else self.stored.kind(base)

    def attributes(self, node: int) -> Sequence[Attribute]:
        """Return the values of a node."""
        base = self.base(node)
        return () if base >= self._size else self.stored.attributes(base)

    def attribute(self, node: int, name: str) -> Attribute | None:
        """Return the value of a node that is called `name`; `None` if there is none."""
        base = self.base(node)
        return None if base >= self._size else self.stored.attribute(base, name)

    def slot_variables(self) -> list[Slot]:
        """Return every slot variable."""
        return self.stored.slot_variables()
