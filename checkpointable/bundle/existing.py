"""What stands in a directory before a save: checkpoints, leftovers of dead writers, numbers taken.

Call these under the directory's lock. Rules: D-3 and D-8: nothing is removed but temporaries whose
writer is dead and shards that no index names; whatever cannot be read is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, FileName
from checkpointable.errors import CheckpointExistsError, StorageError
from checkpointable.storage.base import Storage


class CommitFileReader(Protocol):
    """How a commit looks into the commit files that are there."""

    def is_ours(self, storage: Storage, path: str) -> bool:
        """Tell whether a regular file is a commit file of this library, damaged or not."""

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        """Return the tokens that an index names; `None` if it cannot be read."""


def check_place(
    storage: Storage, reader: CommitFileReader, prefix: str, *, single_file: bool, replace: bool
) -> None:
    """Refuse a prefix at which something stands that the save may not replace.

    Raises:
        CheckpointExistsError: a checkpoint, unless `replace`; a file that is no checkpoint of this
            library and would be replaced, or would hide what is saved.
    """
    in_the_way = [files.index_file(prefix)]
    if single_file:
        in_the_way += [prefix, files.safetensors_file(prefix)]
    for path in in_the_way:
        if storage.status(path) is not None and not is_ours(storage, reader, path):
            raise CheckpointExistsError(
                f"{path}: stands where a checkpoint is to be written, expected nothing or a"
                " checkpoint of this library. It is never replaced: remove it, or save under"
                " another prefix."
            )
    for path in () if replace else (files.index_file(prefix), prefix):
        if storage.status(path) is not None and is_ours(storage, reader, path):
            raise CheckpointExistsError(
                f"{prefix}: there is a checkpoint already, and it may not be replaced. Save under"
                " another prefix, or with overwrite=True."
            )


def is_ours(storage: Storage, reader: CommitFileReader, path: str) -> bool:
    """Tell whether a commit file of this library stands under the path."""
    return is_file(storage, path) and reader.is_ours(storage, path)


def highest_number(names: Iterable[str], name: str) -> int:
    """Return the highest number that a file of any form takes, writers at work included; or 0."""
    prefixes = {files.read_name(entry).prefix for entry in names if entry.startswith(f"{name}-")}
    numbers = map(files.split_number, prefixes)
    return max((number or 0 for own, number in numbers if own == name), default=0)


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


def unnamed_shards(storage: Storage, prefix: str, tokens: Sequence[str]) -> list[str]:
    """Return the paths of the prefix's shards that are not those of the tokens."""
    directory, base = files.split_path(prefix)
    named = _shard_names(base, tokens)
    return [
        files.in_directory(directory, entry)
        for entry in storage.list_dir(directory)
        if entry.startswith(base)
        and entry not in named
        and _is_shard_of(files.read_name(entry), base)
    ]


def remove_all(storage: Storage, paths: Iterable[str]) -> list[StorageError]:
    """Remove files as far as possible; return what went wrong."""
    failures: list[StorageError] = []
    for path in paths:
        try:
            storage.remove(path)
        except StorageError as error:
            failures.append(error)
    return failures


def _is_shard_of(read: FileName, base: str) -> bool:
    return read.kind is FileKind.SHARD and read.prefix == base and bool(read.token)


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
    return _regular_files(storage, directory, found)


def _orphans(
    storage: Storage, reader: CommitFileReader, directory: str, own: dict[str, FileName]
) -> list[str]:
    """Return the shards with a token that no index of their prefix names."""
    shards: dict[str, dict[str, FileName]] = defaultdict(dict)
    for entry, read in own.items():
        if _is_shard_of(read, read.prefix):
            shards[read.prefix][entry] = read
    orphans: list[str] = []
    for base, present in shards.items():
        if files.index_file(base) not in own:
            orphans += present
        elif not _is_one_set(present.values()):
            tokens = reader.tokens(storage, files.in_directory(directory, files.index_file(base)))
            named = present.keys() if tokens is None else _shard_names(base, tokens)
            orphans += present.keys() - named
    return _regular_files(storage, directory, sorted(orphans))


def _is_one_set(shards: Iterable[FileName]) -> bool:
    """Tell whether the shards are those of one checkpoint, so that its index need not be read."""
    found = sorted((read.count, read.shard) for read in shards)
    return found == [(len(found), shard) for shard in range(len(found))]


def _regular_files(storage: Storage, directory: str, entries: Iterable[str]) -> list[str]:
    paths = [files.in_directory(directory, entry) for entry in entries]
    return [path for path in paths if is_file(storage, path)]
