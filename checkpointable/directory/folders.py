"""Which checkpoint a directory means that holds a model, rather than the checkpoints of a run."""

from __future__ import annotations

from typing import Final

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.directory.numbers import candidates
from checkpointable.directory.state_file import STATE_FILE
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.storage.base import Storage

_SAVED_MODEL: Final = ("saved_model.pb", "saved_model.pbtxt")
#: Where the checkpoint of a SavedModel is.
_VARIABLES: Final = "variables/variables"
#: How many files a message names.
_MOST_NAMED: Final = 6


def model_in(storage: Storage, directory: str) -> str | None:
    """Return the checkpoint of the one model that a directory holds; `None` if it holds none.

    That of a SavedModel, or of a model hub: a safetensors file, or the list of its parts. Where
    there is a state file the directory is that of a run.

    Raises:
        CheckpointNotFoundError: it may be one of several models.
        StorageError: the directory cannot be read.
    """
    names = storage.list_dir(directory)
    if STATE_FILE in names:
        return None
    if not set(_SAVED_MODEL).isdisjoint(names):
        return files.in_directory(directory, _VARIABLES)
    lists = [name for name in names if name.endswith(files.LIST_OF_PARTS)]
    alone = {
        read.prefix: name
        for name in sorted({*names} - files.listed_parts(names))
        if (read := files.read_name(name)).kind is FileKind.SAFETENSORS
        and files.index_file(read.prefix) not in names  # It would be hidden.
    }
    models = [*lists, *alone]
    if not models or any(_is_of_a_run(c.prefix, alone) for c in candidates(storage, directory)):
        return None
    if len(models) > 1:
        there = [*lists, *alone.values()]
        more = ", ..." if len(there) > _MOST_NAMED else ""
        raise CheckpointNotFoundError(
            f"{directory}: holds several checkpoints, and no state file says which is meant:"
            f" {', '.join(there[:_MOST_NAMED])}{more}. Give the path of one of these."
        )
    return files.in_directory(directory, models[0])


def _is_of_a_run(prefix: str, alone: dict[str, str]) -> bool:
    """Tell whether a checkpoint is one of those that programs save, and not a hub's file."""
    base = files.split_path(prefix)[1]
    is_numbered = files.split_number(base)[1] is not None and files.read_part_name(base) is None
    return base not in alone or is_numbered
