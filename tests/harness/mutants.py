"""Ways to break the commit protocol, each of which the harness must notice.

A mutant stands between the code and the recording storage and leaves out, swaps or spoils one
step. One that goes unnoticed shows that the harness could not see such a bug.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, read_name
from checkpointable.storage.base import Buffer, Storage, WritableFile, byte_views
from tests.harness.wrapping import WrappedFile, WrappedStorage

_COMMIT = (FileKind.INDEX, FileKind.SAFETENSORS, FileKind.BARE)


def _kind(path: str) -> FileKind:
    return read_name(posixpath.basename(path)).kind


class WithoutSync(WrappedStorage):
    """Leaves out the sync of one role; the roles are `ROLES`."""

    ROLES = (
        "a shard's data",
        "the commit file's data",
        "the shards' names",
        "the commit file's name",
        "the removal of the other form",
        "what came before the removal of orphans",
        "the directories made",
    )

    def __init__(self, inner: Storage, role: str) -> None:
        super().__init__(inner)
        self._role = role
        self._last = self.ROLES[5]

    def create(self, path: str) -> WritableFile:
        is_shard = _kind(path) is FileKind.SHARD_TEMPORARY
        role = self.ROLES[0] if is_shard else self.ROLES[1]
        file = self.inner.create(path)
        return _FileWithoutSync(file) if role == self._role else file

    def rename(self, source: str, destination: str) -> None:
        super().rename(source, destination)
        self._last = self.ROLES[2] if _kind(destination) is FileKind.SHARD else self.ROLES[3]

    def remove(self, path: str) -> None:
        super().remove(path)
        self._last = self.ROLES[4] if _kind(path) in _COMMIT else self.ROLES[5]

    def make_dirs(self, path: str, *, durable: bool) -> None:
        super().make_dirs(path, durable=durable and self._role != self.ROLES[6])

    def sync_dir(self, path: str) -> None:
        if self._last != self._role:
            super().sync_dir(path)
        self._last = self.ROLES[5]

    def lock_dir(self, path: str) -> AbstractContextManager[bool]:
        self._last = self.ROLES[5]  # What a killed writer did last is no concern of the next.
        return super().lock_dir(path)


class _FileWithoutSync(WrappedFile):
    def sync(self) -> None:
        pass


class WithoutAnySync(WrappedStorage):
    """Never syncs anything."""

    def create(self, path: str) -> WritableFile:
        return _FileWithoutSync(self.inner.create(path))

    def make_dirs(self, path: str, *, durable: bool) -> None:
        super().make_dirs(path, durable=False)

    def sync_dir(self, path: str) -> None:
        pass


class SyncedTooEarly(WrappedStorage):
    """Syncs each file before its last write."""

    def create(self, path: str) -> WritableFile:
        return _FileSyncedTooEarly(self.inner.create(path))


class _FileSyncedTooEarly(WrappedFile):
    def __init__(self, inner: WritableFile) -> None:
        super().__init__(inner)
        self._held: list[bytes] = []

    def write(self, buffers: Sequence[Buffer]) -> None:
        self._flush()
        self._held = [bytes(view) for view in byte_views(buffers)]

    def sync(self) -> None:
        super().sync()
        self._flush()

    def close(self) -> None:
        self._flush()
        super().close()

    def _flush(self) -> None:
        if self._held:
            super().write(self._held)
            self._held = []


class _HoldsRenames(WrappedStorage):
    """Carries out some renames later."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._held: list[tuple[str, str]] = []

    def _release(self) -> None:
        for source, destination in self._held:
            self.inner.rename(source, destination)
        self._held = []


class DirectorySyncedBeforeRename(_HoldsRenames):
    """Swaps each rename with the directory sync that follows it."""

    def rename(self, source: str, destination: str) -> None:
        self._held.append((source, destination))

    def sync_dir(self, path: str) -> None:
        super().sync_dir(path)
        self._release()

    def list_dir(self, path: str) -> list[str]:
        self._release()
        return super().list_dir(path)


class CommitFileNamedFirst(_HoldsRenames):
    """Names the shards only after the commit file is named and synced."""

    def rename(self, source: str, destination: str) -> None:
        if _kind(destination) is FileKind.SHARD:
            self._held.append((source, destination))
        else:
            super().rename(source, destination)

    def list_dir(self, path: str) -> list[str]:
        self._release()
        return super().list_dir(path)


class CommitFileRenamedBeforeShardsAreSynced(_HoldsRenames):
    """Swaps the commit file's rename with the directory sync before it."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._sync: str | None = None

    def sync_dir(self, path: str) -> None:
        self._sync = path

    def rename(self, source: str, destination: str) -> None:
        super().rename(source, destination)
        if _kind(destination) in _COMMIT and self._sync is not None:
            super().sync_dir(self._sync)
            self._sync = None


class OldIndexRemovedFirst(WrappedStorage):
    """Makes room for the new commit file by removing the old one, durably."""

    def rename(self, source: str, destination: str) -> None:
        if _kind(destination) in _COMMIT:
            self.inner.remove(destination)
            self.inner.sync_dir(posixpath.dirname(destination))
        super().rename(source, destination)


class OtherFormsRemovedFirst(WrappedStorage):
    """Makes room for the new commit file by removing those of other forms, durably."""

    def rename(self, source: str, destination: str) -> None:
        if _kind(destination) in _COMMIT:
            prefix = files.in_directory_of(
                destination, read_name(posixpath.basename(destination)).prefix
            )
            for path in {*files.commit_files(prefix)} - {destination}:
                self.inner.remove(path)
            self.inner.sync_dir(posixpath.dirname(destination))
        super().rename(source, destination)


class FirstChoiceRemovedFirst(WrappedStorage):
    """Removes the index before the safetensors file that it hides."""

    def remove(self, path: str) -> None:
        if _kind(path) is FileKind.SAFETENSORS:
            self.inner.remove(files.index_file(path.removesuffix(".safetensors")))
            self.inner.sync_dir(posixpath.dirname(path))
        super().remove(path)


class OldShardsRemovedFirst(WrappedStorage):
    """Removes the old shards just before the commit file is named."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._new: set[str] = set()

    def rename(self, source: str, destination: str) -> None:
        if _kind(destination) is FileKind.SHARD:
            self._new.add(destination)
        else:
            self._remove_old_shards(destination)
        super().rename(source, destination)

    def _remove_old_shards(self, destination: str) -> None:
        prefix = destination.removesuffix(".index")
        directory, base = files.split_path(prefix)
        for name in self.inner.list_dir(directory):
            read = read_name(name)
            path = files.in_directory(directory, name)
            is_shard = read.kind is FileKind.SHARD and read.prefix == base
            if is_shard and path not in self._new:
                self.inner.remove(path)


