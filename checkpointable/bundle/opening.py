"""Reads the commit file of a native checkpoint, and opens all its files at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, Form
from checkpointable.bundle.finding import Found, one_of_several
from checkpointable.errors import CheckpointNotFoundError, UnsupportedFormatError
from checkpointable.format.frame import MAGIC, corrupt
from checkpointable.format.index import Index, decode_index
from checkpointable.format.limits import LONGEST_INDEX
from checkpointable.format.single import FOOTER_LENGTH, FOOTER_MAGIC, decode_footer
from checkpointable.storage.base import FileStatus, ReadableFile, Storage

_LOAD: Final = "Load it with the library that wrote it"
_KERAS: Final = f"{_LOAD}; Keras then saves what is read here: tf.train.Checkpoint(model=model)"
#: How files that are no checkpoints begin, what they are, and what to do.
_FOREIGN: Final = (
    (b"PK\x03\x04", "a zip archive (PyTorch, Keras and .npz files are)", _KERAS),
    (b"\x89HDF", "an HDF5 file", _KERAS),
    (b"\x93NUMPY", "a .npy file", _LOAD),
    (b"model_ch", "the state file of a directory of checkpoints", "Give the directory"),
)


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


def open_bundle(storage: Storage, found: Found) -> OpenBundle:
    """Open a checkpoint: all its files, their lengths checked.

    Args:
        storage: where it is.
        found: its commit file; it is closed here, or is among the shards.

    Raises:
        CorruptCheckpointError: the index is damaged, a shard is missing or of another length. That
            says nothing if the commit file is not in place any more.
        UnsupportedFormatError: it is of another format or of a newer version.
        StorageError: the storage failed.
    """
    commit_file = read_commit_file(found)
    try:
        return open_shards(storage, found.path, commit_file)
    except CheckpointNotFoundError as error:
        missing = error.message.rstrip(".")
    raise corrupt(found.path, "F-2", f"a shard is missing: {missing}") from None


def read_commit_file(found: Found) -> CommitFile:
    """Read the index in a commit file, which is closed unless it holds the shard too.

    Raises:
        CheckpointNotFoundError: the path leads to one file of a checkpoint of several.
        CorruptCheckpointError, UnsupportedFormatError, StorageError: as `open_bundle`.
    """
    file, single = found.file, found.form is not Form.INDEX
    try:
        index = _read_single(file, found.path) if single else _read_index(file)
    except BaseException:
        file.close()
        raise
    if not single:
        file.close()
    return CommitFile(file.path, file.status, index, file if single else None)


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
    return decode_index(memoryview(read_exactly(file, 0, size)), file.path)


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
        raise one_of_several(path, files.in_directory_of(path, name.prefix))
    for beginning, description, remedy in _FOREIGN:
        if head.startswith(beginning):
            raise UnsupportedFormatError(
                f"{path}: this is {description}, expected a checkpoint. {remedy}."
            )
