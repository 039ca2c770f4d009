"""Give live objects the values that a plan decided on: the only place where a restore changes them.

Tensors come first, in bulk and verified on the way; then what runs code of the user's classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.format.dtypes import UNSIZED, item_size, numpy_dtype
from checkpointable.format.records import TensorInfo
from checkpointable.format.source import CheckpointSource
from checkpointable.restore.books import Books
from checkpointable.restore.places import Names, Place
from checkpointable.restore.plan import Array, Give, Issue, Plan, is_read_target
from checkpointable.restore.rebinding import Rebinding
from checkpointable.trackable.slots import keep_slot

#: How many bytes of values that must be converted are held at a time.
_CONVERTED_AT_ONCE: Final = 64 << 20


@attrs.frozen(slots=True)
class Refused:
    """A value that code of the user's class refused: a validator, a setter, its own method.

    Attributes:
        path: the number of its path.
        node: the stored node.
        place: the object and the names of the live value.
        error: what was raised.
    """

    path: int
    node: int
    place: tuple[Any, Names]
    error: Exception | None = None

    def issue(self) -> Issue:
        """Return how the report names it."""
        reason = f"the object refused the stored value: {type(self.error).__name__}: {self.error}"
        return Issue(self.path, reason, self.node)


@attrs.define(slots=True)
class Assignment:
    """One run of giving values.

    Attributes:
        done: the path numbers of what was given, in order; exact when an error ends the run.
        refused: what code of the user's refused, with the errors; the others are given.
        values: what became of stored arrays and foreign objects: node, value, and its place.
    """

    books: Books
    done: list[int] = attrs.field(factory=list)
    values: list[tuple[int, Any, Place | None]] = attrs.field(factory=list)
    refused: list[Refused] = attrs.field(factory=list)

    def run(self, plan: Plan) -> None:
        """Give everything that the plan holds.

        Raises:
            CorruptCheckpointError, StorageError: a value could not be read.
        """
        source = self.books.checkpoint.reopened()
        rebinding = Rebinding(plan.again, plan.rebuilds)
        direct: list[Give] = []
        others: list[Give] = []
        for give in plan.gives:
            (direct if _is_direct(give) else others).append(give)
        self._read(source, direct, [g.target for g in direct if g.target is not None])
        for give in direct:
            self._arrived(give, give.target)
        for give, value in self._other_values(source, others):
            self._hand_over(give, value, rebinding)
        for slot in plan.slots:
            keep_slot(slot.optimizer, slot.variable, slot.name, slot.live)
        for tensors in plan.tensors:
            values = {name: _read_any(source, n) for name, n in tensors.numbers.items()}
            refused = Refused(tensors.path, tensors.node, (tensors.live, ()))
            if self._call(refused, partial(tensors.receive, values)):
                self.done.append(tensors.path)
        for foreign in plan.rebuilds:
            foreign.values.update((n, _read_any(source, i)) for n, i in foreign.numbers.items())
        for fill in plan.fills:
            refused = Refused(fill.path, fill.node, (fill.place.owner, fill.place.names))
            if self._call(refused, partial(fill.finish, rebinding.put)):
                self.done.append(fill.path)
        rebinding.finish(self._call_at)
        foreign_objects = (f for f in plan.rebuilds if f.node >= 0)
        self.values.extend((f.node, rebinding.now(f.live), f.place) for f in foreign_objects)

    def _read(self, source: CheckpointSource, gives: list[Give], targets: list[Array]) -> None:
        done: list[int] = []
        try:
            source.read_into([g.number for g in gives], targets, done)
        except BaseException:
            given = (gives[i] for i in done if gives[i].target is targets[i])
            self.done.extend(g.path for g in given if g.node != self.books.counter)
            raise

    def _other_values(
        self, source: CheckpointSource, gives: list[Give]
    ) -> Iterator[tuple[Give, Any]]:
        """Yield what is not read straight into a live array, in bounded batches."""
        batch: list[Give] = []
        size = 0
        for give in gives:
            info = give.info
            if info is None or info.dtype in UNSIZED:
                yield give, give.plain if info is None else source.read(give.number)
                continue
            batch.append(give)
            size += info.size * item_size(info.dtype)
            if size >= _CONVERTED_AT_ONCE:
                yield from self._read_batch(source, batch)
                batch, size = [], 0
        yield from self._read_batch(source, batch)

    def _read_batch(
        self, source: CheckpointSource, batch: list[Give]
    ) -> Iterator[tuple[Give, Array]]:
        arrays = [_empty(g.info) for g in batch if g.info is not None]
        self._read(source, batch, arrays)
        yield from zip(batch, arrays, strict=True)

    def _hand_over(self, give: Give, value: Any, rebinding: Rebinding) -> None:
        if give.convert is not None:
            value = give.convert(value)
        if give.target is not None:
            target = give.target
            np.copyto(target, np.asarray(value).reshape(target.shape), casting="unsafe")
            value = target
        for place in give.places:
            refused = Refused(give.path, give.node, (place.owner, place.names))
            if not self._call(refused, partial(rebinding.put, place, value, give.path)):
                return
        if give.receive is not None:
            give.receive(value)
        self._arrived(give, value)

    def _arrived(self, give: Give, value: Any) -> None:
        if give.node != self.books.counter and give.receive is None:
            self.done.append(give.path)
        if give.given is not None:
            give.given()
        elif give.node >= 0 and isinstance(value, np.ndarray):
            self.values.append((give.node, value, None))

    def _call_at(self, path: int, place: Place, action: Callable[[], None]) -> None:
        """Put what was made anew into its place; what was given of it counts only then."""
        if not self._call(Refused(path, -1, (place.owner, place.names)), action):
            self.done = [n for n in self.done if not self.books.paths.is_below(n, path)]

    def _call(self, refused: Refused, action: Callable[[], None]) -> bool:
        """Run what may run code of the user's; tell whether it took the value."""
        try:
            action()
        except Exception as error:
            self.refused.append(attrs.evolve(refused, error=error))
            return False
        return True


def equal_values(source: CheckpointSource, first: int, second: int) -> bool:
    """Tell whether two stored values are the same, bit for bit."""
    a, b = _read_any(source, first), _read_any(source, second)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same = (a.dtype, a.shape) == (b.dtype, b.shape)
        if same and a.dtype.hasobject:
            return bool(np.array_equal(a, b))
        return same and a.tobytes() == b.tobytes()
    return type(a) is type(b) and bool(a == b)


def _is_direct(give: Give) -> bool:
    """Tell whether a stored tensor can be read straight into its live array."""
    target, info = give.target, give.info
    if target is None or info is None or give.convert is not None or info.dtype in UNSIZED:
        return False
    return is_read_target(target, info, numpy_dtype(info.dtype))


def _empty(info: TensorInfo) -> Array:
    return np.empty(info.shape, numpy_dtype(info.dtype))


def _read_any(source: CheckpointSource, number: int) -> Any:
    tensors = source.tensors
    if number >= len(tensors) or tensors[number].dtype in ("python", "bytes"):
        return source.value(number)
    return source.read(number)
