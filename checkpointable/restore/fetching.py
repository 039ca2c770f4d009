"""Reads the values that a restore gives: straight into live arrays where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from checkpointable.errors import (
    CorruptCheckpointError,
    IncompatibleCheckpointError,
    UnsupportedFormatError,
)
from checkpointable.format.dtypes import UNSIZED, item_size, numpy_dtype
from checkpointable.format.source import CheckpointSource
from checkpointable.restore.plan import Array, Give, is_read_target

#: How many bytes of values that must be converted are held at a time.
_CONVERTED_AT_ONCE: Final = 64 << 20
#: How many values an error names that were assigned before it.
_SHOWN: Final = 5


def fetch_values(
    source: CheckpointSource,
    gives: Iterable[Give],
    note: Callable[[Give], None],
    *,
    threads: bool = True,
) -> Iterator[tuple[Give, Any]]:
    """Yield stored values as they arrive; what is read straight into a live array comes first.

    Args:
        source: the open checkpoint.
        gives: what to read.
        note: told of each live array that was written to when an error ends the reading.
        threads: whether several threads may read at once.

    Yields:
        each give, and its value: its very target if it was read straight into that.

    Raises:
        CorruptCheckpointError, StorageError: a value could not be read.
    """
    direct: list[Give] = []
    others: list[Give] = []
    for give in gives:
        (direct if _is_direct(give) else others).append(give)
    targets = [give.target for give in direct if give.target is not None]
    _read(source, direct, targets, note, threads=threads)
    yield from zip(direct, targets, strict=True)
    for batch in _batches(others):
        info = batch[0].info
        if info is None or info.dtype in UNSIZED:
            yield batch[0], batch[0].plain if info is None else source.read(batch[0].number)
            continue
        arrays = [source.new_array(give.number) for give in batch]
        _read(source, batch, arrays, note, threads=threads)
        yield from zip(batch, arrays, strict=True)


def overwrite(target: Array, value: Any) -> None:
    """Copy a stored value into a live array, which may be of another dtype and shape.

    Raises:
        IncompatibleCheckpointError: it holds bytes that are no text, and the array only text.
    """
    try:
        np.copyto(target, np.asarray(value).reshape(target.shape), casting="unsafe")
    except UnicodeDecodeError:
        raise IncompatibleCheckpointError(
            f"the checkpoint holds bytes that are no UTF-8, the program an array of {target.dtype}."
            " Make it one of dtype object."
        ) from None


def check_every_byte(source: CheckpointSource) -> None:
    """Read the whole checkpoint before anything is assigned.

    Raises:
        CorruptCheckpointError: it is damaged.
        UnsupportedFormatError: whether it is cannot be told, because it has no checksums.
    """
    damage = [finding for finding in source.verify() if finding.message != source.unverified]
    if damage:
        first = damage[0]
        more = f" ({len(damage) - 1} more findings)" if len(damage) > 1 else ""
        raise CorruptCheckpointError(
            f"{first.message}{more} Nothing was assigned; restore an older checkpoint.",
            file=first.file,
            rule=first.rule,
        )
    if source.unverified:
        raise UnsupportedFormatError(
            f"{source.unverified} verify='first' asks for checksums, so nothing was assigned; leave"
            " it out to restore all the same."
        )


def already_assigned(done: Sequence[Any], name: Callable[[Any], str]) -> str:
    """Return how an error says what was assigned before it; nothing if nothing was."""
    if not done:
        return ""
    more = f" and {len(done) - _SHOWN:,} more" if len(done) > _SHOWN else ""
    return f" Already assigned: {', '.join(map(name, done[:_SHOWN]))}{more}."


def _batches(gives: Iterable[Give]) -> Iterator[list[Give]]:
    """Yield what is read together: values without fixed item size alone, others up to a limit."""
    batch: list[Give] = []
    size = 0
    for give in gives:
        info = give.info
        if info is None or info.dtype in UNSIZED:
            yield [give]
            continue
        batch.append(give)
        size += info.size * item_size(info.dtype)
        if size >= _CONVERTED_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(
    source: CheckpointSource,
    gives: list[Give],
    targets: list[Array],
    note: Callable[[Give], None],
    *,
    threads: bool,
) -> None:
    done: list[int] = []
    try:
        source.read_into([g.number for g in gives], targets, done, threads=threads)
    except BaseException:
        for i in done:
            if gives[i].target is targets[i]:
                note(gives[i])
        raise


def _is_direct(give: Give) -> bool:
    """Tell whether a stored tensor can be read straight into its live array."""
    target, info = give.target, give.info
    if target is None or info is None or give.convert is not None or info.dtype in UNSIZED:
        return False
    return is_read_target(target, info, numpy_dtype(info.dtype))
