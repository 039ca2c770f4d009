"""The state file `checkpoint`: which checkpoint of a directory is the latest.

It is TensorFlow's text format, read and written. It is a hint: renamed into place without a sync,
and whoever reads it looks at the directory too (`directory/latest.py`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Final

import attrs

from checkpointable.bundle import existing, files
from checkpointable.bundle.peek import COMMIT_FILES
from checkpointable.directory.numbers import NOT_THE_FILES_FAULT, commit_status
from checkpointable.directory.replace import replace_file
from checkpointable.directory.state_text import quoted, read_fields
from checkpointable.errors import CheckpointNotFoundError, StorageError
from checkpointable.storage.base import Storage, read_all

#: What the state file is called unless another name is given.
STATE_FILE: Final = "checkpoint"

#: A longer file is none: whoever reads it must not be made to fill the memory (S-2).
LONGEST_STATE_FILE: Final = 16 << 20

#: The problem of a state file that is not there.
MISSING: Final = "is missing"

#: How the problem of a state file begins that is there, but cannot be read now.
UNREADABLE: Final = "cannot be read"


@attrs.frozen
class CheckpointState:
    """What a state file says. Paths are as they stand there: relative to its directory or not.

    Attributes:
        model_checkpoint_path: the latest checkpoint.
        all_model_checkpoint_paths: all that are kept, the oldest first.
        all_model_checkpoint_timestamps: when each was written, in seconds since 1970.
        last_preserved_timestamp: when the last one to be kept for good was written.
    """

    model_checkpoint_path: str
    all_model_checkpoint_paths: tuple[str, ...] = ()
    all_model_checkpoint_timestamps: tuple[float, ...] = ()
    last_preserved_timestamp: float | None = None

    @property
    def entries(self) -> list[tuple[str, float | None]]:
        """All that are kept, each with its time; `None` where there is not one time for each."""
        paths, times = self.all_model_checkpoint_paths, self.all_model_checkpoint_timestamps
        if len(paths) != len(times):
            return [(path, None) for path in paths]
        return list(zip(paths, times, strict=True))


@attrs.frozen
class StateFile:
    """What was found under the name of a state file.

    Attributes:
        path: where.
        state: what it says, or `None`.
        problem: why it says nothing, in the words of a sentence that begins with the path.
        mtime: when it was last written, if it is there.
    """

    path: str
    state: CheckpointState | None
    problem: str
    mtime: float = 0.0

    @property
    def is_missing(self) -> bool:
        """Whether there is none at all."""
        return self.problem == MISSING

    @property
    def is_unreadable(self) -> bool:
        """Whether it may say something, but cannot be read now."""
        return self.problem.startswith(UNREADABLE)


def change_state(
    storage: Storage,
    directory: str,
    change: Callable[[CheckpointState | None], CheckpointState | None],
    filename: str = STATE_FILE,
) -> None:
    """Read a state file, change what it says, and replace it, all in one turn.

    A crash leaves the old one, the new one, or a damaged one.

    Args:
        storage: where the directory is.
        directory: where the state file is.
        change: given what the file says (`None`: nothing), returns what it is to say; `None`: it
            is left as it is. It is called under the directory's lock.
        filename: what the state file is called.

    Raises:
        CheckpointExistsError: what stands under that name is a checkpoint.
        StorageError: the storage failed; the old state file is intact.
    """
    path = files.in_directory(directory, filename)
    with storage.lock_dir(directory) as locked:
        state = change(look_at_state(storage, directory, filename).state)
        if state is not None:
            _replace(storage, path, state, locked=locked)


def write_state(
    storage: Storage, directory: str, state: CheckpointState, filename: str = STATE_FILE
) -> None:
    """Replace a state file, whatever it said; a crash leaves what `change_state` does.

    Raises:
        CheckpointExistsError: what stands under that name is a checkpoint.
        StorageError: the storage failed; the old state file is intact.
    """
    with storage.lock_dir(directory) as locked:
        _replace(storage, files.in_directory(directory, filename), state, locked=locked)


def _replace(storage: Storage, path: str, state: CheckpointState, *, locked: bool) -> None:
    content = encode_state(state).encode()
    replace_file(storage, path, content, durable=False, locked=locked)


def record_latest(storage: Storage, prefix: str) -> None:
    """Let the state file beside a checkpoint say that it is the latest, and the only one kept.

    What the file lists under other names stays, so a `Saver` or a `CheckpointManager` that keeps
    its own there loses nothing.

    Raises:
        CheckpointExistsError: what is called `checkpoint` there is itself a checkpoint.
        StorageError: the storage failed; the old state file is intact.
    """
    directory, base = files.split_path(prefix)
    status = commit_status(storage, prefix)
    mtime = None if status is None else status.mtime
    change_state(storage, directory, lambda old: _with_latest(directory, base, mtime, old))


def _with_latest(
    directory: str, base: str, time: float | None, old: CheckpointState | None
) -> CheckpointState:
    """Return a state in which a checkpoint takes the place of all of its name."""
    if old is None:
        return CheckpointState(base, (base,))
    paths, times = old.all_model_checkpoint_paths, old.all_model_checkpoint_timestamps
    name = files.in_directory(directory, files.split_number(base)[0])
    others = [i for i, p in enumerate(paths) if _name(inside(directory, p)) != name]
    kept_times = [*(times[i] for i in others), time] if len(times) == len(paths) else []
    return CheckpointState(
        base,
        (*(paths[i] for i in others), base),
        tuple(t for t in kept_times if t is not None) if times and time is not None else (),
        old.last_preserved_timestamp,
    )


def inside(directory: str, entry: str) -> str:
    """Return the path of a state file's entry; nothing outside the directory is looked at (S-1).

    An absolute path is taken for one of this directory, which may have been moved.
    """
    entry = files.without_pattern(entry)
    if entry.startswith("/") or ".." in entry.split("/"):
        entry = posixpath.basename(entry)
    return files.in_directory(directory, posixpath.normpath(entry))


def _name(path: str) -> str:
    """Return what a checkpoint is called, with its directory but without its number."""
    directory, base = files.split_path(path)
    return files.in_directory(directory, files.split_number(base)[0])


def read_state(
    storage: Storage, directory: str, filename: str = STATE_FILE
) -> CheckpointState | None:
    """Return what a state file says; `None` if it is missing, empty, damaged or unreadable.

    Raises:
        StorageError: as `look_at_state`.
    """
    return look_at_state(storage, directory, filename).state


def look_at_state(storage: Storage, directory: str, filename: str = STATE_FILE) -> StateFile:
    """Return what a state file says, or why it says nothing.

    Raises:
        StorageError: it could not be opened for a reason that has nothing to do with it (too many
            files are open): it may well say something.
    """
    path = files.in_directory(directory, filename)
    try:
        return _look(storage, path)
    except CheckpointNotFoundError:
        return StateFile(path, None, MISSING)
    except StorageError as error:
        if error.errno in NOT_THE_FILES_FAULT:
            raise
        return StateFile(path, None, f"{UNREADABLE} ({error.message.rstrip('.')})")


def _look(storage: Storage, path: str) -> StateFile:
    status = storage.status(path)
    # A directory or a checkpoint that is called so is none, and no sign that one was damaged.
    if status is None or status.is_dir or existing.is_checkpoint(storage, COMMIT_FILES, path):
        return StateFile(path, None, MISSING)
    if status.size > LONGEST_STATE_FILE:
        return StateFile(path, None, f"is damaged: it is {status.size:,} bytes long")
    content = read_all(storage, path)
    state = decode_state(content)
    problem = "" if state is not None else "is damaged" if content.strip() else "is empty"
    return StateFile(path, state, problem, status.mtime)


def encode_state(state: CheckpointState) -> str:
    r"""Return the text of a state file.

    >>> encode_state(CheckpointState("a\nb"))
    'model_checkpoint_path: "a\\nb"\n'
    """
    lines = [f"model_checkpoint_path: {quoted(state.model_checkpoint_path)}"]
    lines += [
        f"all_model_checkpoint_paths: {quoted(path)}" for path in state.all_model_checkpoint_paths
    ]
    lines += [
        f"all_model_checkpoint_timestamps: {float(time)!r}"
        for time in state.all_model_checkpoint_timestamps
    ]
    if state.last_preserved_timestamp is not None:
        lines.append(f"last_preserved_timestamp: {float(state.last_preserved_timestamp)!r}")
    return "\n".join(lines) + "\n"


def decode_state(content: bytes) -> CheckpointState | None:
    """Return what the text of a state file says, unknown fields left out; `None` if damaged.

    >>> decode_state(b'model_checkpoint_path: "ckpt-2"').model_checkpoint_path
    'ckpt-2'
    """
    latest, preserved = "", None
    paths: list[str] = []
    times: list[float] = []
    try:
        for name, value in read_fields(content.decode("utf-8", "surrogateescape")):
            if name == "model_checkpoint_path":
                latest = value.text()  # The last one counts.
            elif name == "all_model_checkpoint_paths":
                paths.append(value.text())
            elif name == "all_model_checkpoint_timestamps":
                times.append(value.seconds())
            elif name == "last_preserved_timestamp":
                preserved = value.seconds()
    except ValueError:
        return None
    return CheckpointState(latest, tuple(paths), tuple(times), preserved) if latest else None
