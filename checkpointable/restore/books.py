"""What one restore has matched so far: the page on which all of `restore/` keeps its books.

It refers to live objects weakly, so that it keeps none of them alive.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from checkpointable.errors import CorruptCheckpointError, IncompatibleCheckpointError
from checkpointable.format.records import ObjectGraph
from checkpointable.format.source import CheckpointSource
from checkpointable.names import SAVE_COUNTER, Paths
from checkpointable.options import RestoreOptions
from checkpointable.restore.places import Names
from checkpointable.restore.plan import Issue, Plan
from checkpointable.restore.selection import Selection, find_start
from checkpointable.restore.stored import StoredValues
from checkpointable.trackable.base import tracking_of

#: What a restore starts from: the root, and further named edges of the root's node.
Roots = tuple[Any, Sequence[tuple[str, Any]]]

_Table = dict[int, tuple[weakref.ref[Any], set[Names]]]

_order: Final = itertools.count(1)


class Books:
    """What one restore has matched so far.

    Args:
        source: the open checkpoint; it has an object graph.
        reopen: opens the same path again.
        options: what the caller asked for.
        holder: the object whose `restore` was called.
        roots: returns the roots of the holder.
    """

    def __init__(
        self,
        source: CheckpointSource,
        reopen: Callable[[], CheckpointSource],
        options: RestoreOptions,
        holder: Any,
        roots: Callable[[Any], Roots],
    ) -> None:
        if source.graph is None:
            raise IncompatibleCheckpointError(f"{source.path}: holds no object graph.")
        self.order = next(_order)
        self.source = source
        self.graph: ObjectGraph = source.graph
        self.options = options
        self.values = StoredValues(self.graph, source)
        self.selection = Selection(options.only, options.skip or ())
        self.start = find_start(self.graph, options.at, source.path)
        self.paths = Paths()
        #: The numbers of the stored values that found a live one.
        self.consumed: set[int] = set()
        #: Those that may still come to an object.
        self.outstanding: set[int] = set()
        #: Live values that got none, and why: by (identity of the owner, names).
        self.lacking: dict[tuple[int, Names], str] = {}
        self.mismatched: list[Issue] = []
        self.split: list[Issue] = []
        self.cast: list[Issue] = []
        self.skipped: list[Issue] = []
        #: Whether the caller has said that values may stay unmatched.
        self.partial_expected = False
        self._reopen = reopen
        self._holder = weakref.ref(holder)
        self._roots = roots
        self._bound: dict[int, list[weakref.ref[Any]]] = {}
        self._givers: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._edges: dict[int, tuple[weakref.ref[Any], set[Names]]] = {}
        self._exempt: dict[int, tuple[weakref.ref[Any], set[Names]]] = {}

    def holder(self) -> Any:
        """Return the object whose `restore` was called."""
        return self._holder()

    def roots(self) -> Roots:
        """Return the live roots as they are now; none if the holder is gone."""
        holder = self._holder()
        return (None, ()) if holder is None else self._roots(holder)

    def bound_to(self, node: int) -> Sequence[Any]:
        """Return the live objects and arrays that a stored node was given to."""
        references = self._bound.get(node)
        if references is None:
            return ()
        return [live for live in (reference() for reference in references) if live is not None]

    def is_bound(self, node: int, live: Any) -> bool:
        """Tell whether a live object and a stored node belong together."""
        return any(bound is live for bound in self.bound_to(node))

    def giver(self, live: Any) -> int | None:
        """Return the stored node that gave an object its values."""
        entry = self._givers.get(id(live))
        return entry[1] if entry is not None and entry[0]() is live else None

    def has_edge(self, owner: Any, names: Names) -> bool:
        """Tell whether the array or plain value there, or what holds it, was matched."""
        return any(_holds(self._edges, owner, names[:n]) for n in range(len(names), 0, -1))

    def is_exempt(self, owner: Any, names: Names) -> bool:
        """Tell whether the options leave the value there as it is."""
        return _holds(self._exempt, owner, names)

    def is_pending(self, node: int) -> bool:
        """Tell whether values at or below a stored node wait for objects."""
        return not self.outstanding.isdisjoint(self.below([node]))

    def matched_below_root(self) -> bool:
        """Tell whether a live object below the root was matched."""
        counter = dict(self.graph.children(0)).get(SAVE_COUNTER) if self.start == 0 else None
        return any(node not in (self.start, counter) for node in self._bound)

    def note_matches(self, plan: Plan) -> None:
        """Take over what a run of matching found."""
        self.consumed.update(plan.consumed)
        self.split.extend(plan.split)
        self.cast.extend(plan.cast)
        self.skipped.extend(plan.skipped)
        for node, live in plan.bound:
            if not isinstance(live, np.ndarray):
                self._bound.setdefault(node, []).append(weakref.ref(live))
        for node, live in plan.satisfied:
            self._givers[id(live)] = (weakref.ref(live), node)
        for owner, names in plan.edges:
            _note(self._edges, owner, names)
        for owner, names in plan.exempt:
            _note(self._exempt, owner, names)
        for owner, names, reason in plan.lacking:
            self.lacking[id(owner), names] = reason
        self.outstanding |= self.below([wait.node for wait in plan.waits])
        self.outstanding.difference_update(plan.consumed)

    def note_mismatches(self, plan: Plan) -> None:
        """Note what came late and did not fit: it no longer waits."""
        self.mismatched.extend(plan.mismatched)
        self.outstanding -= self.below([issue.node for issue in plan.mismatched])
        self.close_if_done()

    def note_compared(self, number: int, *, same: bool) -> None:
        """Note whether a second value for one live object is the same as the first (R-6)."""
        if same:
            self.consumed.add(number)
        self.outstanding.discard(number)

    def note_given(self, plan: Plan, arrays: Iterable[tuple[int, Any]]) -> None:
        """Note at the live objects which restore gave them their values."""
        for _, live in plan.satisfied:
            tracking = tracking_of(live)
            tracking.restored = max(tracking.restored, self.order)
        for owner, names in plan.edges:
            edges = tracking_of(owner).edges
            edges[names] = max(edges.get(names, 0), self.order)
        for node, array in arrays:
            if not self.is_bound(node, array):
                self._bound.setdefault(node, []).append(weakref.ref(array))

    def below(self, nodes: list[int]) -> set[int]:
        """Return the numbers of the unmatched values at and below some nodes."""
        seen: set[int] = set()
        queue = deque(n for n in nodes if n >= 0)
        found: set[int] = set()
        while queue:
            node = queue.popleft()
            if node in seen:
                continue
            seen.add(node)
            found.update(attribute.value for attribute in self.graph.attributes(node))
            queue.extend(child for _, child in self.graph.children(node))
        return found - self.consumed

    def open_source(self) -> CheckpointSource:
        """Return the checkpoint, opened again if it was closed and is still there."""
        if self.source.closed:
            if not self.source.unchanged():
                raise CorruptCheckpointError(
                    f"{self.source.path}: the checkpoint is gone, or another one stands there."
                    " A value that a second object asks for can no longer be read.",
                    file=self.source.path,
                )
            self.source = self._reopen()
        return self.source

    def close_if_done(self) -> None:
        """Close the checkpoint once none of its values waits any more."""
        if not self.outstanding:
            self.source.close()


def _note(table: dict[int, tuple[weakref.ref[Any], set[Names]]], owner: Any, names: Names) -> None:
    entry = table.get(id(owner))
    if entry is None or entry[0]() is not owner:
        entry = table[id(owner)] = (weakref.ref(owner), set())
    entry[1].add(names)


def _holds(table: dict[int, tuple[weakref.ref[Any], set[Names]]], owner: Any, names: Names) -> bool:
    entry = table.get(id(owner))
    return entry is not None and entry[0]() is owner and names in entry[1]
