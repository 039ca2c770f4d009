"""What a saver does: gathers values by name and writes them, reads them and gives them back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.bundle.commit import begin
from checkpointable.directory.latest import open_resolved
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import numpy_dtype
from checkpointable.format.records import Divided, TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.graph.named import divided, named_snapshot
from checkpointable.interop.writing import write_checkpoint
from checkpointable.name_based.saveable import PlainSaveable, SaveableObject, SaveSpec
from checkpointable.options import SaveOptions
from checkpointable.restore.books import next_order
from checkpointable.restore.by_name import NamedTarget, restore_by_name
from checkpointable.session.graph import Graph, Operation
from checkpointable.session.session import Session, get_default_session
from checkpointable.storage.base import Storage
from checkpointable.trackable.base import Variable, tracking_of
from checkpointable.trackable.save_slice import SaveSlice

_Array = npt.NDArray[Any]


#: Writes values; see `SaverBuilder.save`.
Write = Callable[[Sequence[SaveableObject]], None]


class Read(Protocol):
    """Checks and reads values; see `SaverBuilder.restore`."""

    def __call__(self, saveables: Sequence[SaveableObject], /, *, one_by_one: bool) -> None:
        """Read the values of some saveables."""


class Hooks(Protocol):
    """What a builder may change of the work."""

    def save(self, filename: str, saveables: Sequence[SaveableObject], write: Write) -> None:
        """Write the values."""

    def restore(self, filename: str, saveables: Sequence[SaveableObject], read: Read) -> None:
        """Read the values."""


@attrs.frozen(eq=False, kw_only=True)
class SaverWork:
    """What the operations of one saver do.

    Attributes:
        saveables: what is saved and restored.
        hooks: the builder.
        graph: the graph whose sessions hold the values; `None` in eager execution.
        reshape: whether values come back into other shapes of the same size.
        sharded: whether each device has a shard of its own.
        sequential: whether values are read one at a time.
        filename: where the operations save when a session runs them by themselves.
        options: how to write.
        storage: where to.
    """

    saveables: Sequence[SaveableObject]
    hooks: Hooks
    graph: Graph | None
    reshape: bool
    sharded: bool
    sequential: bool
    filename: str
    options: SaveOptions
    storage: Storage

    def save(self, session: Session | None, prefix: str) -> str:
        """Write a checkpoint; return its path: a pattern if it is sharded, but not TensorFlow's.

        Raises:
            CheckpointError: as `Saver.save`.
            RuntimeError: the builder wrote nothing, or more than once.
        """
        written: list[int] = []
        with _default(session):
            self.hooks.save(
                prefix,
                self.saveables,
                lambda saveables: written.append(self._write(prefix, saveables)),
            )
        if len(written) != 1:
            raise RuntimeError(
                f"{prefix}: the save() of a {type(self.hooks).__qualname__} wrote {len(written)}"
                " times. It is to call write(...) once."
            )
        if self.sharded and self.options.format != "tensorflow":  # which opens no pattern
            return f"{prefix}-?????-of-{written[0]:05d}"
        return prefix

    def restore(self, session: Session | None, path: str) -> None:
        """Read a checkpoint into what is saved here.

        Raises:
            CheckpointError: as `Saver.restore`.
        """
        with _default(session):
            source = open_resolved(path, storage=self.storage)
            try:
                self.hooks.restore(
                    source.path,
                    self.saveables,
                    lambda saveables, *, one_by_one: self._read(source, saveables, one_by_one),
                )
            finally:
                source.close()

    def _write(self, prefix: str, saveables: Sequence[SaveableObject]) -> int:
        """Write the values of some saveables; return how many shards there are."""
        _require_values(prefix, saveables)
        values, groups = _gather(saveables)
        snapshot = named_snapshot(values, self.options.metadata)
        with begin(self.storage, prefix, self.options, numbered=False) as commit:
            return write_checkpoint(commit, snapshot, self.options, groups if self.sharded else ())

    def _read(
        self, source: CheckpointSource, saveables: Sequence[SaveableObject], one_by_one: bool
    ) -> None:
        """Check everything, read everything, then let the saveables with methods take theirs."""
        hand_over: list[Callable[[], None]] = []
        targets: list[NamedTarget] = []
        for saveable in saveables:
            if isinstance(saveable, PlainSaveable):
                targets += map(_place, saveable.specs)
            else:
                buffers = [_Buffer(spec, source) for spec in saveable.specs]
                targets += [buffer.target() for buffer in buffers]
                hand_over.append(partial(self._hand_over, saveable, buffers))
        restore_by_name(
            source,
            targets,
            shapes="reshape" if self.reshape else "exact",
            one_by_one=one_by_one or self.sequential,
        )
        for give in hand_over:
            give()

    def _hand_over(self, saveable: SaveableObject, buffers: Sequence[_Buffer]) -> None:
        """Let a saveable take back its values; run the operation that it may return."""
        shapes = [np.shape(spec.value()) for spec in saveable.specs] if self.reshape else None
        returned = saveable.restore([buffer.array for buffer in buffers], shapes)
        session = get_default_session()
        if session is not None and isinstance(returned, Operation):
            session.run(returned)


class _Buffer:
    """An array of its own for one tensor of a saveable that takes its values by a method."""

    def __init__(self, spec: SaveSpec, source: CheckpointSource) -> None:
        self._spec = spec
        numbers = source.names.get(spec.name)
        stored = source.tensors[numbers[0]] if numbers else TensorInfo("float32", ())
        self._dtype = _dtype(spec) or numpy_dtype(stored.dtype)
        self._shape = stored.shape
        part = spec.slice_spec
        #: What is read.
        self.array = np.empty((), self._dtype)
        if part is not None:
            self.array = np.empty(np.shape(spec.value()), self._dtype)
        elif numbers:
            self.array = np.empty_like(source.new_array(numbers[0]), self._dtype)

    def target(self) -> NamedTarget:
        """Return where the tensor is read to: whatever shape it has, but for slices."""
        name, part = self._spec.name, self._spec.slice_spec
        shape = self._shape if part is None else part.full_shape
        bounds = None if part is None else _bounds(part, self.array.shape)
        return NamedTarget(name, name, self._dtype, shape, bounds, lambda: self.array, lambda: None)


def _place(spec: SaveSpec) -> NamedTarget:
    """Return where a Variable or an array is restored."""
    tensor = spec.tensor
    given: Callable[[], None] = _nothing
    if isinstance(tensor, Variable):
        like, array, given = tensor.pattern_array(), tensor.storage_array, partial(_given, tensor)
    else:
        like, array = spec.value(), spec.value
        if not like.flags.writeable:
            raise NotCheckpointableError(
                f"{spec.name}: the array is read-only, so nothing can be restored into it. Give a"
                " Variable, or an array that is writable.",
                path=spec.name,
            )
    part = spec.slice_spec
    shape = like.shape if part is None else part.full_shape
    bounds = None if part is None else _bounds(part, like.shape)
    return NamedTarget(spec.name, spec.name, like.dtype, shape, bounds, array, given)


def _given(variable: Variable) -> None:
    """Note that a Variable has its value, from a later restore than those that wait (R-11)."""
    variable.mark_initialized()
    if variable.cell is None:
        tracking_of(variable).restored = next_order()


def _nothing() -> None:
    """Do nothing once a value has been given."""


def _bounds(part: SaveSlice, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(n, n + size) for n, size in zip(part.offset, shape, strict=True))


def _dtype(spec: SaveSpec) -> np.dtype[Any] | None:
    """Return the dtype that a tensor must have, if the spec says so."""
    return spec.tensor.dtype if isinstance(spec.tensor, Variable) else spec.dtype


def _require_values(prefix: str, saveables: Sequence[SaveableObject]) -> None:
    """Refuse to save Variables without a value.

    Raises:
        NotCheckpointableError: names them.
    """
    specs = [spec for saveable in saveables for spec in saveable.specs]
    missing = [s.name for s in specs if isinstance(s.tensor, Variable) and not s.tensor.initialized]
    if missing:
        more = f" and {len(missing) - 10:,} more" if len(missing) > 10 else ""
        raise NotCheckpointableError(
            f"{prefix}: nothing was saved, because {len(missing):,} of {len(specs):,} values are"
            f" not there yet: {', '.join(missing[:10])}{more}. Assign or restore them first; in a"
            " graph, run session.run(variable.initializer).",
            path=missing[0],
        )


def _gather(
    saveables: Sequence[SaveableObject],
) -> tuple[dict[str, _Array | Divided], list[int]]:
    """Return the values by name, and for each piece of them the number of its device."""
    specs: defaultdict[str, list[SaveSpec]] = defaultdict(list)
    for saveable in saveables:
        for spec in saveable.specs:
            specs[spec.name].append(spec)
    devices = sorted({spec.shard_device for own in specs.values() for spec in own})
    values: dict[str, _Array | Divided] = {}
    groups: list[int] = []
    for name, own in specs.items():
        arrays = [spec.value() for spec in own]
        whole = own[0].slice_spec
        if whole is None:
            values[name] = arrays[0]
        else:
            starts = [s.slice_spec.offset for s in own if s.slice_spec is not None]
            slices = list(zip(starts, arrays, strict=True))
            values[name] = divided(name, whole.full_shape, slices)
        number = {id(a): devices.index(s.shard_device) for a, s in zip(arrays, own, strict=True)}
        value = values[name]
        pieces = value.slices if isinstance(value, Divided) else [value]
        groups += [number.get(id(piece), 0) for piece in pieces]
    return values, groups


def _default(session: Session | None) -> AbstractContextManager[Any]:
    return nullcontext() if session is None else session.as_default()
