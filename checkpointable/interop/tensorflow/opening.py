"""Opens a bundle: its index, and the data files that the index names, all at once (T-1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.finding import not_found
from checkpointable.errors import CheckpointError, CheckpointNotFoundError
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import LONGEST_INDEX
from checkpointable.interop.tensorflow.data_files import DataFiles
from checkpointable.interop.tensorflow.entries import Entries, check_lengths, read_entries
from checkpointable.interop.tensorflow.tensors import Tensors
from checkpointable.storage.base import FileStatus, ReadableFile, Storage

#: How often to begin again because the checkpoint is being replaced.
_ATTEMPTS: Final = 100


@attrs.frozen(eq=False)
class OpenIndex:
    """An open bundle.

    Attributes:
        path: its prefix.
        index_path: the file that holds the index.
        status: what the storage said of that file when it was read.
        tensors: what the index says of the tensors.
        data: the open data files.
    """

    path: str
    index_path: str
    status: FileStatus
    tensors: Tensors
    data: DataFiles

    def close(self) -> None:
        """Close the files."""
        self.data.close()


def open_index(storage: Storage, path: str) -> OpenIndex:
    """Open a bundle: all files that its index names, their lengths checked.

    TensorFlow gives new data files the names of the old ones. So if the index changes while the
    files are being opened, or if one of them does not fit it, this begins again.

    Raises:
        CheckpointNotFoundError: there is none.
        CorruptCheckpointError: the index is damaged, a data file is missing or too short.
        UnsupportedFormatError: it is of a newer version.
        MissingDependencyError: a package that it takes is not installed.
        StorageError: the storage failed.
    """
    index_path = files.index_file(path)
    for _ in range(_ATTEMPTS):
        try:
            status, data = _read_index(storage, index_path)
        except CheckpointNotFoundError:
            raise not_found(storage, path) from None
        entries = read_entries(memoryview(data), index_path)
        tensors = Tensors(entries, index_path)
        opened, missing = _open_data_files(storage, path, entries)
        lengths = {number: file.status.size for number, file in opened.items()}
        wrong = missing or check_lengths(entries, lengths, index_path)
        if storage.status(index_path) == status and wrong is None:
            return OpenIndex(path, index_path, status, tensors, DataFiles(entries, opened))
        for file in opened.values():
            file.close()
        if wrong is not None and storage.status(index_path) == status:
            raise wrong
    raise corrupt(path, "T-1", "the checkpoint is being replaced all the time")


def _read_index(storage: Storage, index_path: str) -> tuple[FileStatus, bytearray]:
    """Return the whole index and what the storage said of it."""
    file = storage.open_read(index_path)
    try:
        size = file.status.size
        if size > LONGEST_INDEX:
            raise corrupt(
                index_path, "T-1", "the index is too long", expected=LONGEST_INDEX, found=size
            )
        data = bytearray(size)
        found = file.read_into(0, memoryview(data))
    finally:
        file.close()
    if found != size:
        raise corrupt(index_path, "T-1", "the index is cut short", expected=size, found=found)
    return file.status, data


def _open_data_files(
    storage: Storage, path: str, entries: Entries
) -> tuple[Mapping[int, ReadableFile], CheckpointError | None]:
    """Open the data files in which tensors lie; also return an error if one is missing."""
    opened: dict[int, ReadableFile] = {}
    named = {n for i, n in enumerate(entries.shard) if i not in entries.slices}
    try:
        for number in sorted(named):
            name = files.shard_file(path, number, entries.shards)
            try:
                opened[number] = storage.open_read(name)
            except CheckpointNotFoundError:
                return opened, corrupt(name, "T-1", "the data file is missing")
    except BaseException:
        for file in opened.values():
            file.close()
        raise
    return opened, None
