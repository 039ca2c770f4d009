"""Finds a checkpoint, recognises its form by content, and opens all its files at once (F-4)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.bundle.peek import BUNDLE
from checkpointable.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    UnsupportedFormatError,
)
from checkpointable.format.frame import MAGIC, corrupt
from checkpointable.format.index import Index, decode_index
from checkpointable.format.limits import LONGEST_INDEX
from checkpointable.format.single import FOOTER_LENGTH, FOOTER_MAGIC, decode_footer
from checkpointable.storage.base import FileStatus, ReadableFile, Storage

#: How often the index is read again when shards vanish because the checkpoint is being replaced.
_ATTEMPTS: Final = 100

#: How files of other formats begin or end.
_FOREIGN: Final = (
    (b"PK\x03\x04", "a zip archive (PyTorch, Keras and .npz files are)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a .npy file"),
)
_TENSORFLOW_END: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
#: How many other checkpoints a message names.
_MOST_NAMED: Final = 6


@attrs.frozen(eq=False)
class OpenBundle:
    """An open checkpoint.

    Attributes:
        path: its prefix.
        index_path: the file that holds the index.
        status: what the storage said of that file when it was opened.
        index: what it says.
        shards: the open shards; in the one-file form that very file.
        beside: files that could be replaced by others while the index stays.
    """

    path: str
    index_path: str
    status: FileStatus
    index: Index
    shards: Sequence[ReadableFile]
    beside: Sequence[ReadableFile] = ()

    def close(self) -> None:
        """Close the files."""
        for file in self.shards:
            file.close()


@attrs.frozen(eq=False)
class CommitFile:
    """A commit file that was read.

    Attributes:
        path: its path.
        status: what the storage said of it.
        index: what it says.
        single: the open file, in the one-file form; it holds the shard too.
    """

    path: str
    status: FileStatus
    index: Index
    single: ReadableFile | None


def open_bundle(storage: Storage, path: str) -> OpenBundle:
    """Open a checkpoint: all its files, their lengths checked.

    Raises:
        CheckpointNotFoundError: there is none; the message names those that are there.
        CorruptCheckpointError: the index is damaged, a shard is missing or of another length.
        UnsupportedFormatError: it is of another format or of a newer version.
        StorageError: the storage failed.
    """
    for _ in range(_ATTEMPTS):
        commit_file = read_commit_file(storage, path)
        try:
            return open_shards(storage, path, commit_file)
        except CheckpointNotFoundError as error:
            if storage.status(commit_file.path) == commit_file.status:
                missing = error
                break
    else:
        missing = CheckpointNotFoundError(f"{path}: is being replaced all the time.")
    raise corrupt(path, "F-2", f"a shard is missing: {missing.message.rstrip('.')}") from None


def read_commit_file(storage: Storage, path: str) -> CommitFile:
    """Find the file that makes the checkpoint, and read its index.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError, UnsupportedFormatError, StorageError: as
            `open_bundle`.
    """
    file, single = _open_commit_file(storage, path)
    try:
        index = _read_single(file, path) if single else _read_index(file)
    except BaseException:
        file.close()
        raise
    if not single:
        file.close()
    return CommitFile(file.path, file.status, index, file if single else None)


def _open_commit_file(storage: Storage, path: str) -> tuple[ReadableFile, bool]:
    """Open the commit file of a checkpoint; tell whether it has the one-file form.

    While a save replaces one form by the other, the first may be gone when it is opened, and the
    second may come after it was looked for; so this looks again as long as there is either.
    """
    for _ in range(_ATTEMPTS):
        there = False
        for single in (False, True):
            commit_path = files.commit_file(path, single_file=single)
            status = storage.status(commit_path)
            if status is not None and not (single and status.is_dir):
                there = True
                with suppress(CheckpointNotFoundError):
                    return storage.open_read(commit_path), single
        if not there and storage.status(files.index_file(path)) is None:
            break
    raise not_found(storage, path)


def open_shards(storage: Storage, path: str, commit_file: CommitFile) -> OpenBundle:
    """Open the shards that an index names.

    Raises:
        CheckpointNotFoundError: one is missing.
        CorruptCheckpointError: one has another length than the index says.
        StorageError: the storage failed.
    """
    index, opened = commit_file.index, list[ReadableFile]()
    bundle = OpenBundle(path, commit_file.path, commit_file.status, index, opened)
    if commit_file.single is not None:
        opened.append(commit_file.single)
        return bundle
    try:
        for shard, length in enumerate(index.shards.lengths.tolist()):
            opened.append(storage.open_read(shard_path(path, index, shard)))
            check_length(opened[-1], length)
    except BaseException:
        bundle.close()
        raise
    return bundle


def shard_path(path: str, index: Index, shard: int) -> str:
    """Return the path of a shard of the checkpoint at `path`."""
    return files.shard_file(path, shard, len(index.tokens), index.tokens[shard])


def check_length(file: ReadableFile, length: int) -> None:
    """Refuse a shard of another length than its index says.

    Raises:
        CorruptCheckpointError: it has another length.
    """
    if file.status.size != length:
        raise corrupt(
            file.path,
            "F-2",
            "the file is cut short" if file.status.size < length else "the file is too long",
            expected=f"{length} bytes",
            found=file.status.size,
        )


def read_exactly(file: ReadableFile, offset: int, length: int) -> bytearray:
    """Return bytes of a file.

    Raises:
        CorruptCheckpointError: the file ends before.
    """
    buffer = bytearray(length)
    found = file.read_into(offset, memoryview(buffer))
    if found != length:
        raise corrupt(
            file.path,
            "F-2",
            "the file is cut short",
            expected=offset + length,
            found=offset + found,
        )
    return buffer


def _read_index(file: ReadableFile) -> Index:
    """Return what an index file says."""
    size = file.status.size
    if size > LONGEST_INDEX:
        raise corrupt(file.path, "F-5", "the index is too long", expected=LONGEST_INDEX, found=size)
    data = read_exactly(file, 0, size)
    if not data.startswith(MAGIC) and data.endswith(_TENSORFLOW_END):
        raise UnsupportedFormatError(
            f"{file.path}: this is the index of a TensorFlow checkpoint, expected one of this"
            " library. This version does not read it; convert it first."
        )
    return decode_index(memoryview(data), file.path)


def _read_single(file: ReadableFile, path: str) -> Index:
    """Return the index in a file of the one-file form."""
    size = file.status.size
    head = bytes(read_exactly(file, 0, min(size, len(MAGIC))))
    length = min(size, FOOTER_LENGTH)
    footer = bytes(read_exactly(file, size - length, length))
    if not footer.endswith(FOOTER_MAGIC):
        _refuse_other_files(head, path)
    offset, length = decode_footer(footer, size, path)
    if length > LONGEST_INDEX:
        raise corrupt(path, "F-5", "the index is too long", expected=LONGEST_INDEX, found=length)
    index = decode_index(memoryview(read_exactly(file, offset, length)), path)
    if len(index.shards) > 1 or int(index.shards.lengths.sum()) != offset:
        raise corrupt(
            path,
            "F-3",
            "the index does not begin where the shard ends",
            expected=int(index.shards.lengths.sum()),
            found=offset,
        )
    return index


def _refuse_other_files(head: bytes, path: str) -> None:
    """Refuse a file that is of another format, or only a part of a checkpoint."""
    name = files.read_name(files.split_path(path)[1])
    if name.kind is not FileKind.BARE:
        prefix = files.in_directory_of(path, name.prefix)
        raise CheckpointNotFoundError(
            f"{path}: this is one file of a checkpoint, expected the prefix of all. Give"
            f" {prefix!r}."
        )
    for beginning, description in _FOREIGN:
        if head.startswith(beginning):
            raise UnsupportedFormatError(
                f"{path}: this is {description}, expected a checkpoint of this library. Load it"
                " with the library that wrote it."
            )


def not_found(storage: Storage, path: str) -> CheckpointNotFoundError:
    """Describe that there is no checkpoint at the path: what is there instead?"""
    status = storage.status(path)
    if status is not None and status.is_dir:
        there = _list_checkpoints(storage, f"{path.rstrip('/')}/x")
        return CheckpointNotFoundError(
            f"{path}: this is a directory, expected the prefix of a checkpoint. {there}"
        )
    directory, base = files.split_path(path)
    if any(_is_shard(name, base) for name in _names(storage, directory)):
        return CheckpointNotFoundError(
            f"{path}: there are shards of this checkpoint but no index: it was never finished, or"
            f" the index was removed. {_list_checkpoints(storage, path)}"
        )
    return CheckpointNotFoundError(
        f"{path}: there is no checkpoint. {_list_checkpoints(storage, path)}"
    )


def _is_shard(name: str, base: str) -> bool:
    read = files.read_name(name)
    return read.kind is FileKind.SHARD and read.prefix == base


def _names(storage: Storage, directory: str) -> list[str]:
    status = storage.status(directory)
    return storage.list_dir(directory) if status is not None and status.is_dir else []


def _is_commit_file(storage: Storage, directory: str, name: str) -> bool:
    """Tell whether a file is an index or a one-file checkpoint, by its first or last bytes."""
    if files.read_name(name).kind in (FileKind.INDEX, FileKind.BARE):
        with suppress(CheckpointError):
            return BUNDLE.is_ours(storage, files.in_directory(directory, name))
    return False


def _list_checkpoints(storage: Storage, path: str) -> str:
    """Name the checkpoints in the directory of a path, those of its own name if there are any."""
    directory, base = files.split_path(path)
    names = [n for n in _names(storage, directory) if _is_commit_file(storage, directory, n)]
    found = {files.read_name(name).prefix for name in names}
    if not found:
        return f"The directory {directory!r} holds none; check the path."
    own = {name for name in found if files.split_number(name)[0] == files.split_number(base)[0]}
    listed = sorted(own or found, key=lambda name: (files.split_number(name)[1] or -1, name))
    if len(listed) > _MOST_NAMED:
        listed = [listed[0], "...", *listed[-2:]]
    return f"The directory {directory!r} holds {', '.join(listed)}; give one of these."
