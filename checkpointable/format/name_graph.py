"""Names as a graph: the table of a name-based checkpoint, or the tree that names are as paths."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpointable.format.records import NOTHING, AttributeKind, NodeKind, ObjectGraph
from checkpointable.names import VARIABLE_VALUE

#: What lies below a name: a number where there is nothing but a value, else the children; their own
#: value, where there is one, stands under `None`. Many thousand leaves are no objects of their own.
_Tree = dict[str | None, Any]


def table_of_names(names: Iterable[str]) -> ObjectGraph:
    """Return the table of a name-based checkpoint; values are numbered as the names come (F-45)."""
    return _graph({name: i for i, name in enumerate(names)}, NodeKind.NAMES)


def graph_of_names(names: Mapping[str, int], separator: str = "/") -> ObjectGraph:
    """Return the graph that names would be as paths, such as `layer/w`; values by their number.

    A name may lead to a value and to further names.
    """
    root: _Tree = {}
    for name, number in names.items():
        *parts, last = name.split(separator)
        tree = root
        for part in parts:
            below = tree.get(part)
            if type(below) is not dict:
                below = tree[part] = {} if below is None else {None: below}
            tree = below
        below = tree.get(last)
        if below is None:
            tree[last] = number
        else:
            below[None] = number
    return _graph(root, NodeKind.OBJECT)


def _graph(root: _Tree, kind: NodeKind) -> ObjectGraph:
    """Return a tree as a graph, its nodes numbered breadth-first."""
    names: dict[str, int] = {}
    kinds, values, value_counts, child_counts = [int(kind)], list[int](), [0], [len(root)]
    child_names: list[int] = []
    queue = deque([root])
    while queue:
        for name, below in queue.popleft().items():
            if name is None:
                continue
            child_names.append(names.setdefault(name, len(names)))
            own = below
            if type(below) is dict:
                queue.append(below)
                own = below.get(None)
                child_counts.append(len(below) - (own is not None))
                kinds.append(NodeKind.OBJECT)
            else:
                child_counts.append(0)
                kinds.append(NodeKind.VALUE)
            value_counts.append(own is not None)
            if own is not None:
                values.append(own)
    own_name = names.setdefault(VARIABLE_VALUE, len(names)) if values else 0
    return ObjectGraph(
        names=list(names),
        kinds=np.array(kinds, np.uint8),
        labels=_filled(len(kinds), NOTHING),
        child_counts=_column(child_counts),
        attribute_counts=_column(value_counts),
        child_nodes=np.arange(1, len(kinds), dtype=np.uint32),
        child_names=_column(child_names),
        key_kinds=np.zeros(len(child_names), np.uint8),
        attribute_names=_filled(len(values), own_name),
        attribute_kinds=np.full(len(values), AttributeKind.ARRAY, np.uint8),
        attribute_values=_column(values),
        attribute_full_names=_filled(len(values), NOTHING),
        slots=_column([]),
    )


def _filled(count: int, value: int) -> npt.NDArray[Any]:
    return np.full(count, value, np.uint32)


def _column(numbers: Sequence[int]) -> npt.NDArray[Any]:
    return np.array(numbers, np.uint32)
