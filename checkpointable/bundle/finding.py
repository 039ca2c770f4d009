"""Finds a checkpoint of any form and format at a path, and recognises it by its content (F-4)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, Form
from checkpointable.bundle.peek import COMMIT_FILES, Content, recognise
from checkpointable.errors import CheckpointError, CheckpointNotFoundError
from checkpointable.storage.base import ReadableFile, Storage

#: How often to look again while a checkpoint is being replaced.
_ATTEMPTS: Final = 100
#: How many other checkpoints a message names.
_MOST_NAMED: Final = 6


@attrs.frozen(eq=False)
class Found:
    """The file that makes a checkpoint, open.

    Attributes:
        path: the prefix of the checkpoint, or the pattern by which it was found.
        file: the commit file; whoever has this record closes it.
        form: the form that its name tells.
        content: what its bytes tell.
        parts: the paths of all files, if it may be one of TensorFlow's first format; `file` is
            the first of them.
    """

    path: str
    file: ReadableFile
    form: Form
    content: Content
    parts: Sequence[str] = ()

    def is_in_place(self, storage: Storage) -> bool:
        """Tell whether the path of the commit file still leads to this very file."""
        return storage.status(self.file.path) == self.file.status


def find_checkpoint(storage: Storage, path: str) -> Found:
    """Find the file that makes the checkpoint at a path, and open it.

    Args:
        storage: where to look.
        path: a prefix; a file's full name; a sharded pattern, which means its prefix if there is a
            checkpoint, else so many parts of TensorFlow's first format.

    Raises:
        CheckpointNotFoundError: there is none; the message names those that are there.
        StorageError: the storage failed.
    """
    prefix = files.without_pattern(path)
    opened = _open_commit_file(storage, prefix)
    if opened is not None:
        file, form = opened
        try:
            content = recognise(file)
        except BaseException:
            file.close()
            raise
        is_part = form is Form.BARE and content is Content.TABLE
        return Found(prefix, file, form, content, (prefix,) if is_part else ())
    parts = parts_at(storage, path)
    if parts:
        with suppress(CheckpointNotFoundError):
            return Found(path, storage.open_read(parts[0]), Form.BARE, Content.TABLE, parts)
    raise not_found(storage, prefix)


def _open_commit_file(storage: Storage, path: str) -> tuple[ReadableFile, Form] | None:
    """Open the commit file of a checkpoint; `None` if there is none.

    While a save replaces one form by another, the first may be gone when it is opened, and the
    second may come after it was looked for; so this looks again as long as there is any.
    """
    for _ in range(_ATTEMPTS):
        there = False
        for form in Form:
            commit_path = files.commit_file(path, form)
            status = storage.status(commit_path)
            if status is not None and not (status.is_dir and not form.has_shards):
                there = True
                with suppress(CheckpointNotFoundError):
                    return storage.open_read(commit_path), form
        came = (storage.status(files.commit_file(path, form)) for form in Form.BARE.hiding)
        if not there and all(status is None or status.is_dir for status in came):
            break
    return None


def parts_at(storage: Storage, path: str) -> list[str]:
    """Return the files of a checkpoint of TensorFlow's first format that has several.

    Args:
        storage: where to look.
        path: their prefix, or a pattern that says how many there are.

    Raises:
        CheckpointNotFoundError: there are several checkpoints of this prefix.
    """
    prefix = files.without_pattern(path)
    directory, base = files.split_path(prefix)
    names = (name for name in _names(storage, directory) if name.startswith(f"{base}-"))
    sets = files.part_sets(names).get(base, {})
    count = files.pattern_count(path)
    found = [sets[n] for n in sorted(sets) if n == count or count is None]
    found = [names for names in found if _content(storage, directory, names[0]) is Content.TABLE]
    if len(found) > 1:
        patterns = " and ".join(f"{prefix}-?????-of-{len(names):05d}" for names in found)
        raise CheckpointNotFoundError(f"{prefix}: there are {patterns}. Give one of these.")
    return [files.in_directory(directory, name) for names in found for name in names]


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


def one_of_several(path: str, prefix: str) -> CheckpointNotFoundError:
    """Describe that a path leads to one file of a checkpoint of several."""
    return CheckpointNotFoundError(
        f"{path}: this is one file of a checkpoint, expected the prefix of all. Give {prefix!r}."
    )


def _is_shard(name: str, base: str) -> bool:
    read = files.read_name(name)
    return read.kind is FileKind.SHARD and read.prefix == base


def _names(storage: Storage, directory: str) -> list[str]:
    status = storage.status(directory)
    return storage.list_dir(directory) if status is not None and status.is_dir else []


def _content(storage: Storage, directory: str, name: str) -> Content:
    try:
        return COMMIT_FILES.content(storage, files.in_directory(directory, name))
    except CheckpointError:
        return Content.UNKNOWN


def _is_commit_file(storage: Storage, directory: str, name: str) -> bool:
    """Tell whether a file is that of a checkpoint, by its first or last bytes."""
    if files.read_name(name).kind in (FileKind.INDEX, FileKind.SAFETENSORS, FileKind.BARE):
        with suppress(CheckpointError):
            return COMMIT_FILES.is_checkpoint(storage, files.in_directory(directory, name))
    return False


def _list_checkpoints(storage: Storage, path: str) -> str:
    """Name the checkpoints in the directory of a path, those of its own name if there are any."""
    directory, base = files.split_path(path)
    names = _names(storage, directory)
    whole = {*names} - files.listed_parts(names)
    found = {files.read_name(n).prefix for n in whole if _is_commit_file(storage, directory, n)}
    found |= {name for name in names if name.endswith(files.LIST_OF_PARTS)}
    if not found:
        return f"The directory {directory!r} holds none; check the path."
    own = {name for name in found if files.split_number(name)[0] == files.split_number(base)[0]}
    listed = sorted(own or found, key=lambda name: (files.split_number(name)[1] or -1, name))
    if len(listed) > _MOST_NAMED:
        listed = [listed[0], "...", *listed[-2:]]
    return f"The directory {directory!r} holds {', '.join(listed)}; give one of these."
