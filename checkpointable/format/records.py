"""What a checkpoint says, in memory: the object graph, the tensors, and what is to be written.

The graph is kept in columns, as it is on disk: a million nodes are a handful of arrays.
Nothing here knows bytes (`format/index.py` does) or live objects (`graph/` does).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]

#: A place in a list or tuple whose item was not saved; an absent name or label.
NOTHING: Final = 0xFFFF_FFFF


class NodeKind(IntEnum):
    """What stood at a node when it was saved."""

    OBJECT = 0  #: a Trackable: children under names
    LIST = 1  #: children under their positions; names are not stored
    TUPLE = 2  #: as LIST; a namedtuple has the names of its fields
    DICT = 3  #: children under string or integer keys
    VALUE = 4  #: an array or a plain value; one attribute, no children
    NAMES = 5  #: the root of a name-based checkpoint: arrays under their global names


class KeyKind(IntEnum):
    """Of what type the key of a child was."""

    STRING = 0
    INTEGER = 1


class AttributeKind(IntEnum):
    """What the value of an attribute was in the program."""

    VARIABLE = 0  #: the array of a `Variable`
    ARRAY = 1  #: a numpy array
    SCALAR = 2  #: a numpy scalar
    PYTHON = 3  #: a plain Python value
    STATE = 4  #: the bytes of a `PythonState`
    TENSOR = 5  #: what an object's `serialize_to_tensors` gave


# Looking a member up in a tuple is several times as fast as calling the class.
_NODE_KINDS: Final = tuple(NodeKind)
_ATTRIBUTE_KINDS: Final = tuple(AttributeKind)


@attrs.frozen(slots=True)
class Attribute:
    """One value of a node.

    Attributes:
        name: what the value is called at its node.
        kind: what it was in the program.
        value: the number of the value: below the number of tensors, that tensor; from there on,
            that inline Python value.
        full_name: the global name of the variable, for name-based matching.
    """

    name: str
    kind: AttributeKind
    value: int
    full_name: str | None = None


@attrs.frozen(slots=True)
class Slot:
    """A slot variable: what the optimizer keeps for a variable under a name (node numbers)."""

    optimizer: int
    variable: int
    slot_name: str
    slot_variable: int

    @property
    def ends(self) -> tuple[int, int]:
        """The nodes that it hangs on: the variable and the optimizer."""
        return self.variable, self.optimizer


@attrs.frozen(slots=True)
class TensorInfo:
    """The dtype (a name of the closed table in `format/dtypes.py`) and shape of a stored tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@attrs.frozen(slots=True)
