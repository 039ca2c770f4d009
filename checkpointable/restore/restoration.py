"""One call of `restore`: match, check, assign; and again for whatever comes later.

Objects refer to what waits at them, and so to the restoration; it refers to them weakly.
Dropping the objects therefore frees everything, and closes the files. What is recorded for
Variables of a graph is kept until the status is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast, final

import attrs

from checkpointable.errors import (
    CheckpointError,
    IncompatibleCheckpointError,
    UnmatchedError,
    warn,
)
from checkpointable.format.garbage import without_collections
from checkpointable.graph.walk import walk
from checkpointable.restore import deferred
from checkpointable.restore.assigning import Assignment, equal_values
from checkpointable.restore.books import Books
from checkpointable.restore.fetching import (
    already_assigned,
    check_every_byte,
)
from checkpointable.restore.lookup import unknown_paths
from checkpointable.restore.matching import Matcher
from checkpointable.restore.places import Place
from checkpointable.restore.plan import Issue, Plan
from checkpointable.restore.recording import RecordedReads, take_recorded
from checkpointable.restore.report import Report, build_report
from checkpointable.restore.selection import EVERYTHING, Trail
from checkpointable.session.graph import Cell
from checkpointable.session.session import Session
from checkpointable.storage.process import in_forked_children
from checkpointable.trackable import waiting
from checkpointable.trackable.base import Trackable

#: How many values an error names.
_SHOWN: Final = 20

in_forked_children(waiting.begin_anew)


@final
class Restoration:
    """One call of `restore`.

    Args:
        books: where it keeps what it has matched.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        #: Whether the caller has said that values may stay unmatched.
        self.partial_expected = False
        #: The status of this restore, as long as the caller keeps it.
        self.status: Callable[[], Any] = lambda: None
        #: Whether newer restores have taken over all that waited.
        self.is_forgotten = False
        self._recorded = RecordedReads()
        #: Whether the status is gone, so that nobody can run what is recorded.
        self._is_released = False
        #: The paths of what came for Variables of a graph after that.
        self._lost: list[int] = []
        self._is_working = False

    def restore(self) -> None:
        """Match everything that exists with the checkpoint, then give it its values.

        Raises:
            IncompatibleCheckpointError: values do not fit; nothing was changed.
            UnmatchedError: `defer=False`, and not everything matched; nothing was changed.
            CorruptCheckpointError: the files are damaged; the report lists what was assigned.
        """
        with waiting.quiet(), without_collections():
            books = self.books
            root, _ = books.roots()
            plan = self._match(root, books.start, 0, books.selection.start())
            self._warn_of_unknown_paths()
            if plan.mismatched:
                raise self._unfit(plan.mismatched)
            if books.options.verify == "first":
                check_every_byte(books.source)
            self._compare(plan)
            books.note_matches(plan)
            if not books.options.defer:
                self._require_all(plan)
            assignment = self._assign(plan)
            if assignment.refused:
                raise self._refusal(assignment)
            self._finish(plan, assignment)
        self._announce(plan)

    def arrive(self, place: Place, live: Any, node: int, path: int, trail: Any) -> None:
        """Match what has come to a place where a stored node waits.

        Raises:
            CheckpointError: it does not fit, refuses its value, or that could not be read. The
                report keeps it; it does not wait any more.
        """
        books = self.books
        with self._working():
            if self.is_forgotten or not books.can_read():
                return
            try:
                plan = self._match(live, node, path, trail, place)
                self._compare(plan)
                assignment = None if plan.mismatched else self._assign(plan)
            except CheckpointError as error:
                where = (live, ()) if isinstance(live, Trackable) else (place.owner, place.names)
                books.note_mismatches([Issue(path, str(error), node)], [where])
                self._close_if_done()
                raise
            if assignment is None:
                books.note_mismatches(plan.mismatched, plan.exempt)
                self._close_if_done()
                raise self._unfit(plan.mismatched)
            books.note_matches(plan)
            refused = assignment.refused
            books.note_mismatches([r.issue() for r in refused], [r.place for r in refused])
            self._finish(plan, assignment)
        self._announce(plan)
        if assignment.refused:
            raise self._refusal(assignment)

    def give_way(self, newest: deferred.Restoring) -> None:
        """Let a newer restore come first, which now waits at places where this one does.

        If nobody can ask for this restore's status any more, and the newer one waits in all the
        places, and with all the names, that this one waits with, nothing is left to do for it:
        restoring again and again keeps nothing.
        """
        if self.status() is None and self._is_taken_over(newest):
            self.is_forgotten = True
            self.books.waiting.clear()
        self._close_if_done(force=True)

    def _is_taken_over(self, newest: deferred.Restoring) -> bool:
        mine, its, pairs = self.books, newest.books, []
        for position in cast("Iterable[deferred.Position]", mine.waiting):
            newer = position.newer
            if newer is None or newer.restoration is not newest:
                return False
            is_selected_alike = its.selection == mine.selection and newer.trail == position.trail
            if newer.trail is not EVERYTHING and not is_selected_alike:
                return False
            pairs.append((newer.node, position.node))
        return its.covers(mine, pairs)

    def run_recorded(self, session: Session | None, only: Cell | None = None) -> None:
        """Read what is recorded for Variables of a graph into a session; all of it by default.

        Raises:
            RuntimeError: something is recorded, and there is no session.
            ValueError: the session is of another graph.
            CorruptCheckpointError: the files are damaged; the report lists what was assigned.
        """
        with self._working():
            plan = self._recorded.plan(session, only)
            if plan.gives:
                self._run(plan)
                self._close_if_done()

    def release(self) -> None:
        """Forget what is recorded, now that the status is gone; close the files if none waits."""
        self._is_released = True
        if not self._recorded:
            return
        self._recorded.clear()
        # It may be called at any moment: whoever is at work closes the files in the end.
        if self._is_working or self.books.source.closed:
            return
        if waiting.guard.lock.acquire(blocking=False):
            try:
                self._close_if_done(force=True)
            finally:
                waiting.guard.lock.release()

    def note_waiting(self, position: deferred.Position, *, waits: bool) -> None:
        """Note that a stored node begins to wait, or waits no longer."""
        (self.books.waiting.add if waits else self.books.waiting.discard)(position)

    def pending_path(self, position: deferred.Position) -> str | None:
        """Return the path of a node that waits, if values at or below it have no object yet."""
        if self.is_forgotten or self.partial_expected or not self.books.pending([position]):
            return None
        return self.books.paths.shown(position.path)

    def report(self) -> Report:
        """Return what matched and what did not, as of now."""
        return build_report(self.books)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Hold the lock, let nothing else come, and keep the files open."""
        with waiting.quiet():
            was_working, self._is_working = self._is_working, True
            try:
                yield
            finally:  # Code of the user's that this one calls may have called it again.
                self._is_working = was_working

    def _warn_of_unknown_paths(self) -> None:
        books = self.books

        def is_live(path: str) -> bool:
            live = walk(*books.roots())
            return any(path == live.paths.full(number) for number in range(len(live.objects)))

        unknown = unknown_paths(books.selection, books.graph, books.start, is_live, books.origins)
        if unknown:
            warn(
                f"{books.source.path}: {', '.join(unknown)} leads to nothing that is stored. Paths"
                " are local names joined with '/', such as 'model/encoder'."
            )

    def _match(
        self, live: Any, node: int, path: int, trail: Trail, place: Place | None = None
    ) -> Plan:
        try:
            return Matcher(self.books).run(live, node, path, trail, place)
        except CheckpointError as error:
            self._explain(error, [])
            raise

    def _compare(self, plan: Plan) -> None:
        """Find out which second values for one live object are the same as the first (R-6)."""
        try:
            for compare in plan.compares:
                if equal_values(self.books.checkpoint.reopened(), compare.first, compare.second):
                    plan.consumed.append(compare.second)
        except CheckpointError as error:
            self._explain(error, [])
            raise

    def _assign(self, plan: Plan) -> Assignment:
        recorded = take_recorded(plan)
        assignment = self._run(plan)
        if self._is_released:
            self._lost.extend(give.path for give in recorded)
        else:
            self._recorded.add(recorded, self)
        return assignment

    def _run(self, plan: Plan) -> Assignment:
        assignment = Assignment(self.books)
        try:
            assignment.run(plan)
        except BaseException as error:
            self._explain(error, assignment.done)
            raise
        return assignment

    def _finish(self, plan: Plan, assignment: Assignment) -> None:
        """Note what was given, and let what found no object wait."""
        self.books.note_given(plan, assignment.values)
        deferred.wait(self, self.books.order, plan.waits)
        self._close_if_done()

    def _close_if_done(self, *, force: bool = False) -> None:
        """Close the checkpoint once nothing waits and nothing is recorded."""
        if not self._recorded:
            self.books.close_if_done(force=force)

    def _announce(self, plan: Plan) -> None:
        """Let values come in that were put in their places while this restore was assigning."""
        deferred.announce(plan.edges)
        if plan.runs_code:
            deferred.announce([(wait.owner, wait.names) for wait in plan.waits])
        if self._lost:
            path = self.books.paths.shown(self._lost[0])
            self._lost.clear()
            warn(
                f"{self.books.source.path}: {path} belongs to a graph and has come after the status"
                " of its restore was dropped, so that its restore cannot be run any more. Keep the"
                " status until run_restore_ops()."
            )

    def _explain(self, error: BaseException, done: list[int]) -> None:
        """Let an error say what was assigned before it."""
        if not isinstance(error, CheckpointError):
            return
        error.report = Report.of_assigned(self.books, done)
        error.message += already_assigned(done, self.books.paths.shown)

    def _require_all(self, plan: Plan) -> None:
        report = build_report(self.books, plan.waits)
        problem = report.why_not_consumed()
        if problem:
            problem = f"{problem} Nothing was assigned, because of defer=False."
            raise UnmatchedError(problem).with_report(report)

    def _refusal(self, assignment: Assignment) -> IncompatibleCheckpointError:
        """Return the error for values that the user's classes refused; the first is its cause."""
        error = self._unfit([refused.issue() for refused in assignment.refused])
        error.__cause__ = assignment.refused[0].error
        assignment.refused.clear()  # else the cause would keep itself alive
        given = Report.of_assigned(self.books, assignment.done)
        return error.with_report(attrs.evolve(given, mismatched=error.mismatches))

    def _unfit(self, issues: Sequence[Issue]) -> IncompatibleCheckpointError:
        """Return the error for values that do not fit."""
        report = Report.of_mismatched(self.books, issues)
        lines = [f"{entry.path}: {entry.reason}" for entry in report.mismatched[:_SHOWN]]
        if len(issues) > 1:
            lines.insert(0, f"{len(issues):,} values of {report.source} do not fit")
        if len(issues) > _SHOWN:
            lines.append(f"... and {len(issues) - _SHOWN:,} more")
        text, mismatches = "\n  ".join(lines), tuple(report.mismatched)
        return IncompatibleCheckpointError(text, mismatches=mismatches).with_report(report)
