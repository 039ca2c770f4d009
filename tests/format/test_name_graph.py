"""Names become trees, and every name leads to its value again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from checkpointable.format.name_graph import graph_of_names
from checkpointable.format.records import NodeKind, ObjectGraph


def values_of(graph: ObjectGraph, separator: str) -> dict[str, int]:
    """Return the values of a tree by the names that lead there, which are its edges joined."""
    found: dict[str, int] = {}
    nodes: list[tuple[int, list[str]]] = [(0, [])]
    while nodes:
        node, parts = nodes.pop()
        for attribute in graph.attributes(node):
            found[separator.join(parts)] = attribute.value
        nodes += [(child, [*parts, name]) for name, child in graph.children(node)]
    return found


@given(st.lists(st.text("ab.", max_size=7), unique=True, max_size=20))
def test_every_name_leads_to_its_value(names: list[str]) -> None:
    """Whatever names there are, also those with empty parts, each has its value and no other."""
    numbers = {name: i for i, name in enumerate(names)}
    graph = graph_of_names(numbers, ".")

    assert numbers == values_of(graph, ".")
    assert [*range(1, len(graph))] == graph.child_nodes.tolist()


def test_a_value_may_have_children() -> None:
    """A name that is also the beginning of others is an object with a value, in either order."""
    for names in ({"a": 0, "a.b": 1}, {"a.b": 1, "a": 0}):
        graph = graph_of_names(names, ".")

        assert (NodeKind.OBJECT, NodeKind.VALUE) == (graph.kind(1), graph.kind(2))
        assert [0] == [attribute.value for attribute in graph.attributes(1)]
