"""Opens a checkpoint of any format, recognised by content (F-4).

A checkpoint may be replaced, by one of another format too, while it is being opened. What goes
wrong then says nothing: as long as the commit file is not the one that was found, all begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, Form
from checkpointable.bundle.finding import Found, find_checkpoint, one_of_several
from checkpointable.bundle.opening import read_commit_file
from checkpointable.bundle.peek import Content
from checkpointable.bundle.reader import open_bundle_source
from checkpointable.bundle.verify import finding_of, verify_checkpoint
from checkpointable.errors import (
    CheckpointError,
    CorruptCheckpointError,
    StorageError,
)
from checkpointable.format.frame import corrupt
from checkpointable.format.source import CheckpointSource, Finding
from checkpointable.format.values import decode_metadata
from checkpointable.interop.safetensors.source import open_safetensors
from checkpointable.interop.tensorflow.slice_files import open_slice_files
from checkpointable.interop.tensorflow.source import open_bundle
from checkpointable.storage.base import FileStatus, Storage

#: How often to begin anew because the checkpoint is being replaced.
_ATTEMPTS: Final = 100

_T = TypeVar("_T")


@attrs.frozen
class Summary:
    """What the commit file of a checkpoint says about it.

    Attributes:
        status: what the storage said of that file when it was read.
        format: the format: "native", "tensorflow" or "safetensors".
        is_name_based: whether the checkpoint has names and no object graph.
        metadata: the user's metadata.
    """

    status: FileStatus
    format: str
    is_name_based: bool
    metadata: Mapping[str, Any]


def open_checkpoint(storage: Storage, path: str) -> CheckpointSource:
    """Open the checkpoint at a path, whatever its format.

    The whole index and the lengths of all files are checked. The source holds the files open
    until it is closed, so what happens to the checkpoint meanwhile does not matter to it.

    Args:
        storage: where it is.
        path: a prefix, the full name of a file that is a whole checkpoint, or a sharded pattern.

    Raises:
        CheckpointNotFoundError: there is none; the message names those that are there.
        CorruptCheckpointError: the index is damaged, a shard is missing or of another length.
        MissingDependencyError: its format needs a package that is not installed.
        UnsupportedFormatError: it is of an unknown format or of a newer version.
        StorageError: the storage failed.
    """
    return _settled(storage, path, lambda found: _open(storage, found))


def summarize(storage: Storage, path: str) -> Summary:
    """Look into the commit file of the checkpoint at a path.

    Raises:
        CheckpointError: as `open_checkpoint`.
    """
    return _settled(storage, path, lambda found: _summary(storage, found))


def verify_files(storage: Storage, path: str) -> list[Finding]:
    """Return what is wrong with the checkpoint at a path; empty when every byte is right.

    Raises:
        CheckpointNotFoundError: there is none.
        UnsupportedFormatError: it is of an unknown format, or of a newer version.
        MissingDependencyError: its content cannot be checked without a package.
    """

    def verify(found: Found) -> list[Finding] | None:
        findings = _verify(storage, found)
        return findings if not findings or found.is_in_place(storage) else None

    try:
        return _settled(storage, path, verify)
    except StorageError as error:
        return [finding_of(error, path)]


def _settled(storage: Storage, path: str, look: Callable[[Found], _T | None]) -> _T:
    """Return what a look at a checkpoint gives that is not replaced meanwhile; `None`: it was."""
    for _ in range(_ATTEMPTS):
        found = find_checkpoint(storage, path)
        try:
            result = look(found)
        except CheckpointError:
            if found.is_in_place(storage):
                raise
            continue
        if result is not None:
            return result
    raise corrupt(path, "F-2", "the checkpoint is being replaced all the time")


def _open(storage: Storage, found: Found) -> CheckpointSource:
    """Open what was found; its file is closed or belongs to the source."""
    if _is_native(found):
        return open_bundle_source(storage, found)
    found.file.close()
    if found.content is Content.TABLE and found.form is Form.INDEX:
        return open_bundle(storage, found.path)
    if found.content is Content.TABLE and not _is_safetensors(found):
        _refuse_one_of_several(found)
        return open_slice_files(storage, found.path, found.parts)
    return open_safetensors(storage, found.path, found.file.path)


def _is_native(found: Found) -> bool:
    """Tell whether a file is of the native format, or of none."""
    if _is_safetensors(found) or found.content is Content.TABLE:
        return False
    return found.form is Form.INDEX or found.content is not Content.SAFETENSORS


def _is_safetensors(found: Found) -> bool:
    """Tell whether the name says so; without such a name, the content must."""
    name = files.split_path(found.file.path)[1]
    is_list = found.form is Form.BARE and name.endswith(files.LIST_OF_PARTS)
    return is_list or files.read_name(name).kind is FileKind.SAFETENSORS


def _refuse_one_of_several(found: Found) -> None:
    """Refuse a table of TensorFlow whose name says that there is more than this file."""
    if len(found.parts) != 1:
        return
    base = files.split_path(found.path)[1]
    read, part = files.read_name(base), files.read_part_name(base)
    if read.kind is not FileKind.BARE:
        raise one_of_several(found.path, files.in_directory_of(found.path, read.prefix))
    if part is not None and part[2] > 1:
        raise one_of_several(found.path, files.in_directory_of(found.path, part[0]))


def _summary(storage: Storage, found: Found) -> Summary:
    if _is_native(found):
        commit_file = read_commit_file(found)
        if commit_file.single is not None:
            commit_file.single.close()
        metadata = decode_metadata(commit_file.index.metadata, commit_file.path)
        is_name_based = commit_file.index.graph.is_name_based
        return Summary(commit_file.status, "native", is_name_based, metadata)
    source = _open(storage, found)
    try:
        return Summary(found.file.status, source.format, source.graph is None, source.metadata)
    finally:
        source.close()


def _verify(storage: Storage, found: Found) -> list[Finding]:
    if _is_native(found):
        return verify_checkpoint(storage, found)
    try:
        source = _open(storage, found)
    except (CorruptCheckpointError, StorageError) as error:
        return [finding_of(error, found.path)]
    try:
        return source.verify()
    finally:
        source.close()
