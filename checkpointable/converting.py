"""`convert`: one checkpoint becomes another, of the same or of another format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from checkpointable.bundle.commit import begin
from checkpointable.directory.latest import open_resolved
from checkpointable.errors import warn
from checkpointable.format.paths import paths_of
from checkpointable.format.source import CheckpointSource
from checkpointable.graph.transfer import stored_snapshot
from checkpointable.interop.writing import write_checkpoint
from checkpointable.names import shorten
from checkpointable.options import SaveOptions, build_options
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL

#: How often the bytes of a tensor are read, where a format needs checksums before the data.
_PASSES: Final = {"safetensors": 2}
#: Progress is told once per so many bytes, and at the end.
_STEP: Final = 2**20
#: Keys that begin so hold what a checkpoint says of itself.
_OF_THE_FORMAT: Final = "_CHECKPOINTABLE_"
_SHOWN: Final = 6


def convert(
    source: PathLike,
    destination: PathLike,
    options: SaveOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    **fields: Any,
) -> str:
    """Write what a checkpoint holds as another checkpoint, of the same or of another format.

    Everything that the format can hold is kept: the object graph with shared objects, cycles and
    slot variables, arrays bit for bit, plain values, global names, metadata. What it cannot hold
    is refused before any data are written; what the source holds and cannot be interpreted is left
    out, and a `CheckpointWarning` names it.

    Tensors are read while they are written, at most 4 MiB of one at a time (strings and plain
    values: all of them, at the beginning), and every byte that is read is verified.

    Args:
        source: a checkpoint of any format, or a directory: its newest one.
        destination: the prefix of the new checkpoint, which is written as `Checkpoint.write`
            does: one that stands there is replaced, atomically. It may be the source itself.
        options: how to write, above all `format`. `metadata` replaces those of the source.
        progress: is called with how many bytes are done and how many there are in all, in
            ascending order; the last time, just before the checkpoint comes into being, both are
            equal. What it raises ends the conversion.
        fields: fields of `SaveOptions`, which override those of `options`.

    Returns:
        the path of the new checkpoint.

    Raises:
        CheckpointNotFoundError: there is no checkpoint at the source.
        CorruptCheckpointError: the source is damaged.
        NotCheckpointableError: the source holds what the format cannot; nothing was written.
        CheckpointExistsError: what stands at the destination may not be replaced.
        MissingDependencyError: a package that the source or the format needs is not installed.
        StorageError: the storage failed.

    If it raises, or the program dies, there is no new checkpoint, and what stood at the
    destination is intact; where the very last syncs fail, the new one may be there already.
    Thread-safe. No state file is written.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = ckpt.Checkpoint(w=ckpt.Variable([1, 2]), step=3).save(directory + "/ckpt")
        ...     copy = ckpt.convert(path, directory + "/one-file", single_file=True)
        ...     ckpt.load(copy)
        {'w': array([1, 2]), 'step': 3}
    """
    settings = build_options(SaveOptions, options, fields)
    return convert_checkpoint(source, path_text(destination), settings, progress)


def convert_checkpoint(
    source: PathLike,
    file_prefix: str,
    options: SaveOptions,
    progress: Callable[[int, int], None] | None = None,
    *,
    storage: Storage = LOCAL,
) -> str:
    """Do as `convert`, in any storage.

    Raises:
        CheckpointError: as `convert`.
    """
    stored = open_resolved(source, storage=storage)
    try:
        told = _Progress(progress)
        transfer = stored_snapshot(stored, options.metadata, told.add)
        _warn_of_what_is_lost(stored, transfer.values)
        with begin(storage, file_prefix, options, numbered=False) as commit:
            told.start(transfer.read, transfer.length, _PASSES.get(options.format, 1))
            write_checkpoint(commit, transfer.snapshot, options)
        return commit.prefix
    finally:
        stored.close()


class _Progress:
    """Tells a caller how far a conversion has come. Not thread-safe."""

    def __init__(self, callback: Callable[[int, int], None] | None) -> None:
        self._callback = callback
        self._done = self._total = self._told = 0

    def start(self, read: int, total: int, passes: int) -> None:
        """Say how many bytes were read so far, and how many there are; these come so many times."""
        self._total = read + (total - read) * passes
        self._done = read
        self._tell()

    def add(self, length: int) -> None:
        """Count bytes that were read and written."""
        self._done += length
        if self._done - self._told >= _STEP or self._done == self._total:
            self._tell()

    def _tell(self) -> None:
        self._told = self._done
        if self._callback is not None:
            self._callback(self._done, self._total)


def _warn_of_what_is_lost(source: CheckpointSource, values: frozenset[int]) -> None:
    """Name what the source holds that the new checkpoint will not."""
    if source.graph is not None and source.unclear:
        paths, numbers = paths_of(source.graph)
        lost = []
        for unclear in source.unclear:
            path = numbers.get(unclear.node)
            where = f"node {unclear.node}" if path is None else shorten(paths.full(path))
            lost.append(f"{where or 'the root'}: {unclear.what} ({unclear.reason})")
        warn(f"{source.path}: cannot be converted as a whole. Left out: {_listed(lost, '; ')}.")
    unnamed = [
        key
        for key, number in (source.keys or {}).items()
        if number not in values and not key.startswith(_OF_THE_FORMAT)
    ]
    if unnamed:
        warn(
            f"{source.path}: its object graph does not name {len(unnamed):,} of its tensors, so"
            f" they are left out: {_listed([shorten(key) for key in unnamed], ', ')}. Read them"
            " with load_checkpoint()."
        )
    if source.unverified:
        warn(
            f"{source.unverified} The new checkpoint is verified from now on, but"
            " cannot tell what was damaged before."
        )


def _listed(items: Sequence[str], separator: str) -> str:
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return separator.join(items[:_SHOWN]) + more