class OldShardsRemovedBeforeTheSync(WrappedStorage):
    """Lets the sync after the commit file's rename wait until the old shards are removed."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._committed = False
        self._waiting: str | None = None

    def rename(self, source: str, destination: str) -> None:
        super().rename(source, destination)
        self._committed = _kind(destination) in _COMMIT

    def sync_dir(self, path: str) -> None:
        if self._committed:
            self._waiting = path
        else:
            super().sync_dir(path)

    def remove(self, path: str) -> None:
        super().remove(path)
        if self._waiting is not None:
            super().sync_dir(self._waiting)
            self._waiting, self._committed = None, False


class ShardsRemovedBeforeTheCommitFile(WrappedStorage):
    """Removes a checkpoint's shards before its commit file."""

    def remove(self, path: str) -> None:
        if _kind(path) is FileKind.INDEX:
            directory, base = files.split_path(path.removesuffix(".index"))
            for name in self.inner.list_dir(directory):
                read = read_name(name)
                if read.kind is FileKind.SHARD and read.prefix == base:
                    self.inner.remove(files.in_directory(directory, name))
        super().remove(path)


class ShortWritesIgnored(WrappedStorage):
    """Writes the first half of what it is given, and says nothing."""

    def create(self, path: str) -> WritableFile:
        return _ShortFile(self.inner.create(path))


class _ShortFile(WrappedFile):
    def write(self, buffers: Sequence[Buffer]) -> None:
        data = b"".join(byte_views(buffers))
        super().write([data[: len(data) // 2]])


class IndexWrittenInPlace(WrappedStorage):
    """Writes the commit file under its final name from the start."""

    def create(self, path: str) -> WritableFile:
        if _kind(path) is not FileKind.COMMIT_TEMPORARY:
            return self.inner.create(path)
        final = self._final(path)
        self.inner.remove(final)
        return self.inner.create(final)

    def rename(self, source: str, destination: str) -> None:
        if _kind(source) is not FileKind.COMMIT_TEMPORARY:
            super().rename(source, destination)

    def _final(self, path: str) -> str:
        return path.rsplit(".", 2)[0]


class LocksIgnored(WrappedStorage):
    """Takes every writer for dead."""

    def is_locked(self, path: str) -> bool:
        return False


class SyncFailureIgnored(WrappedStorage):
    """Tries a failed sync again, as if that helped (D-7)."""

    def create(self, path: str) -> WritableFile:
        return _RetryingFile(self.inner.create(path))


class _RetryingFile(WrappedFile):
    def sync(self) -> None:
        try:
            super().sync()
        except OSError:
            super().sync()


def form_mutants() -> dict[str, Callable[[Storage], Storage]]:
    """Return every mutant that workloads of several formats must notice, the common ones too."""
    mutants: dict[str, Callable[[Storage], Storage]] = {
        f"without the sync of {role}": lambda inner, role=role: WithoutSync(inner, role)  # type: ignore[misc]
        for role in WithoutSync.ROLES[:5]
    }
    for kind in (
        WithoutAnySync,
        SyncedTooEarly,
        DirectorySyncedBeforeRename,
        CommitFileNamedFirst,
        CommitFileRenamedBeforeShardsAreSynced,
        OldIndexRemovedFirst,
        OldShardsRemovedFirst,
        OldShardsRemovedBeforeTheSync,
        OtherFormsRemovedFirst,
        FirstChoiceRemovedFirst,
        ShortWritesIgnored,
        IndexWrittenInPlace,
    ):
        mutants[kind.__name__] = kind
    return mutants


def storage_mutants() -> dict[str, Callable[[Storage], Storage]]:
    """Return every mutant that a workload without injected failures must notice."""
    mutants: dict[str, Callable[[Storage], Storage]] = {
        f"without the sync of {role}": lambda inner, role=role: WithoutSync(inner, role)  # type: ignore[misc]
        for role in WithoutSync.ROLES
    }
    for kind in (
        WithoutAnySync,
        SyncedTooEarly,
        DirectorySyncedBeforeRename,
        CommitFileNamedFirst,
        CommitFileRenamedBeforeShardsAreSynced,
        OldIndexRemovedFirst,
        OldShardsRemovedFirst,
        OldShardsRemovedBeforeTheSync,
        ShortWritesIgnored,
        IndexWrittenInPlace,
        LocksIgnored,
    ):
        mutants[kind.__name__] = kind
    return mutants
