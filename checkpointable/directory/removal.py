"""Removes checkpoints: whole or gone at every instant, in the order of docs/durability.md.

What readers would take goes first and durably, then what it named. Nothing is removed but the files
of the prefixes that were asked for: a bare file only where its bytes are those of a checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from checkpointable.bundle import existing, files
from checkpointable.bundle.files import FileKind
from checkpointable.bundle.peek import COMMIT_FILES, Content
from checkpointable.errors import warn
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL


def remove_checkpoint(
    checkpoint_prefix: PathLike,
    checkpoint_format_version: int = 2,
    meta_graph_suffix: str = "meta",
    *,
    storage: Storage = LOCAL,
) -> None:
    """Remove all files of a checkpoint, whatever its form, and the meta graph beside it.

    A crash leaves the checkpoint whole or gone. Where shards are left over, another
    `remove_checkpoint`, or the next save of the same name, removes them. A file called exactly as
    the prefix goes only if it is a checkpoint, of whatever format. State files are not changed.
    Takes its turn with saves into the same directory; a reader that has it open keeps it.

    Args:
        checkpoint_prefix: what all its files begin with, or a sharded pattern.
        checkpoint_format_version: has no effect; all forms are removed. It is there for programs
            that give it.
        meta_graph_suffix: what the name of the meta graph ends with, after a dot.
        storage: where the checkpoint is.

    Raises:
        StorageError: the storage failed; the checkpoint is whole, or gone.
        ValueError: the prefix cannot name a checkpoint, or the suffix is no part of a file name.

    A checkpoint that is not there gives a `CheckpointWarning`.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(step=1).write(directory + "/model")
        ...     ckpt.remove_checkpoint(path)
        ...     ckpt.checkpoint_exists(path)
        False
    """
    prefix = files.without_pattern(path_text(checkpoint_prefix))
    if not meta_graph_suffix or "/" in meta_graph_suffix:
        raise ValueError(
            f"meta_graph_suffix is {meta_graph_suffix!r}, expected what the name of the meta graph"
            " ends with, such as 'meta'"
        )
    side_file = f"{prefix}.{meta_graph_suffix}"
    if remove_checkpoints(storage, [prefix], extra=[side_file]):
        warn(f"{prefix}: there is no checkpoint, so none was removed. Check the path.")


def remove_checkpoints(
    storage: Storage,
    prefixes: Iterable[str],
    *,
    extra: Iterable[str] = (),
    spare_others: bool = False,
) -> list[str]:
    """Remove checkpoints completely, with one sync for all of a directory.

    Waits for the lock of each directory, so call it outside of that.

    Args:
        storage: where they are.
        prefixes: of the checkpoints, or sharded patterns.
        extra: paths of files that go with them, such as meta graphs; a checkpoint is never removed
            as one of these.
        spare_others: leave what the checkpoints hide if another program wrote it; readers take it
            from then on.

    Returns:
        those of the prefixes at which there was nothing.

    Raises:
        StorageError: the storage failed; each checkpoint is whole, or gone.
        ValueError: a prefix cannot name a checkpoint.

    Shards and extra files that could not be removed give a `CheckpointWarning`.
    """
    bases: dict[str, list[str]] = defaultdict(list)
    side_files: dict[str, list[str]] = defaultdict(list)
    for prefix in map(files.without_pattern, prefixes):
        files.check_prefix(prefix)
        directory, base = files.split_path(prefix)
        bases[directory].append(base)
    for path in extra:
        side_files[files.split_path(path)[0]].append(path)
    missing: list[str] = []
    for directory in dict.fromkeys([*bases, *side_files]):
        missing += _remove_from(
            storage, directory, bases[directory], side_files[directory], spare_others
        )
    return missing


def _remove_from(
    storage: Storage,
    directory: str,
    bases: Sequence[str],
    side_files: Sequence[str],
    spare_others: bool,
) -> list[str]:
    """Remove checkpoints of one directory; return the prefixes at which there was nothing."""
    if not storage.list_dir(directory):
        return [files.in_directory(directory, base) for base in bases]
    with storage.lock_dir(directory):
        shards = _shards(storage, directory, bases)
        commit_files = {base: _commit_files(storage, directory, base) for base in bases}
        if spare_others:
            commit_files = {base: _own(storage, found) for base, found in commit_files.items()}
        _remove_commit_files(storage, directory, commit_files.values())
        # D-1: the removal of an index before that of its shards. This is about checkpoints that
        # were complete, so it is done whatever `durable` was when they were saved.
        storage.sync_dir(directory)
        rest = [path for base in bases for path in shards[base]]
        rest += [path for path in side_files if _is_side_file(storage, path)]
        failures = existing.remove_all(storage, rest)
    if failures:
        warn(
            f"{directory}: checkpoints are removed, but {len(failures)} files of theirs could not"
            f" be. The first: {failures[0]}"
        )
    gone = [base for base in bases if not commit_files[base] and not shards[base]]
    return [files.in_directory(directory, base) for base in gone]


def _remove_commit_files(
    storage: Storage, directory: str, commit_files: Iterable[Sequence[str]]
) -> None:
    """Remove commit files; those that another form hides must not come to light on the way."""
    found = list(commit_files)
    hidden = [path for paths in found for path in paths[1:]]
    for path in hidden:
        storage.remove(path)
    if hidden:
        storage.sync_dir(directory)
    for paths in found:
        for path in paths[:1]:
            storage.remove(path)


def _commit_files(storage: Storage, directory: str, base: str) -> list[str]:
    """Return the commit files at a prefix, the one that readers take first; then any parts."""
    prefix = files.in_directory(directory, base)
    named = [path for path in files.commit_files(prefix) if path != prefix]
    found = [path for path in named if existing.is_file(storage, path)]
    if existing.is_checkpoint(storage, COMMIT_FILES, prefix):
        found.append(prefix)
    return found + _parts(storage, directory, base)


def _own(storage: Storage, commit_files: Sequence[str]) -> list[str]:
    """Return the commit file that readers take, and those it hides that this library wrote."""
    hidden = commit_files[1:]
    own = [path for path in hidden if existing.is_own(storage, COMMIT_FILES, path)]
    return [*commit_files[:1], *own]


def _parts(storage: Storage, directory: str, base: str) -> list[str]:
    """Return the parts of checkpoints of TensorFlow's first format, each a table."""
    entries = [entry for entry in storage.list_dir(directory) if entry.startswith(f"{base}-")]
    paths = [
        files.in_directory(directory, entry)
        for entry in entries
        if (part := files.read_part_name(entry)) is not None and part[0] == base
    ]
    return [
        path
        for path in existing.regular_files(storage, paths)
        if COMMIT_FILES.content(storage, path) is Content.TABLE
    ]


def _shards(storage: Storage, directory: str, bases: Sequence[str]) -> dict[str, list[str]]:
    """Return the shards of each checkpoint, those without a token too: TensorFlow has none."""
    found: dict[str, list[str]] = {base: [] for base in bases}
    for entry in storage.list_dir(directory):
        read = files.read_name(entry)
        if read.kind is FileKind.SHARD and read.prefix in found:
            path = files.in_directory(directory, entry)
            if existing.is_file(storage, path):
                found[read.prefix].append(path)
    return found


def _is_side_file(storage: Storage, path: str) -> bool:
    return existing.is_file(storage, path) and not existing.is_checkpoint(
        storage, COMMIT_FILES, path
    )
