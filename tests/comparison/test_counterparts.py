"""Stored nodes and live objects are matched by name, breadth-first."""

from typing import Any

import numpy as np
from hypothesis import given

from checkpointable.comparison.counterparts import Conflict, find_counterparts
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from checkpointable.trackable.base import Trackable, Variable
from tests.comparison.test_addresses import graph_of, node
from tests.graph.models import graphs, is_shared, naive_walk


def naive_match(stored: Any, live: Any) -> dict[int, Any]:
    """Match by names, asking each graph for its children by recursion."""
    _, _, children = naive_walk(stored)
    objects, _, live_children = naive_walk(live)
    numbers = {0: 0}
    for number in (queue := [0]):
        names = {str(name): child for name, child in live_children[numbers[number]]}
        for name, child in children[number]:
            if str(name) in names and child not in numbers:
                numbers[child] = names[str(name)]
                queue.append(child)
    return {number: objects[other] for number, other in numbers.items()}


@given(graphs(), graphs())
def test_matched_as_a_naive_model_matches(stored: Trackable, live: Trackable) -> None:
    """The matches are those of a model that follows the names one by one."""
    found = walk(live)
    expected = naive_match(stored, live)
    matched = find_counterparts(graph_of(stored), found).nodes

    assert list(expected) == list(matched)
    for number, obj in expected.items():
        actual = found.objects[matched[number]]
        assert obj is actual if is_shared(obj) else repr(obj) == repr(actual)


@given(graphs())
def test_a_graph_matches_itself(root: Trackable) -> None:
    """Matched with itself, every node finds itself, without a conflict."""
    graph, found = graph_of(root), walk(root)
    matched = find_counterparts(graph, found)

    assert {n: n for n in range(len(graph))} == matched.nodes
    assert [] == matched.conflicts


def test_conflicts_name_both_ways() -> None:
    """One stored object, two live ones: the first is matched, and the other named."""
    shared = Variable(1.0)
    stored = node(a=node(w=shared), b=node(w=shared))
    first = Variable(1.0)
    found = walk(node(a=node(w=first), b=node(w=Variable(1.0))))
    matched = find_counterparts(graph_of(stored), found)

    assert [Conflict("b/w", "a/w")] == matched.conflicts
    assert first is found.objects[matched.nodes[3]]


def test_one_live_object_may_stand_for_several_nodes() -> None:
    """What the program shares and the checkpoint does not is no conflict."""
    shared = Variable(1.0)
    found = walk(node(a=shared, b=shared))
    matched = find_counterparts(graph_of(node(a=Variable(1.0), b=Variable(1.0))), found)

    assert {0: 0, 1: 1, 2: 1} == matched.nodes
    assert [] == matched.conflicts


def test_integer_keys_are_matched_by_their_decimals() -> None:
    """The key 1 of a dict, the key "1" of another and position 1 of a list are one name."""
    one = np.zeros(1)
    stored = take_snapshot(walk([{1: one}, one])).graph

    assert {0: 0, 1: 1, 2: 2} == find_counterparts(stored, walk({"0": {"1": one}, "1": one})).nodes
