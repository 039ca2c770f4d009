"""The commit protocol: the only way in which a checkpoint comes into being (docs/durability.md).

`begin` makes a `Commit`, the caller writes shards and commit file through it, and `finish`, or
`finish_without_tokens` where the format fixes the names of shards, puts everything under its final
name, in the order that makes a crash harmless at every instant.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self, final

from checkpointable.bundle import existing, files
from checkpointable.bundle.existing import CommitFileReader
from checkpointable.bundle.files import Form, form_for
from checkpointable.bundle.peek import COMMIT_FILES
from checkpointable.errors import StorageError, warn
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage, WritableFile, discard


def begin(
    storage: Storage,
    file_prefix: str,
    options: SaveOptions,
    *,
    numbered: bool,
    counter: int = 0,
    reader: CommitFileReader = COMMIT_FILES,
) -> Commit:
    """Begin to write a checkpoint: clear leftovers, choose its number, create its commit file.

    Missing directories are made. Waits for the directory's lock, and gives it back.

    Args:
        storage: where to write.
        file_prefix: the exact prefix; if `numbered`, what stands before the number.
        options: `format`, `single_file`, `durable` and `overwrite` count here.
        numbered: take the next number: the larger of `counter` and the highest number present,
            plus 1, with a `CheckpointWarning` if that skips numbers.
        counter: the last number that the caller knows of.
        reader: looks into the commit files that are there.

    Raises:
        ValueError: the prefix cannot name a checkpoint.
        CheckpointExistsError: something stands there that may not be replaced.
        StorageError: the storage failed, or a file name would be too long.
    """
    files.check_prefix(file_prefix, form_for(options))
    directory, base = files.split_path(file_prefix)
    name = base if numbered else files.split_number(base)[0]
    storage.make_dirs(directory, durable=options.durable)
    with storage.lock_dir(directory) as locked:
        # Without locks it cannot be known whether another writer is still at work.
        failures = existing.remove_leftovers(storage, reader, file_prefix, name) if locked else []
        number = None
        if numbered:
            taken = existing.highest_number(storage.list_dir(directory), name)
            number = max(counter, taken) + 1
        commit = Commit(storage, file_prefix, number, options, reader)
    with commit.aborted_on_error():
        _warn(commit, counter, failures)
    return commit


@final
class Commit:
    """A checkpoint in the making. Not thread-safe; one process only: a forked child cannot go on.

    Leaving the `with` block without `finish`, by an error, an interrupt or otherwise, removes the
    temporaries; a process that dies leaves them to the next save of the same name.

    Attributes:
        prefix: the final prefix of the checkpoint.
        number: its number, if it was chosen here.
        file: the commit file, to be written to before `finish`, or by `write_index`: the index,
            or the whole checkpoint in a form of one file.
    """

    def __init__(
        self,
        storage: Storage,
        file_prefix: str,
        number: int | None,
        options: SaveOptions,
        reader: CommitFileReader,
    ) -> None:
        self.prefix = file_prefix if number is None else f"{file_prefix}-{number}"
        self.number = number
        self._storage = storage
        self._options = options
        self._form = form_for(options)
        self._reader = reader
        self._directory = files.split_path(file_prefix)[0]
        self._random = secrets.token_hex(8)
        self._shards: dict[int, WritableFile] = {}
        self._sealed: set[int] = set()
        self._check_place()
        path = files.temporary_commit_file(self.prefix, self._random, self._form)
        self.file = storage.create(path)
        with self.aborted_on_error():
            self.file.lock()

    def create_shard(self, shard: int) -> WritableFile:
        """Create a shard under a temporary name; shards are counted from 0."""
        if not 0 <= shard < files.MOST_SHARDS:
            raise ValueError(
                f"{self.prefix}: shard {shard} is asked for, expected at most"
                f" {files.MOST_SHARDS:,} shards. Use a larger max_shard_bytes."
            )
        path = files.temporary_shard_file(self.prefix, shard, self._random)
        self._shards[shard] = self._storage.create(path)
        return self._shards[shard]

    def seal_shard(self, shard: int) -> None:
        """Make what was written to a shard durable, and close it."""
        file = self._shards[shard]
        if self._options.durable:
            file.sync()
        file.close()
        self._sealed.add(shard)

    def finish(self, tokens: Sequence[str]) -> None:
        """Commit: when this returns the checkpoint is complete, and durable unless not asked for.

        Args:
            tokens: one per shard: 16 hexadecimal digits that follow from the shard's content.

        Raises:
            CheckpointExistsError: something came to stand there that may not be replaced.
            StorageError: the storage failed. Whatever was there before is intact; where it is
                the last sync that failed, the new checkpoint may be in its place already.
        """
        self._check_complete(len(tokens), "tokens were given")
        if self._options.durable:
            self.file.sync()
        names = [
            files.shard_file(self.prefix, shard, len(tokens), token)
            for shard, token in enumerate(tokens)
        ]
        with self._storage.lock_dir(self._directory):
            self._check_place()
            self.file.close()  # The directory's lock protects it now; a failing close counts.
            self._name_shards(names)
            self._name_commit_file()
            failures = self._remove_replaced(names)
        self._warn_of(failures)

    def finish_without_tokens(self, count: int, write_index: Callable[[int], None]) -> None:
        """Commit a checkpoint whose shards have the names that TensorFlow fixes.

        No shard that is there is ever replaced: if need be there is one more of them than were
        written, so that none has the name of an old one. The further one is empty.

        Args:
            count: how many shards were created and sealed.
            write_index: given how many shards there will be, at least one, writes the index to
                `file`. It is called once, under the directory's lock.

        Raises:
            CheckpointExistsError, StorageError: as `finish`.
        """
        if not self._form.has_shards:
            raise RuntimeError(f"{self.prefix}: the form of this checkpoint has no shards.")
        self._check_complete(count, "shards are to be named")
        with self._storage.lock_dir(self._directory):
            self._check_place()
            self._clear_place()
            chosen = existing.free_count(self._storage, self.prefix, max(count, 1))
            for shard in range(count, chosen):
                self.create_shard(shard)
                self.seal_shard(shard)
            write_index(chosen)
            if self._options.durable:
                self.file.sync()
            self.file.close()
            names = [files.shard_file(self.prefix, shard, chosen) for shard in range(chosen)]
            with self._unnamed_on_error(names):
                self._name_shards(names)
                self._name_commit_file()
            failures = self._remove_replaced(names)
        self._warn_of(failures)

    def abort(self) -> None:
        """Close and remove the temporaries, as far as possible; harmless after `finish`."""
        # The commit file last: its lock marks the others as those of a live writer.
        discard(self._storage, [*self._shards.values(), self.file])

    @contextmanager
    def aborted_on_error(self) -> Iterator[None]:
        """Abort if the block raises."""
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()

    def _check_place(self) -> None:
        """Refuse to replace what may not be replaced; a number is never used twice."""
        files.check_prefix(self.prefix, self._form)
        replace = self.number is None and self._options.overwrite
        existing.check_place(self._storage, self._reader, self.prefix, self._form, replace=replace)

    def _clear_place(self) -> None:
        """Remove shards without token that dead writers left here, lest there be more each time."""
        left = existing.unnamed_without_tokens(self._storage, self._reader, self.prefix)
        if left:
            # D-1: the index that stands there may not have reached the disk yet, and an older one
            # may name these.
            self._storage.sync_dir(self._directory)
            existing.remove_all(self._storage, left)

    def _check_complete(self, count: int, what: str) -> None:
        if self.file.inherited:
            raise StorageError(
                f"{self.prefix}: this process was forked while its parent was saving, and cannot"
                " finish the save. Leave that to the parent.",
                path=self.prefix,
            )
        if self._sealed != set(range(count)) or len(self._shards) != count:
            raise RuntimeError(
                f"{self.prefix}: {count} {what} for {len(self._shards)} shards,"
                f" {len(self._sealed)} of them sealed. Seal every shard and give its token."
            )

    def _name_shards(self, names: Sequence[str]) -> None:
        """Give the shards their names; what stands under one has equal bytes, or is damaged."""
        for shard, name in enumerate(names):
            self._storage.rename(self._shards[shard].path, name)
        if names:
            self._sync_names()  # D-1: the shards before the index that names them

    @contextmanager
    def _unnamed_on_error(self, names: Sequence[str]) -> Iterator[None]:
        """Remove what was named if the block raises before the commit point.

        Later nobody could tell by their names whose they are.
        """
        try:
            yield
        except BaseException:
            with suppress(StorageError):
                if self._storage.status(self.file.path) is not None:  # It was not renamed.
                    existing.remove_all(self._storage, names)
            raise

    def _name_commit_file(self) -> None:
        """Make the checkpoint visible: the commit point is in here."""
        destination = files.commit_file(self.prefix, self._form)
        self._storage.rename(self.file.path, destination)
        self._sync_names()  # D-2, and D-1: the new index before the removal of old shards
        # Readers would go on to take these. The first choice goes last: an older checkpoint that
        # it hides must not come to light.
        for form in reversed(self._form.hiding):
            path = files.commit_file(self.prefix, form)
            if existing.is_checkpoint(self._storage, self._reader, path):
                self._remove_commit_file(path)

    def _remove_hidden(self) -> None:
        """Remove what the new checkpoint hides, unless others wrote it: that is in nobody's way."""
        for form in (f for f in Form if self._form in f.hiding):
            path = files.commit_file(self.prefix, form)
            if existing.is_own(self._storage, self._reader, path):
                self._remove_commit_file(path)

    def _remove_commit_file(self, path: str) -> None:
        self._storage.remove(path)
        self._sync_names()  # D-1: the removal of an index before that of its shards

    def _remove_replaced(self, names: Sequence[str]) -> list[StorageError]:
        """Remove what nothing refers to any more; return what went wrong with that."""
        try:
            self._remove_hidden()
            shards = existing.regular_files(
                self._storage,
                [p for p in existing.shards_of(self._storage, self.prefix) if p not in names],
            )
        except StorageError as error:
            return [error]
        return existing.remove_all(self._storage, shards)

    def _warn_of(self, failures: Sequence[StorageError]) -> None:
        if failures:
            warn(
                f"{self.prefix}: is saved, but files that it replaced could not be removed; the"
                f" next save of this name removes them. The first: {failures[0]}",
            )

    def _sync_names(self) -> None:
        if self._options.durable:
            self._storage.sync_dir(self._directory)


def _warn(commit: Commit, counter: int, failures: Sequence[StorageError]) -> None:
    """Tell the user what the beginning of a save came across."""
    if failures:
        warn(
            f"{commit.prefix}: {len(failures)} files that a dead writer left could not be removed."
            f" The first: {failures[0]}",
        )
    if commit.number is not None and commit.number != counter + 1:
        warn(
            f"{commit.prefix}: the numbers up to {commit.number - 1} are taken in this directory,"
            f" expected {counter + 1} to be the next. No checkpoint is replaced; to go on from the"
            " newest, restore it before you save.",
        )
