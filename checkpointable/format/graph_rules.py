"""The rules for names and for the object graph, checked on whole columns (F-14 to F-24)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

import numpy as np

from checkpointable.format.dtypes import BYTES, PYTHON
from checkpointable.format.frame import corrupt
from checkpointable.format.records import (
    NOTHING,
    AttributeKind,
    Column,
    KeyKind,
    NodeKind,
    ObjectGraph,
)
from checkpointable.format.tables import TensorTable
from checkpointable.names import MAX_LOCAL_NAME, VARIABLE_VALUE

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")
_VALUE_KINDS: Final = (AttributeKind.ARRAY, AttributeKind.SCALAR, AttributeKind.PYTHON)


def read_names(columns: dict[str, Column], file: str) -> list[str]:
    """Return the names; the memory that this takes is bounded since every name is used (F-14)."""
    lengths, data = columns["name_lengths"], columns["name_bytes"].tobytes()
    total = int(lengths.sum(dtype=np.uint64))
    if total != len(data):
        raise corrupt(
            file, "F-14", "the lengths of the names do not sum up", expected=len(data), found=total
        )
    slots = columns["slots"][2::4]
    used = np.zeros(len(lengths), dtype=bool)
    optional = ("labels", "child_names", "attribute_full_names")
    for column in (*(columns[name] for name in optional), columns["attribute_names"], slots):
        named = column[column != NOTHING]
        _check_below(named, len(lengths), "a name", file)
        used[named] = True
    if not used.all():
        raise corrupt(file, "F-14", f"name {int(used.argmin())} is not used")
    names = _split(data, np.cumsum(lengths, dtype=np.int64).tolist(), file)
    if len(set(names)) != len(names):
        raise corrupt(file, "F-14", "a name stands in the table twice")
    return names


def check_graph(graph: ObjectGraph, name_lengths: Column, file: str) -> None:
    """Check the nodes, edges, attributes and slot variables (F-14 to F-22, F-24)."""
    _check_sum(graph.child_counts, len(graph.child_nodes), "children", file)
    _check_sum(graph.attribute_counts, len(graph.attribute_names), "attributes", file)
    for column, kinds in (
        (graph.kinds, NodeKind),
        (graph.key_kinds, KeyKind),
        (graph.attribute_kinds, AttributeKind),
    ):
        if len(column) and int(column.max()) >= len(kinds):
            raise corrupt(
                file, "F-17", f"there is an unknown {kinds.__name__}", found=int(column.max())
            )
    slots = graph.slots.reshape(-1, 4)
    _check_below(graph.child_nodes[graph.child_nodes != NOTHING], len(graph), "a child", file)
    _check_below(graph.attribute_names, len(graph.names), "the name of an attribute", file)
    _check_below(slots[:, 2], len(graph.names), "the name of a slot", file)
    _check_below(slots[:, (0, 1, 3)], len(graph), "the node of a slot", file)
    _check_local_names(graph, slots, name_lengths, file)
    owners = np.repeat(np.arange(len(graph), dtype=np.uint32), graph.child_counts)
    _check_order(graph, owners, slots[:, 3], file)
    _check_edges(graph, owners, file)
    _check_attributes(graph, file)
    _check_slots(graph, slots, file)
    _check_name_based(graph, file)


def check_values(graph: ObjectGraph, tensors: TensorTable, inline: int, file: str) -> None:
    """Check that each value belongs to one attribute, of a kind that fits it (F-16, F-23)."""
    values, kinds = graph.attribute_values, graph.attribute_kinds
    count = len(tensors) + inline
    _check_below(values, count, "the value of an attribute", file)
    uses = np.bincount(values, minlength=count)
    if (uses != 1).any():
        number = int((uses != 1).argmax())
        raise corrupt(
            file,
            "F-23",
            f"value {number} does not belong to exactly one attribute",
            expected=1,
            found=int(uses[number]),
        )
    fitting = np.full(count, AttributeKind.PYTHON, dtype=np.uint8)
    other = NOTHING & 0xFF
    special = {PYTHON: int(AttributeKind.PYTHON), BYTES: int(AttributeKind.STATE)}
    by_dtype = np.array([special.get(name, other) for name in tensors.dtypes], dtype=np.uint8)
    fitting[: len(tensors)] = by_dtype[tensors.dtype_numbers]
    found = np.where(
        (kinds == AttributeKind.PYTHON) | (kinds == AttributeKind.STATE), kinds, np.uint8(other)
    )
    if (found != fitting[values]).any():
        raise corrupt(file, "F-23", "the kind of an attribute does not fit the dtype of its value")


def _split(data: bytes, ends: list[int], file: str) -> list[str]:
    """Return the texts that end at these positions."""
    edges = pairwise([0, *ends])
    try:
        if data.isascii():
            text = data.decode("ascii")
            return [text[start:end] for start, end in edges]
        return [data[start:end].decode() for start, end in edges]
    except UnicodeDecodeError:
        raise corrupt(file, "F-14", "a name is not valid UTF-8") from None


def _check_sum(counts: Column, expected: int, what: str, file: str) -> None:
    total = int(counts.sum(dtype=np.uint64))
    if total != expected:
        raise corrupt(
            file, "F-15", f"the numbers of {what} do not sum up", expected=expected, found=total
        )


def _check_below(column: Column, limit: int, what: str, file: str) -> None:
    if column.size and int(column.max()) >= limit:
        raise corrupt(
            file,
            "F-16",
            f"the number of {what} is out of range",
            expected=f"below {limit}",
            found=int(column.max()),
        )


def _check_local_names(graph: ObjectGraph, slots: Column, name_lengths: Column, file: str) -> None:
    for column in (
        graph.child_names[graph.child_names != NOTHING],
        graph.attribute_names,
        slots[:, 2],
    ):
        longest = int(name_lengths[column].max(initial=0))
        if longest > MAX_LOCAL_NAME:
            raise corrupt(
                file, "F-14", "a local name is too long", expected=MAX_LOCAL_NAME, found=longest
            )


def _check_order(graph: ObjectGraph, owners: Column, slot_variables: Column, file: str) -> None:
    """Check that the nodes are numbered breadth-first, which also shows that all are reached."""
    owners = np.concatenate([owners, np.zeros_like(slot_variables)])
    shown = np.concatenate([graph.child_nodes, slot_variables])
    owners, shown = owners[shown != NOTHING], shown[shown != NOTHING]
    highest = np.maximum.accumulate(shown)
    first = np.flatnonzero(shown > np.concatenate([shown[:0], [0], highest[:-1]])[: len(shown)])
    ordered = np.array_equal(shown[first], np.arange(1, len(graph)))
    if not ordered or (owners[first] >= shown[first]).any():
        raise corrupt(file, "F-18", "the nodes are not numbered breadth-first, or not all reached")


def _check_edges(graph: ObjectGraph, owners: Column, file: str) -> None:
    """Check the names and keys of the children (F-19 to F-21)."""
    kinds = graph.kinds[owners]
    ordered = (kinds == NodeKind.LIST) | (kinds == NodeKind.TUPLE)
    named = graph.child_names != NOTHING
    root = int(graph.child_counts[0])
    named_counts = np.bincount(owners[named], minlength=len(graph))
    some = (named_counts > 0) & (named_counts < graph.child_counts)
    wrong = [
        (named[root:] & (kinds[root:] == NodeKind.LIST)).any(),
        (some[1:] & (graph.kinds[1:] == NodeKind.TUPLE)).any(),
        (~named & ~ordered).any(),
        (named[: max(root - 1, 0)] & ~named[1:root]).any(),
        ((graph.child_nodes == NOTHING) & ~ordered).any(),
    ]
    if any(wrong):
        what = (
            "an item of a list has a name",
            "some items of a tuple have a name and some have none",
            "a child has no name",
            "the root has a child without a name after one with a name",
            "a child of an object or dict is missing",
        )
        raise corrupt(file, "F-19", what[wrong.index(True)])
    _check_unique(owners[named], graph.child_names[named], "F-20", "two children", file)
    unnamed = int(root - named[:root].sum())
    for number in graph.child_names[unnamed:root].tolist():
        name = graph.names[number]
        if _INTEGER.fullmatch(name) and 0 <= int(name) < unnamed:
            raise corrupt(file, "F-20", "two children of node 0 have one name", found=name)
    integers = graph.key_kinds == KeyKind.INTEGER
    if (integers & (kinds != NodeKind.DICT)).any():
        raise corrupt(file, "F-21", "a child of a node that is no dict has an integer key")
    for number in np.unique(graph.child_names[integers]).tolist():
        if not _INTEGER.fullmatch(graph.names[number]):
            raise corrupt(
                file,
                "F-21",
                "an integer key is no integer",
                expected="decimal digits",
                found=repr(graph.names[number][:40]),
            )


def _check_attributes(graph: ObjectGraph, file: str) -> None:
    """Check which nodes have which attributes (F-22)."""
    owners = np.repeat(np.arange(len(graph), dtype=np.uint32), graph.attribute_counts)
    _check_unique(owners, graph.attribute_names, "F-22", "two attributes", file)
    container = np.isin(graph.kinds, (NodeKind.LIST, NodeKind.TUPLE, NodeKind.DICT))
    value = graph.kinds == NodeKind.VALUE
    if (graph.attribute_counts[container] != 0).any():
        raise corrupt(file, "F-22", "a list, tuple or dict has an attribute")
    if (graph.attribute_counts[value] != 1).any() or graph.child_counts[value].any():
        raise corrupt(file, "F-22", "a value has children, or not exactly one attribute")
    of_value = value[owners]
    names = set(graph.attribute_names[of_value].tolist())
    wrong_name = any(graph.names[number] != VARIABLE_VALUE for number in names)
    if wrong_name or not np.isin(graph.attribute_kinds[of_value], _VALUE_KINDS).all():
        raise corrupt(file, "F-22", "the attribute of a value has another name or kind")


def _check_slots(graph: ObjectGraph, slots: Column, file: str) -> None:
    """Check that slot variables are told apart, and hang on what edges lead to (F-24)."""
    if (slots[:, 3:] == slots[:, :2]).any():
        raise corrupt(file, "F-24", "a slot variable is its own variable or optimizer")
    # Nodes to which no edge leads come last.
    last = int(graph.child_nodes[graph.child_nodes != NOTHING].max(initial=0))
    if (slots[:, :2] > last).any():
        raise corrupt(file, "F-24", "no edge leads to the variable or optimizer of a slot variable")
    if len(np.unique(slots[:, :3], axis=0)) != len(slots):
        raise corrupt(file, "F-24", "a variable has two slot variables of one name")


def _check_name_based(graph: ObjectGraph, file: str) -> None:
    """Check that a root of kind names has arrays under names, and nothing else (F-45)."""
    if (graph.kinds[1:] == NodeKind.NAMES).any():
        raise corrupt(file, "F-45", "a node other than the root is of kind names")
    if int(graph.kinds[0]) != NodeKind.NAMES:
        return
    wrong = [
        int(graph.attribute_counts[0]) != 0,
        len(graph.child_nodes) != len(graph) - 1 or len(graph.slots) != 0,
        (graph.kinds[1:] != NodeKind.VALUE).any(),
        (graph.attribute_kinds != AttributeKind.ARRAY).any(),
        (graph.attribute_full_names != NOTHING).any(),
    ]
    if any(wrong):
        what = (
            "the root of kind names has an attribute",
            "a name-based checkpoint has further edges or slot variables",
            "a name leads to something else than a value",
            "a value of a name-based checkpoint is no array",
            "a value of a name-based checkpoint has a second name",
        )
        raise corrupt(file, "F-45", what[wrong.index(True)])


def _check_unique(owners: Column, names: Column, rule: str, what: str, file: str) -> None:
    pairs = np.sort((owners.astype(np.uint64) << np.uint64(32)) | names)
    twice = np.flatnonzero(pairs[1:] == pairs[:-1])
    if twice.size:
        node = int(pairs[twice[0]]) >> 32
        raise corrupt(file, rule, f"{what} of node {node} have one name")
