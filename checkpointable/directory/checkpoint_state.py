"""State files as programs see them: what one says, and to write one anew."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from checkpointable.bundle import files
from checkpointable.directory.numbers import status_if_known
from checkpointable.directory.state_file import (
    STATE_FILE,
    CheckpointState,
    look_at_state,
    write_state,
)
from checkpointable.errors import warn
from checkpointable.storage.base import PathLike, Storage, path_text, path_texts
from checkpointable.storage.local import LOCAL


def get_checkpoint_state(
    checkpoint_dir: PathLike, latest_filename: str | None = None, *, storage: Storage = LOCAL
) -> CheckpointState | None:
    """Return what the state file of a directory says, its paths joined with the directory.

    It is what was written; whether the checkpoints are still there is not looked at, and they may
    go at any time. `latest_checkpoint` finds one that is there. A state file is replaced as a
    whole, so it can be read while others save. Thread-safe.

    Args:
        checkpoint_dir: where the state file is.
        latest_filename: what it is called, if not `checkpoint`.
        storage: where the directory is.

    Returns:
        a `CheckpointState`. An absolute path that leads out of the directory is replaced by that
        of the checkpoint of the same name in the directory, if there is one: the directory was
        moved. `None` if there is no state file; with a `CheckpointWarning` if it is empty, damaged
        or cannot be read.

    Raises:
        StorageError: files cannot be opened for a reason that has nothing to do with them.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(step=1).save(directory + "/ckpt")
        ...     ckpt.get_checkpoint_state(directory).model_checkpoint_path == path
        True
    """
    directory = path_text(checkpoint_dir)
    found = look_at_state(storage, directory, latest_filename or STATE_FILE)
    if found.state is None:
        if not found.is_missing:
            warn(
                f"{found.path}: {found.problem}, expected the text of a state file. The next save"
                " that records its checkpoint there, or update_checkpoint_state, puts it right."
            )
        return None
    state = found.state
    return CheckpointState(
        _joined(storage, directory, state.model_checkpoint_path),
        tuple(_joined(storage, directory, p) for p in state.all_model_checkpoint_paths),
        state.all_model_checkpoint_timestamps,
        state.last_preserved_timestamp,
    )


def update_checkpoint_state(  # noqa: PLR0917 - the signature that users know
    save_dir: PathLike,
    model_checkpoint_path: PathLike,
    all_model_checkpoint_paths: Iterable[PathLike] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Iterable[float] | None = None,
    last_preserved_timestamp: float | None = None,
    *,
    storage: Storage = LOCAL,
) -> None:
    """Write the state file of a directory anew, whatever it said.

    A crash leaves the old one, the new one, or a damaged one, and never harms a checkpoint. Takes
    its turn with saves into the directory. Thread-safe.

    Args:
        save_dir: where the state file is; a directory that exists.
        model_checkpoint_path: the latest checkpoint. A relative path is one from the working
            directory if `save_dir` is relative too, else one from `save_dir`.
        all_model_checkpoint_paths: all that are kept, the oldest first; the latest is appended
            if it is not the last. The list that is given is not changed.
        latest_filename: what the state file is called, if not `checkpoint`.
        all_model_checkpoint_timestamps: when each of them was written, in seconds since 1970.
        last_preserved_timestamp: when the last one to be kept for good was written.
        storage: where the directory is.

    Raises:
        CheckpointExistsError: what is called as the state file is a checkpoint.
        RuntimeError: the state file would be called exactly as the latest checkpoint.
        StorageError: the storage failed, or there is no such directory; the old file is intact.
        TypeError: something is no path, or one path is given instead of a list of them.
        ValueError: there is not one timestamp for each path, or a name is empty or a path.

    Paths inside `save_dir` are written relative to it, so that the directory can be moved;
    TensorFlow writes them as they are given.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     for name in ("/a", "/b"):
        ...         path = ckpt.Checkpoint(step=1).write(directory + name)
        ...     ckpt.update_checkpoint_state(directory, directory + "/a")
        ...     ckpt.latest_checkpoint(directory) == directory + "/a"
        True
    """
    directory, latest = path_text(save_dir), path_text(model_checkpoint_path)
    filename = _checked_filename(directory, latest, latest_filename)
    given = () if all_model_checkpoint_paths is None else all_model_checkpoint_paths
    paths = path_texts("all_model_checkpoint_paths", given)
    if not paths or paths[-1] != latest:
        paths.append(latest)
    timestamps = () if all_model_checkpoint_timestamps is None else all_model_checkpoint_timestamps
    times = tuple(float(time) for time in timestamps)
    if times and len(times) != len(paths):
        raise ValueError(
            f"{directory}: {len(times)} timestamps are given for {len(paths)} checkpoints (the"
            " latest included), expected one for each, or none."
        )
    preserved = None if last_preserved_timestamp is None else float(last_preserved_timestamp)
    written = tuple(_relative(directory, path) for path in paths)
    state = CheckpointState(written[-1], written, times, preserved)
    write_state(storage, directory, state, filename)


def _checked_filename(directory: str, latest: str, latest_filename: str | None) -> str:
    """Return the name of the state file, having refused what cannot be."""
    filename = latest_filename or STATE_FILE
    if "/" in filename:
        raise ValueError(
            f"latest_filename is {filename!r}, expected the name of a file in {directory!r},"
            " without a directory"
        )
    relative = _relative(directory, latest)
    if not posixpath.basename(latest) or posixpath.basename(relative) in {".", ".."}:
        raise ValueError(f"model_checkpoint_path is {latest!r}, expected the path of a checkpoint")
    if relative == filename:
        raise RuntimeError(
            f"{latest}: the state file would be called exactly as the checkpoint, and the one would"
            " hide the other. Choose another name for one of the two."
        )
    return filename


def _joined(storage: Storage, directory: str, entry: str) -> str:
    """Return the path of an entry of a state file."""
    if not entry.startswith("/"):
        return files.in_directory(directory, entry)
    folder, base = posixpath.split(posixpath.normpath(entry))
    if folder != posixpath.abspath(directory):
        moved = files.in_directory(directory, base)
        if status_if_known(storage, files.without_pattern(moved)) is not None:
            return moved
    return entry


def _relative(directory: str, path: str) -> str:
    """Return a path as it is written: relative to the directory, unless it leads out of it."""
    if not path.startswith("/") and directory.startswith("/"):
        return posixpath.normpath(path)
    relative = posixpath.relpath(path, directory)
    leads_out = relative == ".." or relative.startswith("../")
    return path if leads_out and path.startswith("/") else relative
