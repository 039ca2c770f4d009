"""Random object graphs, drawn as plain records from which either library builds its objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from hypothesis import strategies as st

import checkpointable as ckpt
from tests.interop.mirror import Node

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda name: not name.startswith("_") and name not in _TAKEN
)
#: Attributes of a `tf.Module`, and the names that a Checkpoint itself needs.
_TAKEN = frozenset(
    ["name", "name_scope", "variables", "trainable_variables", "submodules", "save_counter", "root"]
)
_DTYPES = ("float32", "float64", "int64", "int8", "bool", "complex64", "uint16")
_SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@attrs.frozen
class Drawn:
    """A graph: node 0 is the root; a node has a value or edges.

    Attributes:
        values: dtype and shape of each node that has a value; `None` for objects.
        edges: owner, name, target.
    """

    values: list[tuple[str, tuple[int, ...]] | None]
    edges: list[tuple[int, str, int]]

    def build(
        self, new_object: Callable[[], Any], new_variable: Callable[[Any], Any], seed: int
    ) -> Any:
        """Return the objects of this graph, in the order of its nodes."""
        random = np.random.default_rng(seed)
        nodes = [
            new_object() if value is None else new_variable(_content(random, *value))
            for value in self.values
        ]
        for owner, name, target in self.edges:
            setattr(nodes[owner], name, nodes[target])
        return nodes


@st.composite
def graphs(draw: st.DrawFn) -> Drawn:
    """Draw a graph: a tree, so that all is reached, and further edges wherever they lead."""
    size = draw(st.integers(1, 8))
    values: list[Any] = [None]
    edges: dict[tuple[int, str], int] = {}
    for _node in range(1, size + 1):
        owners = [n for n, value in enumerate(values) if value is None]
        owner, name = draw(st.sampled_from(owners)), draw(_NAMES)
        if (owner, name) not in edges:
            edges[owner, name] = len(values)
            values.append(draw(st.none() | st.tuples(st.sampled_from(_DTYPES), _SHAPES)))
    owners = [n for n, value in enumerate(values) if value is None]
    for _ in range(draw(st.integers(0, 5))):
        edge = draw(st.sampled_from(owners)), draw(_NAMES)
        edges.setdefault(edge, draw(st.integers(1, len(values) - 1)))
    return Drawn(values, [(owner, name, target) for (owner, name), target in edges.items()])


def _content(random: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    return np.asarray(random.integers(0, 100, shape)).astype(dtype)


def ours(drawn: Drawn, seed: int) -> tuple[ckpt.Checkpoint, list[Any]]:
    """Return the graph in objects of ours."""
    nodes = drawn.build(Node, ckpt.Variable, seed)
    return ckpt.Checkpoint(model=nodes[0]), nodes


def theirs(tf: Any, drawn: Drawn, seed: int) -> tuple[Any, list[Any]]:
    """Return the graph in objects of TensorFlow's."""
    nodes = drawn.build(tf.Module, tf.Variable, seed)
    return tf.train.Checkpoint(model=nodes[0]), nodes


def values(drawn: Drawn, nodes: list[Any]) -> list[Any]:
    """Return the values of all nodes that have one."""
    return [
        np.asarray(nodes[n].numpy()) for n, value in enumerate(drawn.values) if value is not None
    ]
