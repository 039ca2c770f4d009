"""Many tensors at once: large pieces straight into their arrays, small ones through slabs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.bundle.fetch import WORTH_THREADS, Progress, run_tasks
from checkpointable.bundle.shards import byte_view
from checkpointable.format.limits import CHUNK
from checkpointable.interop.tensorflow.checksums import crc
from checkpointable.interop.tensorflow.data_files import DataFiles

#: Pieces of at least so many bytes are read by themselves.
_LARGE: Final = CHUNK // 4
#: How much of a file is read at once for the small pieces in it, and how far apart they may be.
_SLAB: Final = 16 * CHUNK
_GAP: Final = 4096


@attrs.frozen(slots=True)
class Wanted:
    """One piece to be read.

    Attributes:
        entry: its number.
        target: the C-contiguous little-endian array that receives it.
        position: what the caller counts it as.
    """

    entry: int
    target: npt.NDArray[Any]
    position: int


def fetch(
    files: DataFiles, wanted: Sequence[Wanted], done: list[int], *, threads: bool = True
) -> None:
    """Read pieces into their arrays, each byte verified.

    Args:
        files: where they lie.
        wanted: what to read.
        done: receives each position once, before its array is written to.
        threads: whether several threads may read at once, where that pays.

    Raises:
        CorruptCheckpointError: what was read is not what was written.
        StorageError: the storage failed.
    """
    sizes = files.entries.size
    progress = Progress(done)
    large = [w for w in wanted if sizes[w.entry] >= _LARGE]
    small = [w for w in wanted if 0 < sizes[w.entry] < _LARGE]
    tasks: list[Callable[[], None]] = [partial(_read_large, files, w, progress) for w in large]
    tasks += [partial(_read_small, files, run, progress) for run in _runs(files, small)]
    worth = len(tasks) > 1 and sum(sizes[w.entry] for w in large) >= WORTH_THREADS
    run_tasks(tasks, progress, threads=threads and worth)


def _read_large(files: DataFiles, wanted: Wanted, progress: Progress) -> None:
    """Read a piece straight into its array."""
    progress.mark([wanted.position])
    files.read_bytes(wanted.entry, byte_view(wanted.target))
    files.to_little_endian(wanted.target)


def _runs(files: DataFiles, small: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Group pieces that lie close together in one file."""
    entries = files.entries
    shards, offsets, sizes = entries.shard, entries.offset, entries.size
    run: list[Wanted] = []
    shard = begin = end = -1
    for w in sorted(small, key=lambda w: (shards[w.entry], offsets[w.entry])):
        own_shard, own_begin = shards[w.entry], offsets[w.entry]
        own_end = own_begin + sizes[w.entry]
        if run and (own_shard != shard or own_begin > end + _GAP or own_end > begin + _SLAB):
            yield run
            run = []
        if not run:
            shard, begin, end = own_shard, own_begin, own_end
        run.append(w)
        end = max(end, own_end)
    if run:
        yield run


def _read_small(files: DataFiles, run: list[Wanted], progress: Progress) -> None:
    """Read a stretch of a file, check the pieces in it and copy them out."""
    offsets, sizes = files.entries.offset, files.entries.size
    begin = offsets[run[0].entry]
    end = max(offsets[w.entry] + sizes[w.entry] for w in run)
    slab = memoryview(files.read_raw(run[0].entry, 0, end - begin))
    parts = [slab[(start := offsets[w.entry] - begin) : start + sizes[w.entry]] for w in run]
    for w, part in zip(run, parts, strict=True):
        files.check(w.entry, crc(part))
    progress.mark([w.position for w in run])
    for w, part in zip(run, parts, strict=True):
        w.target.reshape(-1).view(np.uint8)[:] = np.frombuffer(part, np.uint8)
        files.to_little_endian(w.target)
