"""Names as a graph: the table of a name-based checkpoint, or the tree that names are as paths."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.records import NOTHING, AttributeKind, NodeKind, ObjectGraph
from checkpointable.names import VARIABLE_VALUE


def table_of_names(names: Iterable[str]) -> ObjectGraph:
    """Return the table of a name-based checkpoint; values are numbered as the names come (F-45)."""
    leaves = _Node(children={name: _Node(value=i) for i, name in enumerate(names)})
    return _graph(leaves, NodeKind.NAMES)


def graph_of_names(names: Mapping[str, int], separator: str = "/") -> ObjectGraph:
    """Return the graph that names would be as paths, such as `layer/w`; values by their number.

    A name may lead to a value and to further names.
    """
    root = _Node()
    for name, number in names.items():
        node = root
        for part in name.split(separator):
            child = node.children.get(part)
            if child is None:
                child = node.children[part] = _Node()
            node = child
        node.value = number
    return _graph(root, NodeKind.OBJECT)


@attrs.define(eq=False, slots=True)
class _Node:
    """A node of a graph that is being made: the number of its value, and its children."""

    value: int | None = None
    children: dict[str, _Node] = attrs.field(factory=dict)


def _graph(root: _Node, kind: NodeKind) -> ObjectGraph:
    """Return a tree as a graph, its nodes numbered breadth-first."""
    names: dict[str, int] = {}
    nodes = [root]
    queue = deque(nodes)
    child_nodes: list[int] = []
    child_names: list[int] = []
    while queue:
        node = queue.popleft()
        for name, child in node.children.items():
            child_nodes.append(len(nodes))
            child_names.append(names.setdefault(name, len(names)))
            nodes.append(child)
            queue.append(child)
    values = [node.value for node in nodes if node.value is not None]
    own = names.setdefault(VARIABLE_VALUE, len(names)) if values else 0
    kinds = [int(NodeKind.OBJECT if n.children else NodeKind.VALUE) for n in nodes]
    return ObjectGraph(
        names=list(names),
        kinds=np.array([kind, *kinds[1:]], np.uint8),
        labels=_filled(len(nodes), NOTHING),
        child_counts=_column([len(node.children) for node in nodes]),
        attribute_counts=_column([node.value is not None for node in nodes]),
        child_nodes=_column(child_nodes),
        child_names=_column(child_names),
        key_kinds=np.zeros(len(child_nodes), np.uint8),
        attribute_names=_filled(len(values), own),
        attribute_kinds=np.full(len(values), AttributeKind.ARRAY, np.uint8),
        attribute_values=_column(values),
        attribute_full_names=_filled(len(values), NOTHING),
        slots=_column([]),
    )


def _filled(count: int, value: int) -> npt.NDArray[Any]:
    return np.full(count, value, np.uint32)


def _column(numbers: Sequence[int]) -> npt.NDArray[Any]:
    return np.array(numbers, np.uint32)