class Blob:
    """A value without fixed item size, ready to be written as a tensor of its own.

    Attributes:
        dtype: "string", "python" or "bytes".
        shape: the shape of a string array; `()` for the others.
        data: the encoded bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@attrs.frozen(slots=True, eq=False)
class Divided:
    """A tensor that is given, and written, in several slices.

    Attributes:
        shape: of the whole.
        dtype: of every slice.
        starts: for each slice, its first position in every dimension; in ascending order.
        slices: the arrays, which together fill the whole and do not overlap.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    starts: Sequence[tuple[int, ...]]
    slices: Sequence[npt.NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """The bytes of the whole."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for start, part in zip(self.starts, self.slices, strict=True):
            place = tuple(slice(n, n + size) for n, size in zip(start, part.shape, strict=True))
            whole[place] = part
        return whole


@attrs.frozen(slots=True, eq=False)
class Streamed:
    """A tensor that is read while it is written, so that it is never in memory as a whole.

    Whoever writes it takes the blocks one after the other and lets go of each before it asks for
    the next. It may ask for all of them again, to hash them first.

    Attributes:
        dtype: of every element; its items are of fixed size.
        shape: of the whole.
        blocks: returns an iterator over the bytes, in C order and little-endian, together `nbytes`
            of them: flat buffers of at most a few MiB, none of which changes later. What it raises
            ends the save. A later call gives the same bytes again.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[memoryview]]

    @property
    def nbytes(self) -> int:
        """The length of the tensor in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        data = np.frombuffer(b"".join(self.blocks()), np.uint8)
        whole = data.view(self.dtype.newbyteorder("<")).reshape(self.shape)
        return whole.astype(self.dtype if dtype is None else dtype, copy=False)


@attrs.frozen(slots=False, eq=False)
class ObjectGraph:
    """The nodes, named edges and attributes of a checkpoint, as columns. Node 0 is the root.

    Attributes:
        names: every string of the graph once; other columns hold positions in it.
        kinds: uint8 per node, a `NodeKind`.
        labels: uint32 per node: an inert type label for people, or NOTHING.
        child_counts: uint32 per node.
        attribute_counts: uint32 per node.
        child_nodes: uint32 per edge, the edges of node 0 first; NOTHING where the item of a list
            or tuple was not saved.
        child_names: uint32 per edge; NOTHING where the name is the position.
        key_kinds: uint8 per edge, a `KeyKind`.
        attribute_names: uint32 per attribute, those of node 0 first.
        attribute_kinds: uint8 per attribute, an `AttributeKind`.
        attribute_values: uint32 per attribute, see `Attribute.value`.
        attribute_full_names: uint32 per attribute, or NOTHING.
        slots: uint32, four per slot variable: optimizer, variable, name, slot variable.
    """

    names: Sequence[str]
    kinds: Column
    labels: Column
    child_counts: Column
    attribute_counts: Column
    child_nodes: Column
    child_names: Column
    key_kinds: Column
    attribute_names: Column
    attribute_kinds: Column
    attribute_values: Column
    attribute_full_names: Column
    slots: Column

    def __len__(self) -> int:
        return len(self.kinds)

    def kind(self, node: int) -> NodeKind:
        """Return what stood at the node."""
        return _NODE_KINDS[self._kinds[node]]

    def label(self, node: int) -> str | None:
        """Return the type label of the node: for people, never acted upon."""
        number = int(self.labels[node])
        return None if number == NOTHING else self.names[number]

    def children(self, node: int) -> list[tuple[str, int]]:
        """Return the (local name, node) pairs of a node's children, in the order of saving."""
        start, end = self._child_starts[node], self._child_starts[node + 1]
        if start == end:
            return []
        nodes, names, table = self._child_nodes, self._child_names, self.names
        return [
            (str(i - start) if names[i] == NOTHING else table[names[i]], nodes[i])
            for i in range(start, end)
            if nodes[i] != NOTHING
        ]

    def keys(self, node: int) -> list[str | int]:
        """Return the keys of a node's children as they were: integers where they were integers.

        A list's or tuple's are all its positions, those of items that were not saved included.
        """
        start, end = self._child_starts[node], self._child_starts[node + 1]
        names, table, kinds = self._child_names, self.names, self.key_kinds
        return [
            i - start
            if names[i] == NOTHING
            else int(table[names[i]])
            if kinds[i] == KeyKind.INTEGER
            else table[names[i]]
            for i in range(start, end)
        ]

    def attributes(self, node: int) -> list[Attribute]:
        """Return the values of a node."""
        start, end = self._attribute_starts[node], self._attribute_starts[node + 1]
        return [self._attribute(i) for i in range(start, end)]

    def attribute(self, node: int, name: str) -> Attribute | None:
        """Return the value of a node that is called `name`; `None` if there is none."""
        names, table = self._attribute_columns[0], self.names
        for i in range(self._attribute_starts[node], self._attribute_starts[node + 1]):
            if table[names[i]] == name:
                return self._attribute(i)
        return None

    def slot_variables(self) -> list[Slot]:
        """Return every slot variable."""
        rows = self.slots.reshape(-1, 4).tolist()
        return [Slot(o, v, self.names[name], s) for o, v, name, s in rows]

    @property
    def is_name_based(self) -> bool:
        """Whether this is no graph but the table of names of a name-based checkpoint (F-45)."""
        return self.kind(0) is NodeKind.NAMES

    def global_names(self) -> dict[str, tuple[int, ...]]:
        """Return the values of each global name, see `Attribute`."""
        if self.is_name_based:
            return {name: (self.attributes(node)[0].value,) for name, node in self.children(0)}
        found: dict[str, tuple[int, ...]] = {}
        for i in np.flatnonzero(self.attribute_full_names != NOTHING).tolist():
            attribute = self._attribute(i)
            name = attribute.full_name or ""
            found[name] = (*found.get(name, ()), attribute.value)
        return found

    def _attribute(self, i: int) -> Attribute:
        names, kinds, values, full_names = self._attribute_columns
        full_name = None if full_names[i] == NOTHING else self.names[full_names[i]]
        return Attribute(self.names[names[i]], _ATTRIBUTE_KINDS[kinds[i]], values[i], full_name)

    # Python lists, made once: reading one item of a numpy column costs ten times as much.

    @cached_property
    def _kinds(self) -> list[int]:
        return list(self.kinds.tolist())

    @cached_property
    def _child_nodes(self) -> list[int]:
        return list(self.child_nodes.tolist())

    @cached_property
    def _child_names(self) -> list[int]:
        return list(self.child_names.tolist())

    @cached_property
    def _child_starts(self) -> list[int]:
        return _starts(self.child_counts)

    @cached_property
    def _attribute_starts(self) -> list[int]:
        return _starts(self.attribute_counts)

    @cached_property
    def _attribute_columns(self) -> tuple[list[int], list[int], list[int], list[int]]:
        return (
            self.attribute_names.tolist(),
            self.attribute_kinds.tolist(),
            self.attribute_values.tolist(),
            self.attribute_full_names.tolist(),
        )


@attrs.frozen(eq=False)
class Snapshot:
    """What one save writes: the graph, its values and the user's metadata.

    Attributes:
        graph: nodes, edges and attributes.
        tensors: arrays of any byte order and stride, blobs, arrays in slices, or tensors that are
            read meanwhile; `Attribute.value` counts them.
        inline: encoded Python values of at most 4 KiB, numbered after the tensors.
        metadata: names and plain values.
    """

    graph: ObjectGraph
    tensors: Sequence[npt.NDArray[Any] | Blob | Divided | Streamed]
    inline: Sequence[bytes]
    metadata: Mapping[str, Any]


def _starts(counts: Column) -> list[int]:
    return [0, *np.cumsum(counts, dtype=np.int64).tolist()]
