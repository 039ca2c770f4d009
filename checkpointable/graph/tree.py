"""Build plain containers from a stored graph: what `load` returns, what fills an empty place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.records import NodeKind


class Nodes(Protocol):
    """A stored graph: its nodes are numbers, 0 is the root."""

    def kind(self, node: int, /) -> NodeKind:
        """Return what stood at a node."""

    def children(self, node: int, /) -> Sequence[tuple[str, int]]:
        """Return the names and nodes of a node's children."""

    def keys(self, node: int, /) -> Sequence[str | int]:
        """Return the keys of a node's children."""


#: What a leaf gives that is to be left out.
LEFT_OUT: Final = object()


def build_tree(
    graph: Nodes,
    root: int,
    leaf: Callable[[int], Any],
    own_values: Callable[[int], Mapping[str, Any]] = lambda _: {},
) -> Any:
    """Return the subtree below a node as dicts, lists and tuples; shared nodes stay shared.

    Args:
        graph: the stored graph.
        root: the node to begin with.
        leaf: gives the value of a node, `LEFT_OUT` to leave it out, or `NotImplemented` to have
            it built from its children (an object becomes a dict).
        own_values: gives what an object's dict holds beside its children.
    """
    built: dict[int, Any] = {}
    tuples: list[int] = []
    shells: list[int] = []
    queue = deque([root])
    while queue:
        node = queue.popleft()
        if node in built:
            continue
        built[node] = leaf(node)
        if built[node] is not NotImplemented:
            continue
        kind = graph.kind(node)
        if kind is NodeKind.TUPLE:
            tuples.append(node)
        else:
            built[node] = [] if kind is NodeKind.LIST and not _has_names(graph, node, leaf) else {}
            shells.append(node)
        queue.extend(child for _, child in graph.children(node))
    for node in _inner_first(graph, tuples, built):
        built[node] = tuple(item for _, item in _items(graph, node, built))
    for node in shells:
        shell, items = built[node], _items(graph, node, built)
        if isinstance(shell, list):
            shell.extend(item for key, item in items if isinstance(key, int))
        else:
            shell.update(own_values(node))
            shell.update(items)
    return built[root]


def _has_names(graph: Nodes, node: int, leaf: Callable[[int], Any]) -> bool:
    """Tell whether a list has named edges beside its items, as only a root can have."""
    children = dict(graph.children(node)) if node == 0 else {}
    return any(
        isinstance(key, str) and leaf(children[key]) is not LEFT_OUT
        for key in (graph.keys(node) if children else ())
    )


def _items(graph: Nodes, node: int, built: dict[int, Any]) -> Iterator[tuple[Any, Any]]:
    """Return keys and values; the place of what is left out of a list or tuple holds None."""
    children = dict(graph.children(node))
    keeps_places = graph.kind(node) in (NodeKind.LIST, NodeKind.TUPLE)
    for key in graph.keys(node):
        child = children.get(str(key))
        value = built[child] if child is not None else LEFT_OUT
        if value is not LEFT_OUT:
            yield key, value
        elif keeps_places:
            yield key, None


def _inner_first(graph: Nodes, tuples: list[int], built: dict[int, Any]) -> Iterator[int]:
    """Yield tuple nodes so that a tuple comes after those that it holds."""
    done: set[int] = set()
    for start in tuples:
        stack = [(start, False)]
        open_nodes: set[int] = set()
        while stack:
            node, expanded = stack.pop()
            if node in done:
                continue
            if expanded:
                done.add(node)
                open_nodes.discard(node)
                yield node
                continue
            if node in open_nodes:
                raise CorruptCheckpointError(
                    f"node {node}: a tuple holds itself, which no program can have saved.",
                    expected="tuples without cycles",
                    found=f"a cycle through node {node}",
                )
            open_nodes.add(node)
            stack.append((node, True))
            stack.extend((c, False) for _, c in graph.children(node) if built[c] is NotImplemented)
