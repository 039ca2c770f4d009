"""Which checkpoint is the newest, and whether there is one at all (D-5, I-6).

Damage and races never raise here: what is not whole is no checkpoint, and the next one is looked
at. A directory that cannot be read does raise: to take it for empty would lose a long run.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.directory.folders import model_in
from checkpointable.directory.numbers import (
    NOT_THE_FILES_FAULT,
    Candidate,
    candidates,
    commit_status,
    numbered_checkpoints,
)
from checkpointable.directory.state_file import (
    STATE_FILE,
    StateFile,
    inside,
    look_at_state,
)
from checkpointable.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    MissingDependencyError,
    StorageError,
    UnsupportedFormatError,
    warn,
)
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.opening import open_checkpoint
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL

#: How often the directory is looked at again while what it holds changes.
_ATTEMPTS: Final = 100

#: How long to wait for the first state file of a directory, in seconds: a program that has just
#: saved its first checkpoint may be about to write it.
_PATIENCE: Final = (0.01, 0.02, 0.04, 0.08, 0.15, 0.2)
_YOUNG: Final = 10.0


@attrs.frozen
class Newest:
    """The newest checkpoint of a directory, and what its state file has to do with that.

    Attributes:
        path: the checkpoint, or `None`.
        state_file: the path of the state file.
        problem: why the state file was of no help, if it was not; else "".
    """

    path: str | None
    state_file: str
    problem: str = ""

    def say_so(self) -> None:
        """Give a warning if the state file was of no help."""
        if not self.problem:
            return
        taken = f"{self.path} is taken" if self.path else "it holds no checkpoint that is whole"
        warn(
            f"{self.state_file}: {self.problem}, so the directory was looked through: {taken}."
            " update_checkpoint_state, or the next save that records its checkpoint, puts it right."
        )


def latest_checkpoint(
    checkpoint_dir: PathLike, latest_filename: str | None = None, *, storage: Storage = LOCAL
) -> str | None:
    """Return the newest checkpoint of a directory whose index and file lengths are right.

    It is the one that the state file names, or one with a higher number that was saved after the
    state file was written, because the program died before it could say so. Where the state file
    is of no help, because it is missing, empty or damaged, or names what is not there or not
    whole, the directory is looked through, and a `CheckpointWarning` says so: of one name the
    highest number is the newest, between names the time of the last write decides.

    Args:
        checkpoint_dir: where to look.
        latest_filename: the name of the state file, if it is not `checkpoint`. What it does not
            list is none of its checkpoints: where there is no such file, there is none.
        storage: where the directory is.

    Returns:
        its path, or `None`. Damage, races and a missing directory raise nothing. Thread-safe.

    Raises:
        StorageError: the directory cannot be listed, or files cannot be opened for a reason that
            has nothing to do with them (too many are open): there may well be a checkpoint.

    Example:
        >>> latest_checkpoint("/no/such/directory") is None
        True
    """
    found = find_newest(storage, path_text(checkpoint_dir), latest_filename or STATE_FILE)
    found.say_so()
    return found.path


def checkpoint_exists(checkpoint_prefix: PathLike, *, storage: Storage = LOCAL) -> bool:
    """Tell whether there is a checkpoint at a prefix, with the right index and file lengths.

    A sharded pattern `PREFIX-?????-of-NNNNN` means its prefix. Of a checkpoint in a format that
    this version does not open, or not without a package that is missing, only the presence of its
    index is checked.

    Raises:
        StorageError: files cannot be opened for a reason that has nothing to do with them.

    Example:
        >>> checkpoint_exists("/no/such/directory/ckpt")
        False
    """
    path = path_text(checkpoint_prefix)
    error = _why_not(storage, path)
    if isinstance(error, UnsupportedFormatError):
        return commit_status(storage, files.without_pattern(path)) is not None
    return error is None


def get_checkpoint_mtimes(
    checkpoint_prefixes: Iterable[PathLike], *, storage: Storage = LOCAL
) -> list[float]:
    """Return when each checkpoint was written, in seconds since 1970.

    Args:
        checkpoint_prefixes: paths of checkpoints, or sharded patterns.
        storage: where they are.

    Returns:
        the times in the order of the paths. Those at which there is no checkpoint are left out, so
        the result may be shorter. Whether a checkpoint is whole is not looked at.

    Example:
        >>> get_checkpoint_mtimes(["/no/such/directory/ckpt"])
        []
    """
    prefixes = [files.without_pattern(path_text(prefix)) for prefix in checkpoint_prefixes]
    found = [commit_status(storage, prefix) for prefix in prefixes]
    return [status.mtime for status in found if status is not None]


def resolve(path: PathLike, *, storage: Storage = LOCAL) -> str:
    """Return the prefix that a path means: of a directory, its newest checkpoint or its model.

    A sharded pattern means its prefix, if there is a checkpoint; else the parts that it speaks of.
    Any other path is returned as it is; whether there is a checkpoint is found when it is opened.

    Raises:
        CheckpointNotFoundError: the directory holds no checkpoint, or it is not clear which.
        StorageError: the path cannot be looked at.
    """
    text = path_text(path)
    prefix = files.without_pattern(text)
    if any(storage.status(commit_file) for commit_file in files.commit_files(prefix)[:-1]):
        return prefix
    if not _is_directory(storage, prefix):
        return prefix if storage.status(prefix) is not None else text
    newest = model_in(storage, prefix) or latest_checkpoint(prefix, storage=storage)
    if newest is None:
        raise CheckpointNotFoundError(
            f"{prefix}: there is no checkpoint in this directory, or none whose files are whole."
            " Give the prefix of a checkpoint, or the directory in which they are saved."
        )
    return newest


def open_resolved(path: PathLike, *, storage: Storage = LOCAL) -> CheckpointSource:
    """Open the checkpoint that a path means, as `resolve` has it.

    The newest of a directory may be replaced by newer ones while it is looked for; then it is
    looked for again.

    Raises:
        CheckpointNotFoundError, StorageError: as `resolve`, or there is no checkpoint.
        CorruptCheckpointError, UnsupportedFormatError: as `open_checkpoint`.
    """
    given = path_text(path)
    for _ in range(_ATTEMPTS):
        prefix = resolve(given, storage=storage)
        try:
            return open_checkpoint(storage, prefix)
        except CheckpointNotFoundError:
            if not _is_directory(storage, given):
                raise
    raise CheckpointNotFoundError(f"{given}: its newest checkpoint is removed again and again.")


def find_newest(
    storage: Storage,
    directory: str,
    state_file: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Newest:
    """Return the newest checkpoint of a directory, beside live writers too.

    A writer moves the state file before it removes what the file named. So if the state file says
    the same before and after the directory was looked through, it is to blame for what it says;
    else all is looked at again.
    """
    found = Newest(None, files.in_directory(directory, state_file))
    patience = iter(_PATIENCE)
    for _ in range(_ATTEMPTS):
        if not _is_directory(storage, directory):
            return Newest(None, found.state_file)
        names = storage.list_dir(directory)
        state = look_at_state(storage, directory, state_file)
        if state.is_missing and state_file != STATE_FILE:
            return Newest(None, state.path)
        found = _look_through(storage, directory, state)
        if found.path is None and names != storage.list_dir(directory):
            continue  # What was there has been replaced by newer ones meanwhile.
        if not found.problem:
            return found
        if state != look_at_state(storage, directory, state_file):
            continue
        delay = next(patience, None)
        if delay is None or not _may_be_the_first(storage, directory, found, state):
            return found
        sleep(delay)
    return Newest(found.path, found.state_file)


def _may_be_the_first(storage: Storage, directory: str, found: Newest, state: StateFile) -> bool:
    """Tell whether a writer may be about to write the first state file of the directory."""
    if found.path is None or not state.is_missing:
        return False
    there = candidates(storage, directory)  # Only numbered ones are recorded in a state file.
    is_one = len(there) == 1 and there[0].number is not None
    return is_one and abs(time.time() - there[0].mtime) < _YOUNG


def _look_through(storage: Storage, directory: str, state_file: StateFile) -> Newest:
    """Return the newest checkpoint as far as one look can tell."""
    problem = state_file.problem
    if state_file.state is not None:
        entry = state_file.state.model_checkpoint_path
        named = inside(directory, entry)
        for prefix in _newer_than(storage, directory, named, state_file):
            if _why_not(storage, prefix) is None:
                return Newest(prefix, state_file.path)
        error = _why_not(storage, named)
        if error is None:
            return Newest(named, state_file.path)
        problem = f"names {entry!r}, {_reason(error)}"
    for prefix in _by_listing(storage, directory):
        if _why_not(storage, prefix) is None:
            return Newest(prefix, state_file.path, problem)
    return Newest(None, state_file.path, "" if state_file.state is None else problem)


def _reason(error: CheckpointError) -> str:
    """Say what is wrong with a checkpoint that a state file names."""
    if isinstance(error, CheckpointNotFoundError):
        return "which is not there"
    return f"which cannot be opened ({error.message.rstrip('.')})"


def _is_directory(storage: Storage, path: str) -> bool:
    """Tell whether a path leads to a directory; links on the way are followed."""
    status = storage.status(posixpath.join(path, "."))
    return status is not None and status.is_dir


def _why_not(storage: Storage, prefix: str) -> CheckpointError | None:
    """Return why a checkpoint cannot be opened; `None` if it is whole, as far as can be told."""
    try:
        open_checkpoint(storage, prefix).close()
    except MissingDependencyError:
        return None  # It is there; whoever opens it is told what to install.
    except StorageError as error:
        if error.errno in NOT_THE_FILES_FAULT:
            raise
        return error.with_traceback(None)
    except CheckpointError as error:
        return error.with_traceback(None)
    return None


def _newer_than(
    storage: Storage, directory: str, prefix: str, state_file: StateFile
) -> Iterator[str]:
    """Yield checkpoints of the same name that a program died over, the newest first.

    They have higher numbers, were saved later, and the state file, which would have been written
    next, neither lists them nor is younger. Only the usual state file is written at every save.
    """
    folder, base = files.split_path(prefix)
    name, number = files.split_number(base)
    state = state_file.state
    if number is None or state is None or files.split_path(state_file.path)[1] != STATE_FILE:
        return
    listed = {inside(directory, entry) for entry in state.all_model_checkpoint_paths}
    numbered = numbered_checkpoints(storage, files.in_directory(folder, name))
    own = numbered[number].mtime if number in numbered else 0.0
    for other in sorted(numbered, reverse=True):
        found = numbered[other]
        is_later = other > number and found.mtime >= max(own, state_file.mtime)
        if is_later and found.prefix not in listed:
            yield found.prefix


def _by_listing(storage: Storage, directory: str) -> Iterator[str]:
    """Yield every prefix in a directory, the newest first.

    Of one name the number decides: it is right also where a copy has mixed up the times.
    """
    groups: dict[tuple[str, bool], list[Candidate]] = {}
    for candidate in candidates(storage, directory):
        groups.setdefault((candidate.name, candidate.number is None), []).append(candidate)
    for group in groups.values():
        group.sort(key=lambda candidate: candidate.number or 0)
    while groups:
        newest = max(groups, key=lambda key: groups[key][-1].mtime)
        yield groups[newest].pop().prefix
        if not groups[newest]:
            del groups[newest]
