"""Writes down an object graph as TensorFlow does, with a key for every value (T-12 to T-14)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import BYTES, PYTHON, STRING
from checkpointable.format.paths import paths_of
from checkpointable.format.records import (
    NOTHING,
    Attribute,
    AttributeKind,
    Blob,
    Column,
    Divided,
    KeyKind,
    ObjectGraph,
    Snapshot,
    Streamed,
)
from checkpointable.format.values import decode_value, encode_value
from checkpointable.interop.tensorflow.annotations import (
    EMPTY,
    HOLE,
    INTEGER_KEY,
    NAMED_HOLE,
    POSITION,
    STRING_KEY,
    TEXT,
    Annotations,
    GraphNotes,
    encode_annotations,
)
from checkpointable.interop.tensorflow.messages import message
from checkpointable.names import PY_STATE, VARIABLE_VALUE, attribute_key, escape, shorten

Tensor = npt.NDArray[Any] | Blob | Divided | Streamed

#: The longest object graph, and the most bytes of keys: a message of protobuf must stay below
#: 2 GiB, and holds the keys.
_MOST_KEY_BYTES: Final = 2**30
#: TensorFlow takes what comes behind the first of these in a key for the name of a value.
_RESERVED: Final = ".ATTRIBUTES/"
_INTEGERS: Final = range(-(2**63), 2**63)
#: The first bytes of encoded bool, int, float and str values (F-38).
_HEADS_OF_SCALARS: Final = frozenset(
    (*range(0x80), *range(0xA0, 0xC0), 0xC2, 0xC3, *range(0xCB, 0xD4), *range(0xD9, 0xDC))
) | frozenset(range(0xE0, 0x100))
#: What fails no match wherever it is.
_EMPTY_VALUES: Final = frozenset(map(encode_value, (None, [], (), {}, set(), frozenset())))


@attrs.frozen(eq=False, slots=True)
class Keyed:
    """One tensor to be written, and its key.

    Attributes:
        key: in the bundle.
        tensor: an array, in slices or streamed too; a blob of dtype "string" (encoded as F-37
            says), or of another dtype, whose data are the one string of a scalar.
        number: its position among the tensors of the snapshot; -1 for a plain value, which stands
            elsewhere there.
    """

    key: str
    tensor: Tensor
    number: int


@attrs.frozen(eq=False)
class GraphMessage:
    """What a checkpoint with an object graph consists of.

    Attributes:
        tensors: all tensors of the graph, in the order of the nodes.
        graph: the TrackableObjectGraph message; a scalar string under `GRAPH_KEY`.
        annotations: what TensorFlow has no words for; a scalar string under `ANNOTATIONS_KEY`.
    """

    tensors: Sequence[Keyed]
    graph: bytes
    annotations: bytes


def graph_message(snapshot: Snapshot) -> GraphMessage:
    """Return what a checkpoint of TensorFlow's has to hold for a snapshot with an object graph.

    Raises:
        NotCheckpointableError: TensorFlow has no place for a name or value.
        MissingDependencyError: the package protobuf is not installed.
    """
    writing = _Writing(snapshot)
    return GraphMessage(writing.tensors, writing.message(), writing.annotations())


def name_annotations(snapshot: Snapshot) -> bytes | None:
    """Return what is said beside a name-based snapshot; `None` where nothing needs to be.

    Raises:
        NotCheckpointableError: an array mixes str and bytes, or the metadata cannot be stored.
    """
    texts = []
    for name, node in snapshot.graph.children(0):
        tensor = snapshot.tensors[snapshot.graph.attributes(node)[0].value]
        if isinstance(tensor, Blob) and _is_text(tensor, name):
            texts.append(name)
    if not texts and not snapshot.metadata:
        return None
    return encode_annotations(Annotations(snapshot.metadata, texts))


class _Writing:
    """A graph that is being written down.

    Attributes:
        tensors: all tensors, in the order of the nodes.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.tensors: list[Keyed] = []
        self._snapshot = snapshot
        self._graph = snapshot.graph
        self._paths, self._numbers = paths_of(snapshot.graph)
        self._keys: set[str] = set()
        self._room = _MOST_KEY_BYTES
        #: What `GraphNotes.attributes` says.
        self._kinds = bytearray()

    def message(self) -> bytes:
        """Return the graph, and list the tensors."""
        graph, whole = self._graph, message("TrackableObjectGraph")()
        have_values = _have_values(graph)
        nodes = [whole.nodes.add() for _ in range(len(graph))]
        for number, node in enumerate(nodes):
            for name, child in graph.children(number):
                node.children.add(node_id=child, local_name=name)
            for attribute in graph.attributes(number):
                self._add_attribute(node, number, attribute)
            node.has_checkpoint_values.value = bool(have_values[number])
        for slot in graph.slot_variables():
            nodes[slot.optimizer].slot_variables.add(
                original_variable_node_id=slot.variable,
                slot_name=slot.slot_name,
                slot_variable_node_id=slot.slot_variable,
            )
        return bytes(whole.SerializeToString(deterministic=True))

    def _add_attribute(self, node: Any, number: int, attribute: Attribute) -> None:
        path = self._paths.full(self._numbers[number])
        name, tensor, flags = self._stored(attribute, path)
        # TensorFlow writes a name that is escaped once more, but looks for this one.
        key = attribute_key(path, name)
        self._room -= len(key)
        if key in self._keys or self._room < 0 or _RESERVED in f"{path}/":
            raise self._refusal(key, path)
        self._keys.add(key)
        node.attributes.add(
            name=escape(name), full_name=attribute.full_name or "", checkpoint_key=key
        )
        self._kinds.append(attribute.kind | flags)
        in_snapshot = attribute.value < len(self._snapshot.tensors)
        self.tensors.append(Keyed(key, tensor, attribute.value if in_snapshot else -1))

    def _stored(self, attribute: Attribute, path: str) -> tuple[str, Tensor, int]:
        """Return under what name and as what a value is stored, and what else to say of it."""
        tensors, value = self._snapshot.tensors, attribute.value
        is_python = attribute.kind is AttributeKind.PYTHON
        if value >= len(tensors):
            return _stored_plain(self._snapshot.inline[value - len(tensors)])
        tensor = tensors[value]
        if isinstance(tensor, Blob) and is_python:
            return _stored_plain(tensor.data)
        is_text = isinstance(tensor, Blob) and _is_text(tensor, path)
        return attribute.name, tensor, TEXT if is_text else 0

    def annotations(self) -> bytes:
        """Return what TensorFlow has no words for; the message must have been made."""
        graph = self._graph
        table: dict[int, int] = {}
        for number in graph.labels[graph.labels != NOTHING].tolist():
            table.setdefault(number, len(table))
        numbers = [table.get(number, NOTHING) for number in graph.labels.tolist()]
        edges = _edges(graph)
        owners = np.repeat(np.arange(len(graph), dtype=np.uint32), graph.child_counts)
        named = graph.child_names[edges == NAMED_HOLE].tolist()
        notes = GraphNotes(
            kinds=graph.kinds,
            attributes=np.frombuffer(bytes(self._kinds), np.uint8),
            edges=edges,
            hole_owners=owners[edges >= HOLE],
            label_numbers=np.array(numbers, np.uint32),
            labels=[graph.names[number] for number in table],
            hole_names=[graph.names[number] for number in named],
        )
        return encode_annotations(Annotations(self._snapshot.metadata, (), notes))

    def _refusal(self, key: str, path: str) -> NotCheckpointableError:
        where = shorten(path)
        if self._room < 0:
            what = "the keys of all values take more than 1 GiB, which TensorFlow's format cannot"
            what += ' hold. Nest the objects less deeply, or save with format="native"'
        elif key not in self._keys:
            what = "TensorFlow cannot restore what lies behind a name that ends with '.ATTRIBUTES'."
            what += " Rename it"
        else:
            what = f"two values have the key {shorten(key)!r}, as TensorFlow spells it. Rename one"
        return NotCheckpointableError(f"{where}: {what}.", path=path)


