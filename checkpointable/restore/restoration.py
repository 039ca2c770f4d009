"""One call of `restore`: match, check, assign; and again for whatever comes later.

Objects refer to what waits at them, and so to the restoration; it refers to them weakly.
Dropping the objects therefore frees everything, and closes the files.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

from checkpointable.errors import (
    CheckpointError,
    CorruptCheckpointError,
    IncompatibleCheckpointError,
    UnmatchedError,
)
from checkpointable.format.source import CheckpointSource
from checkpointable.options import RestoreOptions
from checkpointable.restore import deferred
from checkpointable.restore.assigning import Assignment, equal_values
from checkpointable.restore.books import Books, Roots
from checkpointable.restore.matching import Matcher
from checkpointable.restore.places import Place
from checkpointable.restore.plan import Plan
from checkpointable.restore.report import Report, build_report
from checkpointable.trackable import waiting


@final
class Restoration:
    """One call of `restore`.

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
        self.books = Books(source, reopen, options, holder, roots)
        #: Whether the caller has said that values may stay unmatched.
        self.partial_expected = False

    def restore(self) -> None:
        """Match everything that exists with the checkpoint, then give it its values.

        Raises:
            IncompatibleCheckpointError: values do not fit; nothing was changed.
            UnmatchedError: `defer=False`, and not everything matched; nothing was changed.
            CorruptCheckpointError: the files are damaged; the report lists what was assigned.
        """
        with waiting.quiet(), _without_collections():
            books = self.books
            root, _ = books.roots()
            plan = Matcher(books).run(root, books.start, 0, books.selection.start())
            if plan.mismatched:
                raise self._incompatible(plan)
            if books.options.verify == "first":
                self._verify()
            books.note_matches(plan)
            if not books.options.defer:
                self._require_all()
            self._finish(plan, self._assign(plan))
        deferred.announce(plan.edges)

    def arrive(self, place: Place, live: Any, node: int, path: int, trail: Any) -> None:
        """Match what has come to a place where a stored node waits."""
        with waiting.quiet():
            plan = Matcher(self.books).run(live, node, path, trail, place)
            if plan.mismatched:
                self.books.note_mismatches(plan)
                raise self._incompatible(plan)
            assignment = self._assign(plan)
            self.books.note_matches(plan)
            self._finish(plan, assignment)

    def pending_path(self, node: int, path: int) -> str | None:
        """Return the path of a node that waits, if values at or below it have no object yet."""
        is_pending = not self.books.outstanding.isdisjoint(self.books.below([node]))
        return self.books.paths.shown(path) if is_pending and not self.partial_expected else None

    def report(self) -> Report:
        """Return what matched and what did not, as of now."""
        return build_report(self.books)

    def _assign(self, plan: Plan) -> Assignment:
        assignment = Assignment(self.books)
        try:
            assignment.run(plan)
        except BaseException as error:
            self._explain(error, assignment.done)
            raise
        return assignment

    def _finish(self, plan: Plan, assignment: Assignment) -> None:
        """Note what was given, and let what found no object wait."""
        for compare in plan.compares:
            same = equal_values(self.books.open_source(), compare.first, compare.second)
            self.books.note_compared(compare.second, same=same)
        self.books.note_given(plan, assignment.arrays)
        for wait in plan.waits:
            deferred.wait(self, self.books.order, wait)
        self.books.close_if_done()

    def _explain(self, error: BaseException, done: list[int]) -> None:
        """Let an error say what was assigned before it."""
        if not isinstance(error, CheckpointError):
            return
        error.report = Report.of_assigned(self.books, done)
        if done:
            shown = ", ".join(self.books.paths.shown(n) for n in done[:5])
            more = f" and {len(done) - 5:,} more" if len(done) > 5 else ""
            error.message += f" Already assigned: {shown}{more}."

    def _verify(self) -> None:
        findings = self.books.source.verify()
        if findings:
            first = findings[0]
            more = f" ({len(findings) - 1} more findings)" if len(findings) > 1 else ""
            raise CorruptCheckpointError(
                f"{first.message}{more} Nothing was assigned; restore an older checkpoint.",
                file=first.file,
                rule=first.rule,
            )

    def _require_all(self) -> None:
        report = self.report()
        problem = report.why_not_consumed()
        if problem:
            error = UnmatchedError(f"{problem} Nothing was assigned, because of defer=False.")
            error.report = report
            raise error

    def _incompatible(self, plan: Plan) -> IncompatibleCheckpointError:
        lines = [f"{self.books.paths.shown(m.path)}: {m.reason}" for m in plan.mismatched]
        count = (
            f"{len(lines)} values of {self.books.source.path} do not fit" if len(lines) > 1 else ""
        )
        shown = "\n  ".join([count, *lines[:20]] if count else lines)
        if len(lines) > 20:
            shown += f"\n  ... and {len(lines) - 20:,} more"
        report = Report.of_mismatched(self.books, plan.mismatched)
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
