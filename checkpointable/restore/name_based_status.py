"""`NameBasedSaverStatus`: what a restore from a name-based checkpoint returns."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any, final

import attrs
import numpy as np

from checkpointable.errors import (
    IncompatibleCheckpointError,
    TensorNotFoundError,
    UnmatchedError,
    warn,
)
from checkpointable.format.garbage import without_collections
from checkpointable.format.source import CheckpointSource
from checkpointable.graph.walk import Walk, walk
from checkpointable.names import SAVE_COUNTER, escape
from checkpointable.options import RestoreOptions
from checkpointable.restore.books import Roots, next_order
from checkpointable.restore.by_name import (
    NamedTarget,
    NameMatch,
    give_by_name,
    match_by_name,
    require_fit,
)
from checkpointable.restore.entries import Entry
from checkpointable.restore.fit import array_dtype_name
from checkpointable.restore.named_objects import (
    NamedObjects,
    NamedValue,
    named_objects,
    target_of,
)
from checkpointable.restore.rebinding import Rebinding
from checkpointable.restore.report import Report
from checkpointable.restore.status import LoadStatus, initialize_objects
from checkpointable.session.session import Session
from checkpointable.trackable import waiting
from checkpointable.trackable.base import Variable, peek_tracking, tracking_of

_NOT_RUN = "waits for run_restore_ops()"


@attrs.define
class Outstanding:
    """Whether a restore by names is still to be run: what a save asks, without keeping the files.

    Attributes:
        path: the checkpoint.
        is_run: whether it was run, or the user expects no more of it.
    """

    path: str
    is_run: bool = False


@final
class NameBasedSaverStatus(LoadStatus):
    """The status of a restore from a name-based checkpoint, such as a `Saver` writes.

    Nothing is assigned before `run_restore_ops()` or `initialize_or_restore()`, in eager execution
    too, and nothing waits: each of these calls gives their values to the Variables that exist
    then, by their global names; what has no name, an array for example, goes by its path. The
    library's own save counter is restored where it is stored, and never reported.

    It keeps the objects alive, and the files open as long as it lives: what happens to the
    checkpoint meanwhile does not matter to it. One thread at a time may use it.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> w = ckpt.Variable([1.0, 2.0], name="w")
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Saver([w]).save(None, directory + "/model")
        ...     live = ckpt.Checkpoint(layer=ckpt.Variable([0.0, 0.0], name="w"))
        ...     status = live.restore(path).run_restore_ops().assert_consumed()
        >>> live.layer.value, [entry.path for entry in status.report().restored]
        (array([1., 2.]), ['layer'])
    """

    def __init__(
        self,
        source: CheckpointSource,
        options: RestoreOptions,
        holder: Any,
        roots: Callable[[Any], Roots],
    ) -> None:
        _check_options(source, options)
        self._source, self._options = source, options
        self._holder, self._roots = holder, roots
        self._root = roots(holder)[0]
        self._order = next_order()
        #: What was given its value: by identity, what leads to it as long as it lives.
        self._given: dict[int, Callable[[], Any]] = {}
        self._is_warned = False
        self.outstanding = Outstanding(source.path)
        if not options.defer:
            self._require_all()
        weakref.finalize(self, source.close).atexit = False

    def report(self) -> Report:
        """Return what matched by name and what did not, as of now.

        What matched is `pending` until it was given its value by this restore or by a later one.
        """
        self.settle()
        with without_collections():
            found, values, match = self._match()
        matched = [values[target] for target, _ in match.matched]
        later = {id(value) for value in found.values if self._is_given_later(value.live)}
        given = later | {id(value) for value in matched if self._is_noted(value.live)}
        elsewhere = {value.path for value in found.values if id(value) in later}
        return attrs.evolve(
            match.report(),
            restored=[_entry(value) for value in found.values if id(value) in given],
            pending=[_entry(value, _NOT_RUN) for value in matched if id(value) not in given],
            missing=[entry for entry in match.missing if entry.path not in elsewhere],
            mismatched=[entry for entry in match.mismatched if entry.path not in elsewhere],
            unused=[_why_unused(entry, found) for entry in match.unused],
            skipped=[*match.skipped, *found.skipped],
            untracked=found.untracked,
        )

    def assert_consumed(self) -> NameBasedSaverStatus:
        """Raise unless all live values have theirs, and every stored name has its live value.

        What the options left out does not count.

        Raises:
            UnmatchedError: names are missing, unused or given twice, values do not fit, or were
                not given yet; with the paths, and `report`.
        """
        report = self.report()
        return self._require(report, _with_run(report, Report.why_not_consumed))

    def assert_existing_objects_matched(self) -> NameBasedSaverStatus:
        """Raise unless every live value has its stored one, from this restore or a later one.

        Raises:
            UnmatchedError: names are missing, values do not fit, or were not given yet; with the
                paths, and `report`.
        """
        report = self.report()
        return self._require(report, _with_run(report, Report.why_not_existing_matched))

    def assert_nontrivial_match(self) -> NameBasedSaverStatus:
        """Raise if no value at all was restored.

        Raises:
            UnmatchedError: no name matched, or nothing was given yet; with `report`.
        """
        report = self.report()
        problem = ""
        if not report.restored:
            problem = _with_run(report, _why_nothing)
        return self._require(report, problem)

    def expect_partial(self) -> NameBasedSaverStatus:
        """Say that this may never be run: a save will not warn of it."""
        self.outstanding.is_run = True
        return self

    def run_restore_ops(self, session: Session | None = None) -> NameBasedSaverStatus:
        """Give all Variables and arrays that exist now the values of their names.

        Everything is checked before anything is assigned. Names that the checkpoint lacks are
        no error; `report` and the assertions speak of them. Each call reads everything again.

        Args:
            session: where the values of Variables of a graph are; by default the default session.

        Returns:
            this status.

        Raises:
            IncompatibleCheckpointError: values do not fit; nothing was changed.
            RuntimeError: there are Variables of a graph, and no session.
            ValueError: the session is of another graph.
            CorruptCheckpointError: the files are damaged; its report lists what was assigned.
        """
        self.settle()
        with waiting.quiet(), without_collections():
            self._run(session)
        self.outstanding.is_run = True
        self.settle()
        return self

    def initialize_or_restore(self, session: Session | None = None) -> NameBasedSaverStatus:
        """Give all that exists its stored values, then what still has none its initial one.

        Args:
            session: as in `run_restore_ops`.

        Returns:
            this status.

        Raises:
            CheckpointError, RuntimeError, ValueError: as `run_restore_ops`.
        """
        self.run_restore_ops(session)
        initialize_objects(self._roots(self._holder), session)
        return self

    def __repr__(self) -> str:
        return f"<NameBasedSaverStatus of {self._source.path}>"

    def _match(
        self, puts: _Puts | None = None, session: Session | None = None
    ) -> tuple[NamedObjects, dict[NamedTarget, NamedValue], NameMatch]:
        """Compare what exists now with the names of the checkpoint."""
        found = named_objects(self._holder, self._roots(self._holder), self._options)
        put = (_Puts() if puts is None else puts).put
        targets = {target_of(v, self._note, put, session): v for v in found.values}
        match = match_by_name(self._source, targets, self._options)
        unused = match.unused if self._options.only is None else ()
        unused = [entry for entry in unused if entry.path not in found.left_out]
        return found, targets, attrs.evolve(match, unused=unused)

    def _run(self, session: Session | None) -> None:
        puts = _Puts()
        found, _, match = self._match(puts, session)
        self._warn_of_unknown_paths()
        require_fit(match)
        matched = [*match.matched, *self._counter_target(found)]
        give_by_name(attrs.evolve(match, matched=matched), verify=self._options.verify)
        puts.finish()
        if puts.refused:
            raise puts.refusal(self._source.path)

    def _counter_target(self, found: NamedObjects) -> list[tuple[NamedTarget, int]]:
        """Return what restores the save counter, where the checkpoint has one that fits."""
        counter = found.counter
        if counter is None or any(value.name == SAVE_COUNTER for value in found.values):
            return []
        value = NamedValue(SAVE_COUNTER, SAVE_COUNTER, counter)
        target = target_of(value, lambda _: None, _Puts().put, None)
        names = {SAVE_COUNTER: self._source.names.get(SAVE_COUNTER, ())}
        return list(match_by_name(self._source, [target], names=names).matched)

    def _note(self, live: Any) -> None:
        """Note that a Variable, an array or a scalar was given its value."""
        if isinstance(live, Variable):
            tracking = tracking_of(live)
            tracking.restored = max(tracking.restored, self._order)
        try:
            self._given[id(live)] = weakref.ref(live)
        except TypeError:  # numpy scalars are small enough to be kept
            self._given[id(live)] = lambda: live

    def _is_noted(self, live: Any) -> bool:
        reference = self._given.get(id(live))
        return reference is not None and reference() is live

    def _is_given_later(self, live: Any) -> bool:
        tracking = peek_tracking(live) if isinstance(live, Variable) else None
        return tracking is not None and tracking.restored > self._order

    def _require_all(self) -> None:
        """Check at the call what the assertions check after a run (`defer=False`)."""
        _, _, match = self._match()
        require_fit(match)
        report = match.report(target for target, _ in match.matched)
        problem = report.why_not_consumed()
        if problem:
            problem = f"{problem} Nothing was assigned, because of defer=False."
        self._require(report, problem)

    def _require(self, report: Report, problem: str) -> NameBasedSaverStatus:
        if problem:
            raise UnmatchedError(problem).with_report(report)
        return self

    def _warn_of_unknown_paths(self) -> None:
        """Say once which paths of the options lead to nothing, now that all should exist."""
        options = self._options
        named = [("only", path) for path in options.only or ()]
        named += [("skip", path) for path in options.skip or ()]
        named += [("rename", path) for path, _ in options.rename]
        if self._is_warned or not named:
            return
        self._is_warned = True
        live = walk(*self._roots(self._holder))
        unknown = [f"{option}={path!r}" for option, path in named if not _leads_on(live, path)]
        if unknown:
            warn(
                f"{self._source.path}: {', '.join(unknown)} leads to nothing in the program. Of a"
                " name-based checkpoint, the options name paths of the program, such as"
                " 'model/encoder'."
            )


def _leads_on(live: Walk, path: str) -> bool:
    """Tell whether a path, not only the first one to its end, leads to a live node."""
    node: int | None = 0
    for component in path.split("/") if path else ():
        edges = live.children[node] if node is not None else ()
        node = next((child for name, child in edges if escape(str(name)) == component), None)
    # What leads to slot variables is no edge.
    return node is not None or any(path == live.paths.full(s.slot_variable) for s in live.slots)


def _check_options(source: CheckpointSource, options: RestoreOptions) -> None:
    """Refuse options that a name-based checkpoint has nothing for."""
    if options.at is not None:
        raise ValueError(
            f"at={options.at!r}: {source.path} is a name-based checkpoint, which holds no objects"
            " to restore from. Leave at= out, and say rename={'path in the program': 'name'} for"
            " names that differ."
        )
    for path, name in options.rename:
        if name not in source.names:
            near = get_close_matches(name, source.names, n=3) or sorted(source.names)[:10]
            raise TensorNotFoundError(
                f"{source.path}: rename={{{path!r}: {name!r}}}: it holds no tensor of this name."
                f" It holds {', '.join(near) or 'none'}. Correct the name."
            )


def _with_run(report: Report, complain: Callable[[Report], str]) -> str:
    """Return what is wrong; that nothing was run yet comes first."""
    problem = complain(attrs.evolve(report, pending=()))
    count = len(report.pending)
    if not count:
        return problem
    values = "1 value has" if count == 1 else f"{count:,} values have"
    shown = ", ".join(entry.path for entry in report.pending[:5])
    not_run = (
        f"{report.source}: {values} not been given yet ({shown}{', ...' if count > 5 else ''})."
        " A name-based checkpoint is restored by run_restore_ops() or initialize_or_restore();"
        " call one of them first, in eager execution too."
    )
    return f"{not_run}\n{problem}" if problem else not_run


def _why_nothing(report: Report) -> str:
    if report.pending:
        return ""
    stored = ", ".join(entry.path for entry in report.unused[:5])
    return (
        f"{report.source}: no name was matched; it holds {stored or 'nothing'}. Variables go by"
        " their `name`, arrays by their path; RestoreOptions(rename=) says which names differ."
    )


def _why_unused(entry: Entry, found: NamedObjects) -> Entry:
    """Say of a stored name where the program has something that cannot take it."""
    if any(entry.path == skipped.path for skipped in found.skipped):
        reason = "the program has no array there: make it a Variable, or a numpy array"
        return attrs.evolve(entry, reason=reason)
    return entry


def _entry(value: NamedValue, reason: str = "") -> Entry:
    like = value.live.pattern_array() if isinstance(value.live, Variable) else value.live
    return Entry(value.path, array_dtype_name(np.asarray(like)), like.shape, reason)


class _Puts:
    """Puts new values into the places of scalars and read-only arrays, in one run."""

    def __init__(self) -> None:
        self._rebinding = Rebinding()
        #: Where the user's classes refused a value, and the error.
        self.refused: list[tuple[str, Exception]] = []

    def put(self, value: NamedValue, new: Any) -> bool:
        """Put a new value into the place of another; tell whether it was taken."""
        if value.place is None:
            return False
        return self._call(value.path, partial(self._rebinding.put, value.place, new, 0))

    def finish(self) -> None:
        """Put the tuples and foreign objects into their places that had to be made anew."""
        self._rebinding.finish(
            lambda _, place, put: self._call("/".join(map(str, place.names)), put)
        )

    def refusal(self, source: str) -> IncompatibleCheckpointError:
        """Return the error for what was refused; the first refusal is its cause."""
        lines = [f"{path}: {type(e).__name__}: {e}" for path, e in self.refused]
        text = f"{source}: objects refused stored values; all others were given."
        error = IncompatibleCheckpointError("\n  ".join([text, *lines]))
        error.__cause__ = self.refused[0][1]
        self.refused.clear()  # else the cause would keep itself alive
        return error

    def _call(self, path: str, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:
            self.refused.append((path, error))
            return False
        return True