def _stored_plain(data: bytes) -> tuple[str, Tensor, int]:
    """Return how an encoded plain value is stored: as a scalar of its kind, or as it is."""
    value = decode_value(data) if data[0] in _HEADS_OF_SCALARS else None
    if type(value) is bool or type(value) is float:
        return VARIABLE_VALUE, np.array(value), 0
    if type(value) is int and value in _INTEGERS:
        return VARIABLE_VALUE, np.array(value, np.int64), 0
    if type(value) is str:
        return VARIABLE_VALUE, Blob(BYTES, (), value.encode()), TEXT
    return PY_STATE, Blob(PYTHON, (), data), EMPTY if data in _EMPTY_VALUES else 0


def _is_text(tensor: Blob, path: str) -> bool:
    """Tell whether an array of strings holds str.

    Raises:
        NotCheckpointableError: it holds both str and bytes.
    """
    if tensor.dtype != STRING:
        return False
    kinds = set(tensor.data[: math.prod(tensor.shape)])  # 0 is str, 1 is bytes (F-37)
    if len(kinds) > 1:
        raise NotCheckpointableError(
            f"{shorten(path)}: an array holds both str and bytes, and strings are only bytes in"
            " TensorFlow's format. Encode the str, or decode the bytes.",
            path=path,
        )
    return kinds == {0}


def _edges(graph: ObjectGraph) -> Column:
    """Return what each edge and each hole is, see `GraphNotes`."""
    has_name, is_hole = graph.child_names != NOTHING, graph.child_nodes == NOTHING
    edges = np.where(has_name, STRING_KEY, POSITION).astype(np.uint8)
    edges[has_name & (graph.key_kinds == KeyKind.INTEGER)] = INTEGER_KEY
    edges[is_hole] = np.where(has_name[is_hole], NAMED_HOLE, HOLE)
    return edges


def _have_values(graph: ObjectGraph) -> bytearray:
    """Tell of each node whether it, or what it leads to, has values or slot variables.

    TensorFlow lets nothing wait for a node that says it has none.
    """
    owners = np.repeat(np.arange(len(graph)), graph.child_counts)
    parents: dict[int, list[int]] = {}
    for owner, child in zip(owners.tolist(), graph.child_nodes.tolist(), strict=True):
        parents.setdefault(child, []).append(owner)
    own = {*np.flatnonzero(graph.attribute_counts).tolist(), *graph.slots[::4].tolist()}
    found, queue = bytearray(len(graph)), [*own]
    while queue:
        node = queue.pop()
        if not found[node]:
            found[node] = True
            queue.extend(parents.get(node, ()))
    return found
