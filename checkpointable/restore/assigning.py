"""Give live objects the values that a plan decided on: the only place where a restore changes them.

Tensors come first, in bulk and verified on the way; then what runs code of the user's classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import numpy as np

from checkpointable.format.source import CheckpointSource
from checkpointable.restore.books import Books
from checkpointable.restore.fetching import fetch_values, overwrite
from checkpointable.restore.places import Names, Place
from checkpointable.restore.plan import Give, Issue, Plan
from checkpointable.restore.rebinding import Rebinding
from checkpointable.trackable.slots import keep_slot


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
        for give, value in fetch_values(source, plan.gives, self._note):
            if value is give.target and value is not None:
                self._arrived(give, value)
            else:
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

    def _note(self, give: Give) -> None:
        if give.node != self.books.counter:
            self.done.append(give.path)

    def _hand_over(self, give: Give, value: Any, rebinding: Rebinding) -> None:
        if give.convert is not None:
            value = give.convert(value)
        if give.target is not None:
            overwrite(give.target, value)
            value = give.target
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


def _read_any(source: CheckpointSource, number: int) -> Any:
    tensors = source.tensors
    if number >= len(tensors) or tensors[number].dtype in ("python", "bytes"):
        return source.value(number)
    return source.read(number)
