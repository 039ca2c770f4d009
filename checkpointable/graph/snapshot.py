"""The snapshot: what a walk found, written down as the records that one save writes.

Arrays are referred to, not copied. Whatever cannot be stored is refused here, before any file is
touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.limits import LONGEST_INLINE
from checkpointable.format.records import (
    NOTHING,
    AttributeKind,
    Blob,
    Column,
    KeyKind,
    NodeKind,
    ObjectGraph,
    Snapshot,
)
from checkpointable.format.strings import encode_strings
from checkpointable.format.values import encode_value
from checkpointable.graph.walk import Key, Walk
from checkpointable.names import (
    MAX_LOCAL_NAME,
    PY_STATE,
    VARIABLE_VALUE,
    attribute_key,
    check_local_name,
    shorten,
)
from checkpointable.trackable.arrays import array_refusal
from checkpointable.trackable.base import Trackable, Variable
from checkpointable.trackable.children import Kind, namedtuple_fields, type_name
from checkpointable.trackable.registry import own_tensors
from checkpointable.trackable.state import PythonState

_Tensor = npt.NDArray[Any] | Blob

_TRACKABLE: Final = Kind.TRACKABLE
_ADAPTED: Final = Kind.ADAPTED
_CONTAINERS: Final = (Kind.LIST, Kind.TUPLE, Kind.DICT)
_BY_KIND: Final = {
    Kind.TRACKABLE: NodeKind.OBJECT,
    Kind.ADAPTED: NodeKind.OBJECT,
    Kind.LIST: NodeKind.LIST,
    Kind.TUPLE: NodeKind.TUPLE,
    Kind.DICT: NodeKind.DICT,
}
# By the number of the kind: a dict would hash an Enum member, which is slow.
_NODE_KINDS: Final = (0, *(int(_BY_KIND.get(kind, NodeKind.VALUE)) for kind in Kind))
_LONGEST_LABEL: Final = 200


def take_snapshot(walk: Walk, metadata: Mapping[str, Any] | None = None) -> Snapshot:
    """Write down what a walk found.

    Callables given by `serialize_to_tensors`, and `PythonState.serialize`, are called once.

    Args:
        walk: what was found, just now: arrays are referred to, not copied.
        metadata: names and plain values to store beside the graph.

    Returns:
        the graph, the arrays and the encoded values.

    Raises:
        NotCheckpointableError: what was declared cannot be stored, or a Variable has no value.
    """
    walk.refuse_unsupported()
    names: dict[str, int] = {}
    values = _Values(walk, names)
    counts = [
        values.add(node, kind, obj)
        for node, (kind, obj) in enumerate(zip(walk.kinds, walk.objects, strict=True))
    ]
    graph = ObjectGraph(
        kinds=np.array([_NODE_KINDS[kind] for kind in walk.kinds], np.uint8),
        labels=_labels(walk, names),
        attribute_counts=_column(counts),
        **values.columns(),
        **_edges(walk, names),
        slots=_slots(walk, names),
        names=list(names),
    )
    return Snapshot(graph, values.tensors, values.inline, dict(metadata or {}))


def _number(names: dict[str, int], name: str) -> int:
    """Return the number of a name in the table, a new one if it is asked for the first time."""
    return names.setdefault(name, len(names))


class _Values:
    """The attributes of the nodes, in their order, and the values that these number."""

    def __init__(self, walk: Walk, names: dict[str, int]) -> None:
        self.tensors: list[_Tensor] = []
        self.inline: list[bytes] = []
        self._walk = walk
        self._names = names
        self._attribute_names: list[int] = []
        self._kinds = bytearray()
        self._numbers: list[int] = []
        self._full_names: list[int] = []
        self._by_type: dict[type[Any], Callable[[_Values, int, Any], int]] = {}

    def add(self, node: int, kind: Kind, value: Any) -> int:
        """Take down the values of a node, and return how many they are."""
        if kind is _TRACKABLE:
            take = self._by_type.get(type(value))
            if take is None:
                take = self._by_type[type(value)] = self._taker(type(value))
            return take(self, node, value)
        if kind in _CONTAINERS:
            return 0
        if kind is Kind.PLAIN:
            return self._add_plain(node, value)
        if kind is _ADAPTED:
            return self._add_adapted(node, value)
        of_kind = AttributeKind.ARRAY if kind is Kind.ARRAY else AttributeKind.SCALAR
        self._add_tensor(VARIABLE_VALUE, of_kind, _stored(np.asarray(value)))
        return 1

    def columns(self) -> dict[str, Column]:
        """Return the columns of the attributes, inline values numbered after the tensors."""
        numbers = np.array(self._numbers, np.int64)
        numbers[numbers < 0] = len(self.tensors) - 1 - numbers[numbers < 0]
        return {
            "attribute_names": _column(self._attribute_names),
            "attribute_kinds": np.frombuffer(bytes(self._kinds), np.uint8),
            "attribute_values": numbers.astype(np.uint32),
            "attribute_full_names": _column(self._full_names),
        }

    def _taker(self, cls: type[Trackable]) -> Callable[[_Values, int, Any], int]:
        """Return how the values of the objects of a class are taken down."""
        if cls.serialize_to_tensors is Variable.serialize_to_tensors:
            return _Values._add_variable
        if cls.serialize_to_tensors is not Trackable.serialize_to_tensors:
            return _Values._add_tensors
        return _Values._add_state if issubclass(cls, PythonState) else _nothing

    def _add_variable(self, node: int, variable: Variable) -> int:
        if not variable.initialized:
            remedy = "Assign one, or restore it"
            if variable.cell is not None:
                remedy = "Run status.run_restore_ops(), status.initialize_or_restore(), or its"
                remedy += " initializer in this session"
            raise self._refusal(node, f"is a Variable without a value. {remedy}, before saving")
        full_name = NOTHING
        name = variable.name
        if name is not None:
            self._check_name(node, name)
            full_name = _number(self._names, name)
        array = _stored(variable.storage_array())
        self._add_tensor(VARIABLE_VALUE, AttributeKind.VARIABLE, array, full_name)
        return 1

    def _add_plain(self, node: int, value: Any) -> int:
        try:
            data = encode_value(value)
        except NotCheckpointableError as error:
            raise self._refusal(node, f"cannot be stored: {error.message}") from None
        if len(data) > LONGEST_INLINE:
            self._add_tensor(VARIABLE_VALUE, AttributeKind.PYTHON, Blob("python", (), data))
            return 1
        self.inline.append(data)
        self._add(VARIABLE_VALUE, AttributeKind.PYTHON, -len(self.inline), NOTHING)
        return 1

    def _add_state(self, node: int, state: PythonState) -> int:
        data = self._ask(node, state.serialize)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise self._refusal(
                node, f"serializes itself to a {type_name(data)}. Return bytes from serialize()"
            )
        self._add_tensor(PY_STATE, AttributeKind.STATE, Blob("bytes", (), bytes(data)))
        return 1

    def _add_adapted(self, node: int, obj: Any) -> int:
        try:
            given = self._ask(node, partial(own_tensors, obj))
        except NotCheckpointableError as error:
            path = self._walk.paths.full(node)
            raise NotCheckpointableError(f"{shorten(path)}: {error.message}", path=path) from None
        both = [name for name, _ in self._walk.children[node] if name in given]
        if both:
            raise self._refusal(
                node, f"has a child and an array of its own called {both[0]!r}. Rename one of them"
            )
        return self._add_given(node, given)

    def _add_tensors(self, node: int, obj: Trackable) -> int:
        given = self._ask(node, obj.serialize_to_tensors)
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise self._refusal(
                node,
                "gives something else than a mapping of names. Return one from"
                " serialize_to_tensors()",
            )
        return self._add_given(node, given)

    def _add_given(self, node: int, given: Mapping[str, Any]) -> int:
        for name, value in given.items():
            array = self._ask(node, value) if callable(value) else value
            self._check_name(node, name)
            self._add_tensor(name, AttributeKind.TENSOR, self._tensor(node, name, array))
        return len(given)

    def _tensor(self, node: int, name: str, value: Any) -> _Tensor:
        """Return what an object gave as an array that can be stored."""
        try:
            array = np.asanyarray(value)
            reason = array_refusal(array)
        except (ValueError, TypeError) as error:
            reason = f"it is a {type_name(value)}, which is no array: {error}"
        if reason is not None:
            key = attribute_key(self._walk.paths.full(node), name)
            raise NotCheckpointableError(f"{shorten(key)}: {reason}.", path=key)
        return _stored(array)

    def _ask(self, node: int, question: Callable[[], Any]) -> Any:
        """Call a method of the user's class; what it raises says at which object."""
        try:
            return question()
        except Exception as error:
            error.add_note(f"while saving {self._walk.paths.shown(node)}")
            raise

    def _add_tensor(
        self, name: str, kind: AttributeKind, tensor: _Tensor, full_name: int = NOTHING
    ) -> None:
        self._add(name, kind, len(self.tensors), full_name)
        self.tensors.append(tensor)

    def _add(self, name: str, kind: AttributeKind, number: int, full_name: int) -> None:
        self._attribute_names.append(_number(self._names, name))
        self._kinds.append(kind)
        self._numbers.append(number)
        self._full_names.append(full_name)

    def _check_name(self, node: int, name: str) -> None:
        if not name.isascii() or len(name) > MAX_LOCAL_NAME:
            check_local_name(name, self._walk.paths.full(node))

    def _refusal(self, node: int, what: str) -> NotCheckpointableError:
        path = self._walk.paths.full(node)
        return NotCheckpointableError(f"{shorten(path)} {what}.", path=path)


