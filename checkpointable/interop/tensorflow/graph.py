"""Reads TensorFlow's object graph into the columns of our own (T-12, T-13).

TensorFlow does not store what a node was. Without annotations every node is an object; what cannot
be interpreted is listed, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.format.dtypes import BYTES, PYTHON, STRING
from checkpointable.format.frame import corrupt
from checkpointable.format.records import AttributeKind, ObjectGraph, TensorInfo
from checkpointable.format.source import Unclear
from checkpointable.interop.tensorflow.annotating import annotated
from checkpointable.interop.tensorflow.annotations import EMPTY, TEXT, Annotations
from checkpointable.interop.tensorflow.graph_columns import GraphColumns
from checkpointable.interop.tensorflow.messages import parse
from checkpointable.names import PY_STATE, VARIABLE_VALUE

#: The key of the object graph among the tensors.
GRAPH_KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
#: The dtypes of plain values that are stored as scalars.
_PLAIN: Final = frozenset({"int64", "float64", "bool", STRING})


@attrs.frozen(eq=False)
class StoredGraph:
    """The object graph of a bundle.

    Attributes:
        graph: its nodes, edges and attributes; values are numbers of tensors.
        unclear: what the graph holds that cannot be interpreted.
        tensor_dtypes: by number, the dtype of scalars that are stored as strings and are none:
            "bytes" for what an object said of itself, "python" for an encoded value.
        texts: the numbers of the tensors whose strings are str.
        empty: the numbers of the encoded values that are `None` or an empty container.
        metadata: the user's metadata.
    """

    graph: ObjectGraph
    unclear: Sequence[Unclear] = ()
    tensor_dtypes: Mapping[int, str] = attrs.field(factory=dict)
    texts: frozenset[int] = frozenset()
    empty: frozenset[int] = frozenset()
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


def read_graph(
    data: bytes,
    number_of: Mapping[str, int],
    tensors: Sequence[TensorInfo],
    file: str,
    annotations: Annotations | None = None,
) -> StoredGraph:
    """Return the object graph in a TrackableObjectGraph message.

    Args:
        data: the message.
        number_of: the numbers of the tensors by key.
        tensors: their dtypes and shapes as they are stored; states and encoded values are strings.
        file: where it stands, for messages.
        annotations: what is said beside it, if the checkpoint has annotations.

    Raises:
        CorruptCheckpointError: it is none, or says what no graph can; or the annotations do not
            fit it.
        MissingDependencyError: the package protobuf is not installed.
    """
    columns = GraphColumns(number_of, file)
    columns.add_all(parse("TrackableObjectGraph", data, file, "the object graph").nodes)
    graph = columns.graph()
    if annotations is None:
        states = dict.fromkeys(_states(graph, tensors), BYTES)
        return StoredGraph(_guided(graph, states), columns.unclear, states)
    notes = annotations.graph
    if notes is None:
        raise corrupt(file, "T-14", "the annotations say nothing of the object graph")
    graph = annotated(graph, notes, file)
    texts, empty = (
        frozenset(graph.attribute_values[(notes.attributes & flag) != 0].tolist())
        for flag in (TEXT, EMPTY)
    )
    dtypes = _annotated_dtypes(graph, texts, tensors, file)
    if any(dtypes.get(value) != PYTHON for value in empty):
        raise corrupt(file, "T-14", "a tensor is annotated as empty and is no plain value")
    return StoredGraph(graph, columns.unclear, dtypes, texts, empty, annotations.metadata)


def _states(graph: ObjectGraph, tensors: Sequence[TensorInfo]) -> Iterator[int]:
    """Yield the numbers of what objects said of themselves: scalar strings under `py_state`."""
    if PY_STATE in graph.names:
        name = graph.names.index(PY_STATE)
        for value in graph.attribute_values[graph.attribute_names == name].tolist():
            if _is_scalar_string(tensors[value]):
                yield value


def _guided(graph: ObjectGraph, states: Mapping[int, str]) -> ObjectGraph:
    """Return a graph whose attributes are of the kinds that their names tell."""
    kinds = np.full(len(graph.attribute_names), AttributeKind.TENSOR, np.uint8)
    if VARIABLE_VALUE in graph.names:
        name = graph.names.index(VARIABLE_VALUE)
        kinds[graph.attribute_names == name] = AttributeKind.VARIABLE
    if states:
        kinds[np.isin(graph.attribute_values, list(states))] = AttributeKind.STATE
    return attrs.evolve(graph, attribute_kinds=kinds)


def _annotated_dtypes(
    graph: ObjectGraph, texts: frozenset[int], tensors: Sequence[TensorInfo], file: str
) -> dict[int, str]:
    """Return which scalar strings are none, having checked that values fit their kinds (T-14)."""
    if len(np.unique(graph.attribute_values)) != len(graph.attribute_values):
        raise corrupt(file, "T-14", "a tensor belongs to two attributes of the object graph")
    if any(tensors[value].dtype != STRING for value in texts):
        raise corrupt(file, "T-14", "a tensor is annotated as text and holds no strings")
    dtypes: dict[int, str] = {}
    kinds = graph.attribute_kinds.tolist()
    for kind, value in zip(kinds, graph.attribute_values.tolist(), strict=True):
        if kind not in (AttributeKind.PYTHON, AttributeKind.STATE):
            continue
        info = tensors[value]
        is_plain = info.dtype in _PLAIN and (value in texts) == (info.dtype == STRING)
        if _is_scalar_string(info) and value not in texts:
            dtypes[value] = PYTHON if kind == AttributeKind.PYTHON else BYTES
        elif kind == AttributeKind.STATE or info.shape or not is_plain:
            raise corrupt(
                file,
                "T-14",
                f"tensor {value} is annotated as a {AttributeKind(kind).name.lower()} value",
                expected="a scalar of a dtype for such values",
                found=f"{info.dtype} {info.shape}",
            )
    return dtypes


def _is_scalar_string(info: TensorInfo) -> bool:
    return info.dtype == STRING and info.shape == ()
