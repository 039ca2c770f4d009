"""The status objects that every restore returns: views of one report, and assertions on it."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

from checkpointable.errors import UnmatchedError
from checkpointable.graph.walk import walk
from checkpointable.restore.books import Roots
from checkpointable.restore.report import Report
from checkpointable.restore.restoration import Restoration
from checkpointable.session.session import Session
from checkpointable.trackable import waiting
from checkpointable.trackable.base import Variable


class LoadStatus(ABC):
    """What `restore` returns: it can say, and assert, what matched.

    All methods but `report` return the status itself, so that calls can be chained.
    """

    @abstractmethod
    def report(self) -> Report:
        """Return what matched and what did not, as of now."""

    @abstractmethod
    def assert_consumed(self) -> LoadStatus:
        """Raise `UnmatchedError` unless the program and the checkpoint match in full."""

    @abstractmethod
    def assert_existing_objects_matched(self) -> LoadStatus:
        """Raise `UnmatchedError` unless every live value has its stored one."""

    @abstractmethod
    def assert_nontrivial_match(self) -> LoadStatus:
        """Raise `UnmatchedError` if nothing but the root was matched."""

    @abstractmethod
    def expect_partial(self) -> LoadStatus:
        """Say that values may stay unmatched: no warning will name them."""

    @abstractmethod
    def run_restore_ops(self, session: Session | None = None) -> LoadStatus:
        """Give Variables of a graph their values in a session."""

    @abstractmethod
    def initialize_or_restore(self, session: Session | None = None) -> LoadStatus:
        """Run the restore operations, then give what still has no value its initial one."""

    def settle(self) -> LoadStatus:
        """Give every waiting value whose object has come since to that object."""
        waiting.settle()
        return self


@final
class CheckpointLoadStatus(LoadStatus):
    """The status of a restore from an object-based checkpoint.

    It keeps the restored objects alive, and the files open as long as it holds restore operations.
    It may be used from any thread.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(step=3).save(directory + "/ckpt")
        ...     resumed = ckpt.Checkpoint(step=0)
        ...     status = resumed.restore(path).assert_consumed()
        >>> resumed.step, [entry.path for entry in status.report().restored]
        (3, ['step'])
    """

    def __init__(self, restoration: Restoration) -> None:
        self._restoration = restoration
        self._holder = restoration.books.holder()
        self._root = restoration.books.roots()[0]
        restoration.status = weakref.ref(self)
        # Only the status can run what was recorded for Variables of a graph.
        weakref.finalize(self, restoration.release).atexit = False

    def report(self) -> Report:
        """Return what matched and what did not, as of now.

        Waiting values whose objects have come since are given to them first.

        Raises:
            IncompatibleCheckpointError: one of them does not fit.
        """
        self.settle()
        return self._restoration.report()

    def assert_consumed(self) -> CheckpointLoadStatus:
        """Raise unless the program and the checkpoint match in full.

        Every live value has its stored one, every stored value its object, none was given to two
        objects, and none did not fit. What the options left out does not count.

        Raises:
            UnmatchedError: with the paths of what did not match, and `report`.
        """
        report = self.report()
        return self._require(report, report.why_not_consumed())

    def assert_existing_objects_matched(self) -> CheckpointLoadStatus:
        """Raise unless every live value has its stored one, from this restore or a later one.

        Raises:
            UnmatchedError: with the paths of those that have none, and `report`.
        """
        report = self.report()
        return self._require(report, report.why_not_existing_matched())

    def assert_nontrivial_match(self) -> CheckpointLoadStatus:
        """Raise if no value and no object below the root was matched.

        Raises:
            UnmatchedError: the checkpoint and the program have nothing in common.
        """
        report = self.report()
        problem = ""
        if not report.restored and not self._restoration.books.matched_below_root():
            problem = (
                f"{report.source}: nothing but the root was matched. Restore into the object that"
                " was saved, or name the part with RestoreOptions(at=...)."
            )
        return self._require(report, problem)

    def expect_partial(self) -> CheckpointLoadStatus:
        """Say that values may stay unmatched: saves will not warn of those that wait."""
        self._restoration.partial_expected = True
        return self

    def run_restore_ops(self, session: Session | None = None) -> CheckpointLoadStatus:
        """Give the Variables of a graph that have come so far their values in a session.

        They are read straight into the session, and verified, in any session and as often as
        wanted; the files may have been deleted. In eager execution there is nothing to do.

        Args:
            session: by default the default session.

        Returns:
            this status.

        Raises:
            RuntimeError: there is something to run, and no session.
            ValueError: the session is of another graph.
            CorruptCheckpointError: the files are damaged; its report lists what was assigned.
        """
        self.settle()
        self._restoration.run_recorded(session)
        return self

    def initialize_or_restore(self, session: Session | None = None) -> CheckpointLoadStatus:
        """Run the restore operations, then give what still has no value its initial one.

        In a graph that is the value that the initializer gives; in eager execution, zeros for
        a Variable that was made with a shape only. What has a value keeps it.

        Args:
            session: by default the default session.

        Returns:
            this status.

        Raises:
            RuntimeError, ValueError, CorruptCheckpointError: as `run_restore_ops`.
        """
        self.run_restore_ops(session)
        initialize_objects(self._restoration.books.roots(), session)
        return self

    def __repr__(self) -> str:
        return f"<CheckpointLoadStatus of {self._restoration.books.source.path}>"

    def _require(self, report: Report, problem: str) -> CheckpointLoadStatus:
        if problem:
            raise UnmatchedError(problem).with_report(report)
        return self


@final
class InitializationOnlyStatus(LoadStatus):
    """The status of `restore(None)`: there was no checkpoint, so every assertion raises.

    It keeps the objects alive that were to be restored.

    Example:
        >>> import checkpointable as ckpt
        >>> ckpt.Checkpoint(step=0).restore(None).assert_consumed()
        Traceback (most recent call last):
        ...
        checkpointable.errors.UnmatchedError: restore(None): there was no checkpoint to restore...
    """

    def __init__(self, holder: Any, roots: Callable[[Any], Roots]) -> None:
        self._holder, self._roots = holder, roots
        self._root = roots(holder)[0]

    def report(self) -> Report:
        """Return an empty report."""
        return Report("(no checkpoint)")

    def assert_consumed(self) -> InitializationOnlyStatus:
        """Raise `UnmatchedError`: nothing was restored."""
        raise self._nothing()

    def assert_existing_objects_matched(self) -> InitializationOnlyStatus:
        """Raise `UnmatchedError`: nothing was restored."""
        raise self._nothing()

    def assert_nontrivial_match(self) -> InitializationOnlyStatus:
        """Raise `UnmatchedError`: nothing was restored."""
        raise self._nothing()

    def run_restore_ops(self, session: Session | None = None) -> InitializationOnlyStatus:
        """Raise `UnmatchedError`: there is nothing to restore."""
        raise self._nothing()

    def initialize_or_restore(self, session: Session | None = None) -> InitializationOnlyStatus:
        """Give every Variable without a value its initial one.

        In a graph that is the value that the initializer gives; in eager execution, zeros for
        a Variable that was made with a shape only.

        Args:
            session: by default the default session.

        Returns:
            this status.

        Raises:
            RuntimeError: there are Variables of a graph, and no session.
            ValueError: the session is of another graph.
        """
        self.settle()
        initialize_objects(self._roots(self._holder), session)
        return self

    def expect_partial(self) -> InitializationOnlyStatus:
        """Return the status."""
        return self

    def __repr__(self) -> str:
        return "<InitializationOnlyStatus: there was no checkpoint>"

    def _nothing(self) -> UnmatchedError:
        return UnmatchedError(
            "restore(None): there was no checkpoint to restore, so no object was matched. Check"
            " the path (latest_checkpoint() returns None for a directory without checkpoints)."
        ).with_report(self.report())


def initialize_objects(roots: Roots, session: Session | None) -> None:
    """Give every reachable Variable without a value its initial one (R-26)."""
    root, attached = roots
    for live in walk(root, attached).objects:
        if isinstance(live, Variable):
            live.initialize(session)