def _nothing(_: _Values, __: int, ___: Any) -> int:
    return 0


def _stored(array: npt.NDArray[Any]) -> _Tensor:
    """Return an array as it is stored: texts are encoded, all else is left as it is."""
    if array.dtype.kind in ("O", "T"):
        return encode_strings(array)
    return array


def _labels(walk: Walk, names: dict[str, int]) -> Column:
    """Return the type labels of objects, and of containers that are of a subclass."""
    known: dict[type[Any], int] = {list: NOTHING, tuple: NOTHING, dict: NOTHING}
    labels = []
    for kind, obj in zip(walk.kinds, walk.objects, strict=True):
        label = NOTHING
        if kind is _TRACKABLE or kind is _ADAPTED or kind in _CONTAINERS:
            cls = type(obj)
            if cls not in known:
                text = cls.__qualname__[:_LONGEST_LABEL].encode(errors="replace").decode()
                known[cls] = _number(names, text)
            label = known[cls]
        labels.append(label)
    return _column(labels)


def _edges(walk: Walk, names: dict[str, int]) -> dict[str, Column]:
    """Return the columns of the edges; positions in lists and tuples have no names."""
    counts: list[int] = []
    nodes: list[int] = []
    name_numbers: list[int] = []
    key_kinds = bytearray()
    for node, (kind, edges) in enumerate(zip(walk.kinds, walk.children, strict=True)):
        if node in walk.places:
            edges = _with_holes(walk.objects[node], edges, walk.places[node])  # noqa: PLW2901
        counts.append(len(edges))
        is_dict = kind is Kind.DICT
        for name, child in edges:
            nodes.append(child)
            if type(name) is str:
                name_numbers.append(_number(names, name))
                key_kinds.append(KeyKind.STRING)
            else:
                name_numbers.append(_number(names, str(name)) if is_dict else NOTHING)
                key_kinds.append(KeyKind.INTEGER if is_dict else KeyKind.STRING)
    return {
        "child_counts": _column(counts),
        "child_nodes": _column(nodes),
        "child_names": _column(name_numbers),
        "key_kinds": np.frombuffer(bytes(key_kinds), np.uint8),
    }


def _slots(walk: Walk, names: dict[str, int]) -> Column:
    """Return the column of the slot variables."""
    rows = [
        (s.optimizer, s.variable, _number(names, s.slot_name), s.slot_variable) for s in walk.slots
    ]
    return _column([number for row in rows for number in row])


def _with_holes(
    container: Any, edges: Sequence[tuple[Key, int]], places: int
) -> list[tuple[Key, int]]:
    """Return the edges of a list or tuple with the places of what was not saved."""
    children = dict(edges)
    keys: Sequence[Key] = namedtuple_fields(container) or range(places)
    placed = [(key, children.pop(key, NOTHING)) for key in keys]
    return [*placed, *children.items()]


def _column(numbers: list[int]) -> Column:
    return np.array(numbers, np.uint32)
