"""One call of `restore`: what it matched, what still waits, and its open checkpoint.

A restoration refers to live objects weakly; objects refer to what waits at them, and so to it.
Dropping the objects therefore frees everything, and closes the files.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from checkpointable.errors import (
    CheckpointError,
    CorruptCheckpointError,
    IncompatibleCheckpointError,
    UnmatchedError,
)
from checkpointable.format.records import ObjectGraph
from checkpointable.format.source import CheckpointSource
from checkpointable.names import SAVE_COUNTER, Paths
from checkpointable.options import RestoreOptions
from checkpointable.restore import deferred
from checkpointable.restore.assigning import Assignment, equal_values
from checkpointable.restore.matching import Matcher
from checkpointable.restore.places import Names, Place
from checkpointable.restore.plan import Issue, Plan
from checkpointable.restore.report import Report, build_report
from checkpointable.restore.selection import Selection, find_start
from checkpointable.restore.stored import StoredValues
from checkpointable.trackable import waiting
from checkpointable.trackable.base import tracking_of

#: What a restore starts from: the root, and further named edges of the root's node.
Roots = tuple[Any, Sequence[tuple[str, Any]]]

_order: Final = itertools.count(1)


class Restoration:
    """The bookkeeping of one restore.

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

    # What matching asks

    def holder(self) -> Any:
        """Return the object whose `restore` was called."""
        return self._holder()

    def roots(self) -> Roots:
        """Return the live roots as they are now; none if the holder is gone."""
        holder = self._holder()
        return (None, ()) if holder is None else self._roots(holder)

    def bound_to(self, node: int) -> Iterator[Any]:
        """Yield the live objects and arrays that a stored node was given to."""
        for reference in self._bound.get(node, ()):
            live = reference()
            if live is not None:
                yield live

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
        return not self.outstanding.isdisjoint(self._below([node]))

    def matched_below_root(self) -> bool:
        """Tell whether a live object below the root was matched."""
        counter = dict(self.graph.children(0)).get(SAVE_COUNTER) if self.start == 0 else None
        return any(node not in (self.start, counter) for node in self._bound)

    # Running

    def restore(self) -> None:
        """Match everything that exists with the checkpoint, then give it its values.

        Raises:
            IncompatibleCheckpointError: values do not fit; nothing was changed.
            UnmatchedError: `defer=False`, and not everything matched; nothing was changed.
            CorruptCheckpointError: the files are damaged; the report lists what was assigned.
        """
        with waiting.quiet(), _without_collections():
            root, _ = self.roots()
            plan = Matcher(self).run(root, self.start, 0, self.selection.start())
            if plan.mismatched:
                raise self._incompatible(plan)
            if self.options.verify == "first":
                self._verify()
            self._note_matches(plan)
            if not self.options.defer:
                self._require_all(plan)
            self._assign(plan)
        deferred.announce(plan.edges)

    def arrive(self, place: Place, live: Any, node: int, path: int, trail: Any) -> None:
        """Match what has come to a place where a stored node waits."""
        with waiting.quiet():
            plan = Matcher(self).run(live, node, path, trail, place)
            if plan.mismatched:
                self.mismatched.extend(plan.mismatched)
                self.outstanding.difference_update(self._below([m.node for m in plan.mismatched]))
                self._close_if_done()
                raise self._incompatible(plan)
            self._note_matches(plan)
            self._assign(plan)

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

    def report(self) -> Report:
        """Return what matched and what did not, as of now."""
        return build_report(self)

    def _assign(self, plan: Plan) -> None:
        assignment = Assignment(self)
        try:
            assignment.run(plan)
            self._compare(plan)
        except BaseException as error:
            self._explain(error, assignment.done)
            raise
        self._note_given(plan, assignment)
        for wait in plan.waits:
            deferred.wait(self, wait)
        self._close_if_done()

    def _explain(self, error: BaseException, done: list[int]) -> None:
        """Let an error say what was assigned before it."""
        if not isinstance(error, CheckpointError):
            return
        error.report = Report.of_assigned(self, done)
        if done:
            shown = ", ".join(self.paths.shown(n) for n in done[:5])
            more = f" and {len(done) - 5:,} more" if len(done) > 5 else ""
            error.message += f" Already assigned: {shown}{more}."

    def _note_matches(self, plan: Plan) -> None:
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
        self.outstanding |= self._below([wait.node for wait in plan.waits])
        self.outstanding.difference_update(plan.consumed)

    def _note_given(self, plan: Plan, assignment: Assignment) -> None:
        for _, live in plan.satisfied:
            tracking = tracking_of(live)
            tracking.restored = max(tracking.restored, self.order)
        for owner, names in plan.edges:
            edges = tracking_of(owner).edges
            edges[names] = max(edges.get(names, 0), self.order)
        for node, array in assignment.arrays:
            if not self.is_bound(node, array):
                self._bound.setdefault(node, []).append(weakref.ref(array))

    def _compare(self, plan: Plan) -> None:
        for compare in plan.compares:
            if equal_values(self.open_source(), compare.first, compare.second):
                self.consumed.add(compare.second)
            self.outstanding.discard(compare.second)

    def _below(self, nodes: list[int]) -> set[int]:
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

    def _close_if_done(self) -> None:
        if not self.outstanding:
            self.source.close()

    def _verify(self) -> None:
        findings = self.source.verify()
        if findings:
            first = findings[0]
            more = f" ({len(findings) - 1} more findings)" if len(findings) > 1 else ""
            raise CorruptCheckpointError(
                f"{first.message}{more} Nothing was assigned; restore an older checkpoint.",
                file=first.file,
                rule=first.rule,
            )

    def _require_all(self, plan: Plan) -> None:
        report = self.report()
        problem = report.why_not_consumed()
        if problem:
            error = UnmatchedError(f"{problem} Nothing was assigned, because of defer=False.")
            error.report = report
            raise error

    def _incompatible(self, plan: Plan) -> IncompatibleCheckpointError:
        lines = [f"{self.paths.shown(m.path)}: {m.reason}" for m in plan.mismatched]
        count = f"{len(lines)} values of {self.source.path} do not fit" if len(lines) > 1 else ""
        shown = "\n  ".join([count, *lines[:20]] if count else lines)
        if len(lines) > 20:
            shown += f"\n  ... and {len(lines) - 20:,} more"
        report = Report.of_mismatched(self, plan.mismatched)
        error = IncompatibleCheckpointError(shown, mismatches=tuple(report.mismatched))
        error.report = report
        return error


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let no garbage collection look at the many records of a large restore while it lasts.

    They are no garbage, and looking at them again and again takes as long as the restore itself.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _note(table: dict[int, tuple[weakref.ref[Any], set[Names]]], owner: Any, names: Names) -> None:
    entry = table.get(id(owner))
    if entry is None or entry[0]() is not owner:
        entry = table[id(owner)] = (weakref.ref(owner), set())
    entry[1].add(names)


def _holds(table: dict[int, tuple[weakref.ref[Any], set[Names]]], owner: Any, names: Names) -> bool:
    entry = table.get(id(owner))
    return entry is not None and entry[0]() is owner and names in entry[1]
