"""Look into checkpoints without the program that saved them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.directory.latest import open_resolved, resolve
from checkpointable.errors import TensorNotFoundError, warn
from checkpointable.format.dtypes import BYTES, PYTHON, UNSIZED, numpy_dtype
from checkpointable.format.paths import paths_of
from checkpointable.format.records import Attribute, AttributeKind, ObjectGraph, Slot
from checkpointable.format.source import CheckpointSource, Finding
from checkpointable.graph.paths import values_by_key
from checkpointable.graph.tree import LEFT_OUT, build_tree
from checkpointable.interop.opening import verify_files
from checkpointable.names import (
    PY_STATE,
    SAVE_COUNTER,
    SLOTS,
    VARIABLE_VALUE,
    attribute_key,
    shorten,
)
from checkpointable.restore.lookup import find_node
from checkpointable.storage.base import PathLike
from checkpointable.storage.local import LOCAL

Array = npt.NDArray[Any]


@final
@attrs.frozen(repr=False)
class StoredTensor:
    """One tensor of an open checkpoint: read when it is asked for, whole or in part.

    Attributes:
        key: its key.
        shape: its shape.
        dtype: its dtype; `object` for strings.
    """

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _source: CheckpointSource
    _number: int

    def __getitem__(self, index: Any) -> Array:
        """Return a part of the tensor (basic indexing), reading only the bytes that it needs."""
        return self._source.read_slice(self._number, index)

    def numpy(self) -> Array:
        """Return the whole tensor as a new array."""
        if self._source.tensors[self._number].dtype == BYTES:
            whole = np.empty((), object)
            whole[()] = self._source.value(self._number)
            return whole
        return self._source.read(self._number)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.numpy().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<StoredTensor {shorten(self.key)} {self.dtype} {self.shape}>"


@final
class CheckpointReader:
    """An open checkpoint, read on demand; every byte that is read is verified.

    It holds the files open until `close`, or until it is dropped. Thread-safe. Use it as a
    context manager.

    Attributes:
        path: the prefix of the checkpoint.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(w=np.arange(6), step=3).write(directory + "/model")
        ...     with ckpt.load_checkpoint(path) as reader:
        ...         reader.keys(), reader["w"][2:4], reader["step"]
        (['w/.ATTRIBUTES/VARIABLE_VALUE'], array([2, 3]), 3)
    """

    def __init__(self, source: CheckpointSource) -> None:
        self._source = source
        self.path = source.path
        self._by_key = dict(values_by_key(source))

    def __repr__(self) -> str:
        return f"<CheckpointReader of {self.path}: {len(self.keys()):,} tensors>"

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What was saved with `SaveOptions(metadata=...)`."""
        return self._source.metadata

    @property
    def graph(self) -> ObjectGraph | None:
        """The stored object graph; `None` for a name-based checkpoint."""
        return self._source.graph

    def keys(self) -> list[str]:
        """Return the keys of all tensors, sorted."""
        tensors = self._source.tensors
        count, by_key = len(tensors), self._by_key.items()
        return sorted(k for k, value in by_key if value < count and tensors[value].dtype != PYTHON)

    def has_tensor(self, key: str) -> bool:
        """Tell whether there is a tensor of that key or object path."""
        value = self._find(key)
        return value is not None and self._is_tensor(value)

    def get_tensor(self, key: str) -> Array:
        """Return a tensor as a new array; strings as dtype object.

        Args:
            key: a key; or, of an object whose value it is, a path (any that leads to it from the
                root), or the global name, if no other has that.

        Raises:
            TensorNotFoundError: there is none.
            CorruptCheckpointError: it is damaged.
        """
        return self._tensor(key).numpy()

    def get_variable_to_shape_map(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all tensors by key."""
        tensors = self._source.tensors
        return {key: tensors[self._by_key[key]].shape for key in self.keys()}

    def get_variable_to_dtype_map(self) -> dict[str, np.dtype[Any]]:
        """Return the dtypes of all tensors by key."""
        tensors = self._source.tensors
        return {key: numpy_dtype(tensors[self._by_key[key]].dtype) for key in self.keys()}

    def debug_string(self) -> str:
        """Return one line for each tensor: key, dtype and shape."""
        tensors = [self._tensor(key) for key in self.keys()]
        return "\n".join(f"{t.key} ({t.dtype}) {list(t.shape)}" for t in tensors)

    def __getitem__(self, path: str) -> Any:
        """Return what stands there: a `StoredTensor`, or a plain value.

        Args:
            path: as in `get_tensor`.

        Raises:
            TensorNotFoundError: nothing with a value stands there.
        """
        value = self._find(path)
        if value is not None and self._source.is_plain(value):
            return self._source.value(value)
        return self._tensor(path)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._find(path) is not None

    def close(self) -> None:
        """Close the files; calling it twice is harmless."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _find(self, path: str) -> int | None:
        """Return the number of a value: by key, by any path, or by global name."""
        key = self._own_key(path)
        if key is not None:
            return self._by_key[key]
        graph = self.graph
        node = None if graph is None else find_node(graph, 0, path)[0]
        if graph is not None and node is not None:
            attribute = graph.attribute(node, VARIABLE_VALUE)
            if attribute is not None:
                return attribute.value
        named = self._source.names.get(path, ())
        return named[0] if len(named) == 1 else None

    def _own_key(self, path: str) -> str | None:
        """Return the key that is this path, or that of the value of the object there."""
        if path in self._by_key:
            return path
        key = attribute_key(path, VARIABLE_VALUE)
        return key if key in self._by_key else None

    def _is_tensor(self, value: int) -> bool:
        tensors = self._source.tensors
        return value < len(tensors) and tensors[value].dtype != PYTHON

    def _tensor(self, path: str) -> StoredTensor:
        value = self._find(path)
        if value is None or not self._is_tensor(value):
            what = "holds a plain value under" if value is not None else "holds no tensor"
            last = path.rpartition("/")[2]
            near = [k for k in self.keys() if last in k][:5] or self.keys()[:5]
            raise TensorNotFoundError(
                f"{self.path}: {what} {shorten(path)!r}. It holds {', '.join(near) or 'none'}."
                " See keys() for all."
            )
        info = self._source.tensors[value]
        key = self._own_key(path)
        if key is None:
            key = next(key for key, number in self._by_key.items() if number == value)
        return StoredTensor(key, info.shape, numpy_dtype(info.dtype), self._source, value)


def load_checkpoint(path: PathLike) -> CheckpointReader:
    """Open a checkpoint for reading its tensors one by one.

    Args:
        path: a checkpoint, or a directory: its newest one.

    Raises:
        CheckpointNotFoundError: there is none.
        CorruptCheckpointError: the index or the length of a file is wrong.
    """
    return CheckpointReader(_open(path))


def list_variables(path: PathLike) -> list[tuple[str, tuple[int, ...]]]:
    """Return the (key, shape) pairs of all tensors of a checkpoint, sorted.

    Args:
        path: a checkpoint, or a directory: its newest one.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError: as `load_checkpoint`.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(w=ckpt.Variable([1, 2])).write(directory + "/model")
        ...     ckpt.list_variables(path)
        [('w/.ATTRIBUTES/VARIABLE_VALUE', (2,))]
    """
    with load_checkpoint(path) as reader:
        return list(reader.get_variable_to_shape_map().items())


def load_variable(path: PathLike, name: str) -> Array:
    """Return one tensor of a checkpoint.

    Args:
        path: a checkpoint, or a directory: its newest one.
        name: its key, or the path of the object whose value it is; `:0` at its end does not count.

    Raises:
        TensorNotFoundError: there is none of that name.
        CheckpointNotFoundError, CorruptCheckpointError: as `load_checkpoint`.
    """
    with load_checkpoint(path) as reader:
        return reader.get_tensor(name if reader.has_tensor(name) else name.removesuffix(":0"))


def load(path: PathLike) -> Any:
    """Return a whole checkpoint as nested dicts, lists, tuples, arrays and plain values.

    Objects become dicts of their children; a Variable, or an array, becomes an array; what was
    shared is shared. The slot variables of an optimizer stand in its dict under
    `.OPTIMIZER_SLOT`: by the name of the slot, then by the path of the variable. A name-based
    checkpoint becomes one dict of arrays by name. No class of the program that saved it is needed.
    TensorFlow does not store what a container was: of its checkpoints, lists become dicts, too.
    What cannot be interpreted is left out, with a warning.

    Args:
        path: a checkpoint, or a directory: its newest one.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError: as `load_checkpoint`.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(layers=[{"w": ckpt.Variable([1])}], step=3).write(
        ...         directory + "/model"
        ...     )
        ...     ckpt.load(path)
        {'layers': [{'w': array([1])}], 'step': 3}
    """
    source = _open(path)
    try:
        if source.graph is None:
            return {name: source.read(numbers[0]) for name, numbers in source.names.items()}
        if source.unclear:
            _warn_of_unclear(source)
        return _Loader(source, source.graph).tree()
    finally:
        source.close()


def verify(path: PathLike) -> list[Finding]:
    """Read every byte of a checkpoint and return what is wrong with it; empty if nothing is.

    Args:
        path: a checkpoint, or a directory: its newest one.

    Raises:
        CheckpointNotFoundError: there is none. Damage is never raised, always returned.
    """
    return verify_files(LOCAL, resolve(path))


def _open(path: PathLike) -> CheckpointSource:
    return open_resolved(path)


def _warn_of_unclear(source: CheckpointSource) -> None:
    first, more = source.unclear[0], len(source.unclear) - 1
    others = f" ({more:,} more)" if more else ""
    warn(f"{source.path}: left out {first.what}: {first.reason}.{others}")


class _Loader:
    """Builds the tree of a whole checkpoint."""

    def __init__(self, source: CheckpointSource, graph: ObjectGraph) -> None:
        self._source = source
        self._graph = graph
        self._counter = dict(graph.children(0)).get(SAVE_COUNTER)
        self._arrays = self._read_all()
        self._slots = self._slots_by_optimizer()

    def tree(self) -> Any:
        """Return the tree below the root; the save counter is no part of it."""
        return build_tree(self._graph, 0, self._leaf, self._own_values)

    def _read_all(self) -> dict[int, Array]:
        """Read all tensors of fixed item size that the graph has, at once."""
        tensors, graph = self._source.tensors, self._graph
        values = np.unique(graph.attribute_values[graph.attribute_kinds != AttributeKind.PYTHON])
        numbers = [i for i in values.tolist() if tensors[i].dtype not in UNSIZED]
        arrays = [self._source.new_array(i) for i in numbers]
        self._source.read_into(numbers, arrays)
        return dict(zip(numbers, arrays, strict=True))

    def _leaf(self, node: int) -> Any:
        """Return the value of a node that is nothing else; the others are built."""
        if node == self._counter:
            return LEFT_OUT
        attributes = self._graph.attributes(node)
        if len(attributes) != 1 or self._graph.children(node) or node in self._slots:
            return NotImplemented
        is_value = attributes[0].name in (VARIABLE_VALUE, PY_STATE)
        return self._value(attributes[0]) if is_value else NotImplemented

    def _own_values(self, node: int) -> dict[str, Any]:
        """Return what an object's dict holds beside its children: values, and slot variables."""
        values = {a.name: self._value(a) for a in self._graph.attributes(node)}
        for slot, variable in self._slots.get(node, ()):
            attribute = self._graph.attribute(slot.slot_variable, VARIABLE_VALUE)
            if attribute is not None:
                by_name = values.setdefault(SLOTS, {}).setdefault(slot.slot_name, {})
                by_name[variable] = self._value(attribute)
        return values

    def _slots_by_optimizer(self) -> dict[int, list[tuple[Slot, str]]]:
        """Return the slot variables of each optimizer, with the paths of their variables."""
        found: dict[int, list[tuple[Slot, str]]] = {}
        slots = self._graph.slot_variables()
        if slots:
            paths, numbers = paths_of(self._graph)
            for slot in slots:
                row = (slot, paths.full(numbers[slot.variable]))
                found.setdefault(slot.optimizer, []).append(row)
        return found

    def _value(self, attribute: Attribute) -> Any:
        value = self._arrays.get(attribute.value)
        if value is not None:
            return value[()] if attribute.kind is AttributeKind.SCALAR else value
        if self._source.is_plain(attribute.value) or attribute.kind is AttributeKind.STATE:
            return self._source.value(attribute.value)
        return self._source.read(attribute.value)
