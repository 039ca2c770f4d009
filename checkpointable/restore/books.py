"""What one restore has matched so far: the page on which all of `restore/` keeps its books.

It refers to live objects weakly, so that it keeps none of them alive.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from checkpointable.errors import CheckpointError, IncompatibleCheckpointError
from checkpointable.format.source import CheckpointSource, Unclear
from checkpointable.names import SAVE_COUNTER, Paths
from checkpointable.options import RestoreOptions
from checkpointable.restore.grafts import GraftedGraph, Origin
from checkpointable.restore.lookup import require_node
from checkpointable.restore.places import Names, Place, find
from checkpointable.restore.plan import Issue, Plan
from checkpointable.restore.renaming import Rule, components
from checkpointable.restore.selection import Selection, Trail
from checkpointable.restore.stored import CONTAINERS, OpenCheckpoint, StoredSlots, StoredValues
from checkpointable.trackable.base import Variable, tracking_of
from checkpointable.trackable.slots import SlotTrackable

#: What a restore starts from: the root, and further named edges of the root's node.
Roots = tuple[Any, Sequence[tuple[str, Any]]]


class Waits(Protocol):
    """A stored node that waits for an object."""

    @property
    def node(self) -> int:
        """The node."""

    @property
    def trail(self) -> Trail:
        """The way to it."""

    @property
    def is_superseded(self) -> bool:
        """Whether a newer restore waits at the same place."""


_Table = dict[int, tuple[weakref.ref[Any], set[Names]]]

_order: Final = itertools.count(1)


def next_order() -> int:
    """Return the order number of a restore that begins now."""
    return next(_order)


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
        self.order = next_order()
        self.checkpoint = OpenCheckpoint(source, reopen)
        self.graph = GraftedGraph(source.graph)
        self.options = options
        self.values = StoredValues(self.graph, self.checkpoint)
        #: The slot variables that are part of this restore.
        self.slots = StoredSlots(self.graph.slot_variables() if options.slots else ())
        #: The paths of the matched nodes that slot variables hang on.
        self.reached: dict[int, int] = {}
        self.selection = Selection(options.only, options.skip or ())
        at = options.at or ""
        self.start = require_node(self.graph, 0, at, f"at={at!r}", source.path)
        #: The stored save counter, the library's own, if it is part of this restore.
        self.counter = dict(self.graph.children(0)).get(SAVE_COUNTER) if self.start == 0 else None
        #: What `RestoreOptions(rename=)` says.
        self.rename = [
            Rule(components(today), (components(older),), is_forced=True)
            for today, older in options.rename
        ]
        for _, older in options.rename:
            require_node(self.graph, self.start, older, f"rename to {older!r}", source.path)
        self.paths = Paths()
        #: What cannot be interpreted, by node; and the tensors that hold something empty.
        self.unclear: dict[int, list[Unclear]] = {}
        for unclear in source.unclear:
            self.unclear.setdefault(unclear.node, []).append(unclear)
        self._empty = source.empty
        #: The numbers of the stored values that found a live one.
        self.consumed: set[int] = set()
        #: What waits for objects, as long as these live.
        self.waiting: weakref.WeakSet[Waits] = weakref.WeakSet()
        #: Whether a value was asked for after the checkpoint was closed, and it was gone.
        self.is_gone = False
        #: Where the checkpoint has what the program has at these paths, as far as options ask.
        self.origins: dict[str, Origin] = {}
        self.mismatched: list[Issue] = []
        self.split: list[Issue] = []
        self.cast: list[Issue] = []
        self.skipped: list[Issue] = []
        self.unused: list[Issue] = []
        #: What waited when `pending` was last worked out, less what has been matched since; and
        #: how many objects have come since.
        self._unclaimed: set[int] = set()
        self._arrivals = 0
        self._holder = weakref.ref(holder)
        self._roots = roots
        self._bound: dict[int, list[Callable[[], Any]]] = {}
        self._givers: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._edges: _Table = {}
        #: Which stored values went to the places of arrays and plain values.
        self._placed: dict[tuple[int, Names], tuple[weakref.ref[Any], int]] = {}
        self._exempt: _Table = {}
        #: Live values that got none, and why: by (identity of the owner, names).
        self._lacking: dict[tuple[int, Names], tuple[weakref.ref[Any], str]] = {}

    def holder(self) -> Any:
        """Return the object whose `restore` was called."""
        return self._holder()

    def roots(self) -> Roots:
        """Return the live roots as they are now; none if they are gone."""
        holder = self._holder()
        try:
            return (None, ()) if holder is None else self._roots(holder)
        except CheckpointError:  # the root was held weakly
            return None, ()

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

    def value_at(self, owner: Any, names: Names) -> int | None:
        """Return the number of the stored value that went to a place; `None` if none has."""
        entry = self._placed.get((id(owner), names))
        return entry[1] if entry is not None and entry[0]() is owner else None

    def is_exempt(self, owner: Any, names: Names) -> bool:
        """Tell whether the options leave the value there as it is."""
        return _holds(self._exempt, owner, names)

    def why_lacking(self, owner: Any, names: Names) -> str | None:
        """Return why the live value there was given none, if it was met."""
        entry = self._lacking.get((id(owner), names))
        return entry[1] if entry is not None and entry[0]() is owner else None

    def why_no_value(self, node: int, reason: str) -> str:
        """Return why a stored node has no value; something else than that may be known."""
        return "; ".join(f"{u.what}: {u.reason}" for u in self.unclear.get(node, ())) or reason

    def matched_below_root(self) -> bool:
        """Tell whether a live object below the root was matched."""
        return any(node not in (self.start, self.counter) for node in self._bound)

    def note_matches(self, plan: Plan) -> None:
        """Take over what a run of matching found."""
        self.consumed.update(plan.consumed)
        self.split.extend(plan.split)
        self.cast.extend(plan.cast)
        self.skipped.extend(plan.skipped)
        self.unused.extend(plan.unused)
        for node, live in plan.bound:
            self._bound.setdefault(node, []).append(weakref.ref(live))
        for node, live in plan.satisfied:
            self._givers[id(live)] = (weakref.ref(live), node)
        for node, path in plan.reached:
            self.reached.setdefault(node, path)
        for owner, names in plan.edges:
            _note(self._edges, owner, names)
        for owner, names, number in plan.placed:
            if self.value_at(owner, names) is None:
                self._placed[id(owner), names] = (weakref.ref(owner), number)
        for owner, names in plan.exempt:
            _note(self._exempt, owner, names)
        for owner, names, reason in plan.lacking:
            self._lacking[id(owner), names] = (weakref.ref(owner), reason)
        self._unclaimed.difference_update(plan.consumed)
        self._arrivals += 1

    def note_mismatches(self, issues: Iterable[Issue], exempt: Iterable[tuple[Any, Names]]) -> None:
        """Note what came late and was not given: it no longer waits."""
        self.mismatched.extend(issues)
        for owner, names in exempt:
            _note(self._exempt, owner, names)

    def note_given(self, plan: Plan, values: Iterable[tuple[int, Any, Place | None]]) -> None:
        """Note at the live objects which restore gave them their values."""
        for _, live in plan.satisfied:
            tracking = tracking_of(live)
            tracking.restored = max(tracking.restored, self.order)
        for owner, names in plan.edges:
            edges = tracking_of(owner).edges
            edges[names] = max(edges.get(names, 0), self.order)
        for node, value, place in values:
            if not self.is_bound(node, value):
                self._bound.setdefault(node, []).append(_reference(value, place))

    def pending(self, waiting: Iterable[Waits] | None = None) -> set[int]:
        """Return the numbers of the stored values that wait for an object.

        Args:
            waiting: what waits; by default everything.
        """
        found: set[int] = set()
        included: dict[int, bool] = {}
        waits = self.waiting if waiting is None else waiting
        queue = deque((wait.node, wait.trail) for wait in waits)
        while queue:
            node, trail = queue.popleft()
            if node in included and (included[node] or not trail.included):
                continue
            included[node] = trail.included
            if trail.included:
                found.update(attribute.value for attribute in self.graph.attributes(node))
            for name, child in self.graph.children(node):
                followed = self.selection.follow(trail, name, self.graph.origin(node, name))
                if followed is not None:
                    queue.append((child, followed))
        found.update(self._slots_pending({self.graph.base(n): i for n, i in included.items()}))
        return {number for number in found - self.consumed if not self.is_empty(number)}

    def _slots_pending(self, waiting: Mapping[int, bool]) -> Iterator[int]:
        """Yield the values of slots whose optimizer or variable waits, if the other can be had."""
        takers: dict[int, bool] = {}
        by_node = self.slots.by_node
        near = (
            (by_node.get(node, ()) for node, is_in in waiting.items() if is_in) if by_node else ()
        )
        for slot in {slot for slots in near for slot in slots}:
            for end, kind in zip(slot.ends, (Variable, SlotTrackable), strict=True):
                if end not in takers:
                    is_bound = any(isinstance(live, kind) for live in self.bound_to(end))
                    takers[end] = waiting.get(end, False) or (end in self.reached and is_bound)
            if all(takers[end] for end in slot.ends):
                attributes = self.graph.attributes(slot.slot_variable)
                yield from (attribute.value for attribute in attributes)

    def is_empty(self, number: int) -> bool:
        """Tell whether a stored value is `None` or an empty container, which fails no match."""
        if number < len(self.source.tensors):
            return number in self._empty
        value = self.source.value(number)
        return value is None or (isinstance(value, CONTAINERS) and not value)

    @property
    def source(self) -> CheckpointSource:
        """The checkpoint, open or closed."""
        return self.checkpoint.source

    def can_read(self) -> bool:
        """Tell whether values can still be read; if the checkpoint is gone, note that (R-12)."""
        self.is_gone = self.source.closed and not self.source.unchanged()
        return not self.is_gone

    def covers(self, other: Books, pairs: Iterable[tuple[int, int]]) -> bool:
        """Tell whether all that waits of another restore waits here too, under the same names.

        Equal names, not only enough of them: what a class calls older names (R-28) depends on
        both those that are there and those that are not.

        Args:
            other: the other restore.
            pairs: nodes that wait here, each with the node of the other that waits in its place.
        """
        seen: set[tuple[int, int]] = set()
        queue = list(pairs)
        while queue:
            pair = queue.pop()
            if pair in seen:
                continue
            seen.add(pair)
            mine, theirs = dict(self.graph.children(pair[0])), dict(other.graph.children(pair[1]))
            values = {attribute.name for attribute in self.graph.attributes(pair[0])}
            if any(a.name not in values for a in other.graph.attributes(pair[1])):
                return False
            if mine.keys() != theirs.keys():
                return False
            queue.extend((mine[name], child) for name, child in theirs.items())
        return self._covers_slots(other, seen)

    def _covers_slots(self, other: Books, pairs: set[tuple[int, int]]) -> bool:
        """Tell whether for each slot variable that waits there, a slot variable waits here."""
        waiting: dict[int, set[int]] = {}
        for node, counterpart in pairs:
            waiting.setdefault(other.graph.base(counterpart), set()).add(self.graph.base(node))
        open_slots = [s for s in other.slots.all if any(end in waiting for end in s.ends)]
        if not open_slots:
            return True
        matched: dict[int, set[int]] = {}
        for node in self.slots.by_node:
            for live in self.bound_to(node):
                matched.setdefault(id(live), set()).add(node)
        #: For each live object of a node, and for its waiting, the nodes here in its place.
        partners: dict[int, list[set[int]]] = {}
        for end in {end for slot in open_slots for end in slot.ends}:
            partners[end] = [matched.get(id(live), set()) for live in other.bound_to(end)]
            partners[end] += [waiting[end]] if end in waiting else []
        mine = {(*slot.ends, slot.slot_name) for slot in self.slots.all}
        return all(
            any(
                (variable, optimizer, slot.slot_name) in mine
                for variable in variables
                for optimizer in optimizers
            )
            for slot in open_slots
            for variables in partners[slot.variable]
            for optimizers in partners[slot.optimizer]
        )

    def close_if_done(self, *, force: bool = False) -> None:
        """Close the checkpoint once none of its values waits any more.

        To find out what waits takes time in proportion to the checkpoint, so it is done only when
        all is matched, or as many objects have come as values waited when it was last done.
        """
        is_due = force or self._arrivals > len(self._unclaimed)
        if self._unclaimed and self.waiting and not is_due:
            return
        self._unclaimed = self.pending(w for w in self.waiting if not w.is_superseded)
        self._arrivals = 0
        if not self._unclaimed:
            self.source.close()


def _reference(value: Any, place: Place | None) -> Callable[[], Any]:
    """Return what leads to a value without keeping it alive."""
    try:
        return weakref.ref(value)
    except TypeError:  # Some foreign objects can only be found where they stand.
        if place is None:
            raise
    owner, names = weakref.ref(place.owner), place.names
    return lambda: find(owner(), names)[1] if owner() is not None else None


def _note(table: _Table, owner: Any, names: Names) -> None:
    entry = table.get(id(owner))
    if entry is None or entry[0]() is not owner:
        entry = table[id(owner)] = (weakref.ref(owner), set())
    entry[1].add(names)


def _holds(table: _Table, owner: Any, names: Names) -> bool:
    entry = table.get(id(owner))
    return entry is not None and entry[0]() is owner and names in entry[1]
