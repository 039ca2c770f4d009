"""A naive model of the walk, and graphs to try it on."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from checkpointable.trackable.base import Trackable, Variable

NAMES = st.sampled_from(["a", "b", "w", "1", "", ".", "/", "a/b", "..S", "é☃", "x" * 300])


class Node(Trackable):
    """An object whose children are whatever is tracked."""


def is_shared(value: Any) -> bool:
    """Tell whether one value under two names is one node."""
    if isinstance(value, (list, tuple, dict)):
        return any(isinstance(v, (Trackable, np.ndarray)) for v in reached(value, []))
    return isinstance(value, (Trackable, np.ndarray))


def reached(value: Any, seen: list[Any]) -> list[Any]:
    """Return what is reached from a container through containers, by recursion."""
    if any(value is other for other in seen):
        return []
    seen.append(value)
    if not isinstance(value, (list, tuple, dict)):
        return [value]
    members = value.values() if isinstance(value, dict) else value
    return [inner for member in members for inner in reached(member, seen)]


def naive_children(value: Any) -> list[tuple[Any, Any]]:
    """Return the children of an object or container."""
    if isinstance(value, Variable):
        return []
    if isinstance(value, Trackable):
        return list(value.trackable_children().items())
    if not is_shared(value):
        return []
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def naive_escape(name: Any) -> str:
    """Escape a name letter by letter."""
    return "".join({".": "..", "/": ".S"}.get(letter, letter) for letter in str(name))


def naive_walk(root: Any) -> tuple[list[Any], list[str], list[list[tuple[Any, int]]]]:
    """Return objects, paths and children, comparing each object with all that were met."""
    objects, paths, children = [root], [""], []
    for number, value in enumerate(objects):
        edges = []
        for name, child in naive_children(value):
            met = [i for i, other in enumerate(objects) if other is child and is_shared(child)]
            if not met:
                met = [len(objects)]
                objects.append(child)
                parent = paths[number]
                paths.append(f"{parent}/{naive_escape(name)}" if number else naive_escape(name))
            edges.append((name, met[0]))
        children.append(edges)
    return objects, paths, children


@st.composite
def graphs(draw: st.DrawFn) -> Node:
    """Draw objects, lists, dicts, tuples, arrays and plain values, shared and in cycles."""
    nodes = [Node() for _ in range(draw(st.integers(1, 4)))]
    containers: list[Any] = [
        draw(st.sampled_from([list, dict]))() for _ in range(draw(st.integers(0, 3)))
    ]
    leaves = [Variable(1.0), np.arange(3), np.float32(1), 7, None, "text", [1, {"a": None}]]
    values = [*nodes, *containers, *leaves]
    values += [
        tuple(draw(st.lists(st.sampled_from(values), max_size=3)))
        for _ in range(draw(st.integers(0, 2)))
    ]
    pick = st.integers(0, len(values) - 1)
    for container in containers:
        for i in draw(st.lists(pick, max_size=3)):
            if isinstance(container, list):
                container.append(values[i])
            else:
                container[draw(NAMES)] = values[i]
        container.append(nodes[0]) if isinstance(container, list) else container.update(n=nodes[0])
    for node in nodes:
        for i in draw(st.lists(pick, max_size=4)):
            node.track(draw(NAMES), values[i], overwrite=True)
    return nodes[0]
