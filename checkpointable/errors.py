"""Every error and warning of the library, one tree under `CheckpointError`.

Each class is also the builtin that a caller would expect, so either can be caught:

    CheckpointError
    |- CheckpointNotFoundError      FileNotFoundError, ValueError
    |- CheckpointExistsError        FileExistsError
    |- TensorNotFoundError          KeyError
    |- CorruptCheckpointError       ValueError
    |- IncompatibleCheckpointError  ValueError
    |- UnmatchedError               AssertionError
    |- NotCheckpointableError       TypeError, ValueError
    |- StorageError                 OSError
    |- DirectoryInUseError          RuntimeError
    |- UnsupportedFormatError       ValueError
    `- MissingDependencyError       ImportError

A message has three parts: where, expected versus found, what to do.
The parts are kept as attributes too.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import Any, Final, Self

_PACKAGE: Final = __name__.partition(".")[0]
_OURS: Final = f"{_PACKAGE}."


class CheckpointError(Exception):
    """The root of all errors that this library raises for a user's situation."""

    #: The report of the restore that failed, where there was one.
    report: Any = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def with_report(self, report: Any) -> Self:
        """Attach the report of the restore that failed, and return the error.

        An error is raised as it is made, without a name of its own: a variable in the frame that
        raises it would keep all frames alive until the next garbage collection.
        """
        self.report = report
        return self

    def __str__(self) -> str:
        return self.message


class CheckpointNotFoundError(CheckpointError, FileNotFoundError, ValueError):
    """There is no checkpoint at the path."""


class CheckpointExistsError(CheckpointError, FileExistsError):
    """A file stands where a checkpoint would be written, and may not be replaced."""


class TensorNotFoundError(CheckpointError, KeyError):
    """The checkpoint holds no tensor of that name."""


class CorruptCheckpointError(CheckpointError, ValueError):
    """A file is damaged: it breaks a rule of the format.

    Attributes:
        file: the damaged file.
        rule: the number of the broken rule in `docs/format.md`, such as `F-12`.
        expected: what the rule asks for.
        found: what stands in the file.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        rule: str = "",
        expected: object = None,
        found: object = None,
    ) -> None:
        super().__init__(message)
        self.file = file
        self.rule = rule
        self.expected = expected
        self.found = found


class IncompatibleCheckpointError(CheckpointError, ValueError):
    """A stored value does not fit the live one.

    Attributes:
        mismatches: one record per value: its path and both sides.
    """

    def __init__(self, message: str, *, mismatches: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.mismatches = mismatches


class UnmatchedError(CheckpointError, AssertionError):
    """An assertion about a restore does not hold."""


class NotCheckpointableError(CheckpointError, TypeError, ValueError):
    """An object cannot be saved as it is.

    Attributes:
        path: where the object stands, from the root.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class StorageError(CheckpointError, OSError):
    """The storage refused an operation; `errno` and `filename` say what and where."""

    def __init__(self, message: str, *, errno: int | None = None, path: str = "") -> None:
        super().__init__(message)
        self.errno = errno
        self.filename = path


class DirectoryInUseError(CheckpointError, RuntimeError):
    """Another live manager owns this directory and name."""


class UnsupportedFormatError(CheckpointError, ValueError):
    """The file is of a format or version that this library does not read."""


class MissingDependencyError(CheckpointError, ImportError):
    """An optional package is needed; the message holds the line that installs it."""


class CheckpointWarning(UserWarning):
    """The root of all warnings that this library gives."""


class UndeclaredStateWarning(CheckpointWarning):
    """An attribute looks like state, but nothing declares it, so it was not saved."""


def warn(message: str, category: type[CheckpointWarning] = CheckpointWarning) -> None:
    """Give a warning that points at the line outside this library that led to it."""
    warnings.warn(message, category, stacklevel=outer_frame()[1])


def outer_frame() -> tuple[FrameType, int]:
    """Return the frame outside this library that led to the caller, and how far above it is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__") or ""
        if not module.startswith(_OURS) and module != _PACKAGE:
            break
        level, frame = level + 1, frame.f_back
    return frame, level


def storage_error(error: OSError, action: str, path: str | os.PathLike[str]) -> StorageError:
    """Describe an operating system error: what was tried, on which path, and why it failed."""
    name = os.fspath(path)
    reason = error.strerror or str(error) or type(error).__name__
    return StorageError(f"{name}: could not {action}: {reason}.", errno=error.errno, path=name)
