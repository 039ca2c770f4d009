"""What stands in a directory before a save: checkpoints, leftovers of dead writers, numbers taken.

Call these under the directory's lock. Rules: D-3 and D-8: nothing is removed but temporaries whose
writer is dead and shards that no index names; whatever cannot be read is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, FileName, Form
from checkpointable.errors import CheckpointExistsError, StorageError
from checkpointable.storage.base import Storage


class CommitFileReader(Protocol):
    """How a commit looks into the commit files that are there."""

    def is_checkpoint(self, storage: Storage, path: str) -> bool:
        """Tell whether a regular file is the commit file of a checkpoint, damaged or not."""

    def is_own(self, storage: Storage, path: str) -> bool:
        """Tell whether this library wrote a commit file, as far as can be told from its bytes."""

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        """Return the tokens that an index names; `None` if it cannot be read."""

    def count_without_tokens(self, storage: Storage, index_path: str) -> int | None:
        """Return how many shards without token an index names; `None` if that is not known."""


def check_place(
    storage: Storage, reader: CommitFileReader, prefix: str, form: Form, *, replace: bool
) -> None:
    """Refuse a prefix at which something stands that the save may not replace.

    Raises:
        CheckpointExistsError: a checkpoint, unless `replace`; a file that is no checkpoint of a
            format that this library knows, and would be replaced, or would hide what is saved.
    """
    for path in (files.commit_file(prefix, f) for f in (*form.hiding, form)):
        if storage.status(path) is not None and not is_checkpoint(storage, reader, path):
            raise CheckpointExistsError(
                f"{path}: stands where a checkpoint is to be written, expected nothing or a"
                " checkpoint of a known format. It is never replaced: remove it, or save under"
                " another prefix."
            )
    if not replace and forms_at(storage, reader, prefix):
        raise CheckpointExistsError(
            f"{prefix}: there is a checkpoint already, and it may not be replaced. Save under"
            " another prefix, or with overwrite=True."
        )


def is_checkpoint(storage: Storage, reader: CommitFileReader, path: str) -> bool:
    """Tell whether the commit file of a checkpoint stands under the path."""
    return is_file(storage, path) and reader.is_checkpoint(storage, path)


def is_own(storage: Storage, reader: CommitFileReader, path: str) -> bool:
    """Tell whether a commit file that this library wrote stands under the path."""
    return is_checkpoint(storage, reader, path) and reader.is_own(storage, path)


def forms_at(storage: Storage, reader: CommitFileReader, prefix: str) -> list[Form]:
    """Return the forms in which a checkpoint stands at a prefix, that which readers take first."""
    paths = {form: files.commit_file(prefix, form) for form in Form}
    return [form for form, path in paths.items() if is_checkpoint(storage, reader, path)]


def highest_number(names: Iterable[str], name: str) -> int:
    """Return the highest number that a file of any form takes, writers at work included; or 0."""
    own = [entry for entry in names if entry.startswith(f"{name}-")]
    prefixes = {files.read_name(entry).prefix for entry in own}
    prefixes |= {part[0] for part in map(files.read_part_name, own) if part is not None}
    numbers = map(files.split_number, prefixes)
    return max((number or 0 for found, number in numbers if found == name), default=0)


def remove_leftovers(
    storage: Storage, reader: CommitFileReader, prefix: str, name: str
) -> list[StorageError]:
    """Remove what dead writers of checkpoints called `name` left in the directory of `prefix`.

    Returns:
        What went wrong where something could not be removed.
    """
    directory = files.split_path(prefix)[0]
    own = {
        entry: read
        for entry in storage.list_dir(directory)
        if entry.startswith(name)
        and files.split_number((read := files.read_name(entry)).prefix)[0] == name
    }
    dead = _dead_temporaries(storage, directory, own)
    orphans = _orphans(storage, reader, directory, own)
    if orphans:
        # D-1: the removal of the index that named them may not have reached the disk yet. This
        # is about older checkpoints, so it is done whatever this save's `durable` says.
        storage.sync_dir(directory)
    return remove_all(storage, dead + orphans)


def remove_dead_temporaries(storage: Storage, path: str) -> list[StorageError]:
    """Remove the temporaries of one file that a dead writer left; return what went wrong."""
    directory, base = files.split_path(path)
    entries = {entry: files.read_name(entry) for entry in storage.list_dir(directory)}
    own = {e: read for e, read in entries.items() if e.startswith(f"{base}.{read.token}.")}
    return remove_all(storage, _dead_temporaries(storage, directory, own))


def shards_of(storage: Storage, prefix: str) -> list[str]:
    """Return the paths of all shards of a prefix, with and without token."""
    directory, base = files.split_path(prefix)
    return [
        files.in_directory(directory, entry)
        for entry in storage.list_dir(directory)
        if entry.startswith(base)
        and (read := files.read_name(entry)).kind is FileKind.SHARD
        and read.prefix == base
    ]


def unnamed_without_tokens(storage: Storage, reader: CommitFileReader, prefix: str) -> list[str]:
    """Return the shards without token at a prefix that nothing names, as far as can be told.

    Ask only for a prefix that is about to be replaced: TensorFlow itself may be writing them.
    """
    index = files.index_file(prefix)
    is_index = storage.status(index) is not None
    count = reader.count_without_tokens(storage, index) if is_index else 0
    if count is None:
        return []
    named = {files.shard_file(prefix, shard, count) for shard in range(count)}
    found = regular_files(storage, shards_of(storage, prefix))
    if not named <= {*found}:
        return []  # It is damaged: whatever is there may be of use to somebody.
    return [
        path
        for path in found
        if path not in named and not files.read_name(files.split_path(path)[1]).token
    ]


def free_count(storage: Storage, prefix: str, least: int) -> int:
    """Return the smallest number of shards that no shard without token of a prefix speaks of.

    Raises:
        StorageError: there is none.
    """
    reads = (files.read_name(files.split_path(path)[1]) for path in shards_of(storage, prefix))
    taken = {read.count for read in reads if not read.token}
    for count in range(least, files.MOST_SHARDS + 1):
        if count not in taken:
            return count
    raise StorageError(
        f"{prefix}: files of every number of shards stand there, expected a number that is free."
        " Remove them with remove_checkpoint, or save under another prefix.",
        path=prefix,
    )


def remove_all(storage: Storage, paths: Iterable[str]) -> list[StorageError]:
    """Remove files as far as possible; return what went wrong."""
    failures: list[StorageError] = []
    for path in paths:
        try:
            storage.remove(path)
        except StorageError as error:
            failures.append(error)
    return failures


def _shard_names(base: str, tokens: Sequence[str]) -> set[str]:
    return {files.shard_file(base, shard, len(tokens), t) for shard, t in enumerate(tokens)}


def is_file(storage: Storage, path: str) -> bool:
    """Tell whether a regular file stands under the path; a link is none."""
    status = storage.status(path)
    return status is not None and status.is_file


def _dead_temporaries(storage: Storage, directory: str, own: dict[str, FileName]) -> list[str]:
    """Return the temporaries of saves whose temporary commit file nobody has locked."""
    kinds = (FileKind.SHARD_TEMPORARY, FileKind.COMMIT_TEMPORARY)
    alive = {
        read.token
        for entry, read in own.items()
        if read.kind is FileKind.COMMIT_TEMPORARY
        and storage.is_locked(files.in_directory(directory, entry))
    }
    found = [e for e, read in own.items() if read.kind in kinds and read.token not in alive]
    return regular_files(storage, [files.in_directory(directory, e) for e in found])


def _orphans(
    storage: Storage, reader: CommitFileReader, directory: str, own: dict[str, FileName]
) -> list[str]:
    """Return the shards with a token that no index of their prefix names.

    One without a token is never an orphan: TensorFlow, which takes no locks, may be writing it.
    """
    shards: dict[str, dict[str, FileName]] = defaultdict(dict)
    mixed: set[str] = set()  # An index of TensorFlow's may have come after the shards.
    for entry, read in own.items():
        if read.kind is FileKind.SHARD and read.token:
            shards[read.prefix][entry] = read
        elif read.kind is FileKind.SHARD:
            mixed.add(read.prefix)
    orphans: list[str] = []
    for base, present in shards.items():
        if files.index_file(base) not in own:
            orphans += present
        elif base in mixed or not _is_one_set(present.values()):
            tokens = reader.tokens(storage, files.in_directory(directory, files.index_file(base)))
            named = present.keys() if tokens is None else _shard_names(base, tokens)
            orphans += present.keys() - named
    return regular_files(storage, [files.in_directory(directory, e) for e in sorted(orphans)])


def _is_one_set(shards: Iterable[FileName]) -> bool:
    """Tell whether the shards are those of one checkpoint, so that its index need not be read."""
    found = sorted((read.count, read.shard) for read in shards)
    return found == [(len(found), shard) for shard in range(len(found))]


def regular_files(storage: Storage, paths: Iterable[str]) -> list[str]:
    """Return those of the paths under which regular files stand."""
    return [path for path in paths if is_file(storage, path)]
