"""The order watcher: checks a recording against the rules of docs/durability.md."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from checkpointable.bundle.files import FileKind, read_name
from checkpointable.directory.state_file import STATE_FILE
from tests.harness.recording import (
    Create,
    FailedSync,
    Operation,
    Remove,
    Removed,
    Rename,
    Started,
    Sync,
    SyncDir,
    Told,
    Write,
)

_TEMPORARY = (FileKind.COMMIT_TEMPORARY, FileKind.SHARD_TEMPORARY)
_COMMIT = (FileKind.INDEX, FileKind.SAFETENSORS, FileKind.BARE)


def breaches(log: Iterable[Operation]) -> list[str]:
    """Return each operation that breaks an order rule, with the rule that it breaks."""
    watch = _Watch()
    for operation in log:
        watch.see(operation)
    return watch.found


class _Watch:
    """What is written, named and synced at some moment of a log."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._durable = True
        self._dirty: set[int] = set()  # files with data that no sync covers
        self._abandoned: set[int] = set()  # files whose sync failed
        self._names: dict[int, str] = {}
        self._gone: set[int] = set()  # files that were removed under their last name
        self._pending: list[tuple[str, FileKind, str]] = []  # names whose directory is not synced

    def see(self, operation: Operation) -> None:
        if isinstance(operation, Started):
            self._durable = operation.durable
        elif isinstance(operation, Told | Removed):
            self._see_told()
        elif isinstance(operation, Create):
            self._see_create(operation)
        elif isinstance(operation, Write):
            self._see_write(operation)
        elif isinstance(operation, Sync | FailedSync):
            self._see_sync(operation)
        elif isinstance(operation, Rename):
            self._see_rename(operation)
        elif isinstance(operation, Remove):
            self._see_remove(operation)
        elif isinstance(operation, SyncDir):
            self._pending = [p for p in self._pending if p[0] != operation.path]

    def _see_create(self, operation: Create) -> None:
        self._names[operation.file] = operation.path
        if _kind(operation.path) not in _TEMPORARY:
            self._breach("a file is created under its final name", operation)

    def _see_write(self, operation: Write) -> None:
        if operation.file in self._abandoned:
            self._breach("D-7: a file is written to after its sync failed", operation.file)
        if _kind(self._names[operation.file]) not in _TEMPORARY:
            self._breach("a visible file is written to", self._names[operation.file])
        self._dirty.add(operation.file)

    def _see_sync(self, operation: Sync | FailedSync) -> None:
        if operation.file in self._abandoned:
            self._breach("D-7: a file is synced again after its sync failed", operation.file)
        if isinstance(operation, FailedSync):
            self._abandoned.add(operation.file)
        else:
            self._dirty.discard(operation.file)

    def _see_rename(self, operation: Rename) -> None:
        kind = _kind(operation.destination)
        has_token = read_name(posixpath.basename(operation.destination)).token
        if kind is FileKind.SHARD and not has_token and self._stands(operation.destination):
            self._breach("D-4: a shard without token takes the name of another", operation)
        self._names[operation.file] = operation.destination
        if operation.file in self._abandoned:
            self._breach("D-7: a file whose sync failed is renamed", operation)
        if posixpath.basename(operation.destination) == STATE_FILE:
            self._see_hint(operation)
            return
        if self._durable and operation.file in self._dirty:
            self._breach("D-2: a file is renamed before it is synced", operation)
        if self._durable and kind in _COMMIT and self._waits(operation.destination, FileKind.SHARD):
            self._breach("D-1: a commit file is named before its shards' names are", operation)
        self._note(operation.destination, "named")

    def _see_hint(self, operation: Rename) -> None:
        """A hint need not be synced, but may name nothing that could still vanish."""
        self._dirty.discard(operation.file)
        if self._durable and any(p[2] == "named" and p[1] in _COMMIT for p in self._pending):
            self._breach("D-2: the state file names what is not synced yet", operation)

    def _see_remove(self, operation: Remove) -> None:
        kind = _kind(operation.path)
        self._gone |= {file for file, path in self._names.items() if path == operation.path}
        waits = any(self._waits(operation.path, commit) for commit in _COMMIT)
        if kind is FileKind.SHARD and self._durable and waits:
            self._breach("D-1: a shard is removed before the index's names are synced", operation)
        if kind in _COMMIT:
            self._note(operation.path, "removed")

    def _see_told(self) -> None:
        if self._durable and (self._pending or self._dirty & set(self._visible())):
            self._breach("D-2: the caller is told before all is synced", self._pending)

    def _visible(self) -> Iterable[int]:
        return (file for file, path in self._names.items() if _kind(path) not in _TEMPORARY)

    def _stands(self, path: str) -> bool:
        return any(own == path and file not in self._gone for file, own in self._names.items())

    def _note(self, path: str, what: str) -> None:
        self._pending.append((posixpath.dirname(path), _kind(path), what))

    def _waits(self, path: str, kind: FileKind) -> bool:
        directory = posixpath.dirname(path)
        return any(p[0] == directory and p[1] is kind for p in self._pending)

    def _breach(self, rule: str, where: object) -> None:
        self.found.append(f"{rule}: {where}")


def _kind(path: str) -> FileKind:
    return read_name(posixpath.basename(path)).kind
