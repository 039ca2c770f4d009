"""The paths of a stored graph, and the order of its nodes."""

from hypothesis import given

from checkpointable.format.paths import paths_of
from checkpointable.trackable.base import Trackable, Variable
from tests.comparison.stored_slots import with_slots
from tests.comparison.test_addresses import graph_of, node
from tests.graph.models import graphs, naive_walk


@given(graphs())
def test_the_nodes_come_in_the_order_of_the_walk(root: Trackable) -> None:
    """Every node once, breadth-first, with its first path."""
    _, first, _ = naive_walk(root)
    paths, numbers = paths_of(graph_of(root))

    assert list(range(len(first))) == list(numbers)
    assert first == [paths.full(number) for number in numbers.values()]


def test_slot_variables_come_last() -> None:
    """Nodes to which only slots lead stand at the end, each once."""
    root = node(net=node(w=Variable(1.0)), adam=node(), s=Variable(2.0))
    graph = with_slots(root, [(2, 4, "m", 3), (2, 4, "v", 3)]).graph

    assert [0, 1, 2, 4, 3] == list(paths_of(graph)[1])
