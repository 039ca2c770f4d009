"""Addresses: one number for one first way, in all graphs that share the table."""

import tracemalloc

from hypothesis import given

from checkpointable.comparison.addresses import Addresses, locate
from checkpointable.format.records import ObjectGraph
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from checkpointable.names import shorten
from checkpointable.trackable.base import Trackable, Variable
from tests.comparison.stored_slots import with_slots
from tests.graph.models import Node, graphs, naive_walk


def node(**children: object) -> Trackable:
    """Return an object with these children."""
    made = Node()
    for name, child in children.items():
        made.track(name, child)
    return made


def graph_of(root: object) -> ObjectGraph:
    """Return the graph of a live root."""
    return take_snapshot(walk(root)).graph


@given(graphs())
def test_the_paths_are_those_of_the_walk(root: Trackable) -> None:
    """Every node has the address of its first way, and is found there, and no two have one."""
    _, paths, children = naive_walk(root)
    addresses = Addresses()
    located = locate(graph_of(root), addresses)

    assert list(range(len(paths))) == list(located.by_node)
    assert [shorten(path) if path else "" for path in paths] == [
        addresses.path(address) for address in located.by_node.values()
    ]
    assert len(paths) == len(set(located.by_node.values()))
    for number, edges in enumerate(children):
        for name, child in edges:
            way = addresses.child(located.by_node[number], str(name))
            assert child == located.find(way)
        assert located.find(addresses.child(located.by_node[number], "no such name")) is None


def test_two_graphs_share_the_numbers() -> None:
    """Equal ways have equal numbers, whatever the order of names; others have others."""
    addresses = Addresses()
    one = locate(graph_of(node(a=node(x=1.0), b=node(y=1.0))), addresses)
    two = locate(graph_of(node(b=node(x=1.0), a=node(x=1.0))), addresses)
    paths = {addresses.path(n) for n in {*one.by_address} & {*two.by_address}}

    assert {"", "a", "b", "a/x"} == paths


def test_the_save_counter_has_no_address() -> None:
    """The counter of the root is left out; another object of that name is not."""
    inner = node(save_counter=Variable(1))
    located = locate(graph_of(node(save_counter=Variable(2), inner=inner)), Addresses())

    assert ["", "inner", "inner/save_counter"] == [
        located.addresses.path(address) for address in located.by_node.values()
    ]


def test_an_empty_name_below_the_root_is_another_address() -> None:
    """The child called "" stands beside the root, and one called "(root)" is no root."""
    located = locate(graph_of(node(**{"": 1.0, "(root)": 2.0})), Addresses())

    assert [0, 1, 2] == list(located.by_node.values())
    assert ["", "", "(root)"] == [located.addresses.path(n) for n in (0, 1, 2)]


def test_slot_variables_stand_at_their_slots() -> None:
    """A slot variable has the path of its variable, its optimizer and the name of the slot."""
    root = node(net=node(w=Variable(1.0)), adam=node(rate=0.1), s1=Variable(2.0))
    graph = with_slots(root, [(2, 4, "m/1", 3)]).graph
    located = locate(graph, Addresses())

    assert ["", "net", "adam", "net/w", "adam/rate"] == [
        located.addresses.path(located.by_node[n]) for n in (0, 1, 2, 4, 5)
    ]
    assert "net/w/.OPTIMIZER_SLOT/adam/m.S1" == located.addresses.path(located.by_node[3])
    again = locate(graph, located.addresses)
    assert located.by_node == again.by_node
    assert {address: n for n, address in again.by_node.items()} == again.by_address


def test_a_long_chain_takes_little_memory() -> None:
    """The addresses of 20,000 objects in a chain take memory in proportion to their number."""
    root = inner = node()
    for _ in range(20_000):
        inner = inner.track("next", node())
    graph = graph_of(root)
    graph.children(0)
    tracemalloc.start()
    located = locate(graph, Addresses())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 20_001 == len(located.by_node)
    assert peak < 20_000 * 1000
    assert 20_000 == located.find(located.by_node[20_000])
