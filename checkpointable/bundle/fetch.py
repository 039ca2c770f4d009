"""Many reads at once: large extents straight into their arrays, small ones through slabs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.bundle.shards import OpenShards, byte_view
from checkpointable.format.limits import CHUNK, OWN_CHUNKS

#: How much one task reads.
_TASK: Final = 16 * CHUNK
#: Below so many bytes starting threads does not pay.
WORTH_THREADS: Final = 2 * _TASK
_THREADS: Final = 4

#: The type numbers of dtypes whose arrays can be cast to bytes the fast way.
_CASTABLE: Final = frozenset(np.dtype(code).num for code in "?bBhHiIlLqQfd")


@attrs.frozen(slots=True)
class Wanted:
    """One extent to be read.

    Attributes:
        begin: its place in the shards laid one after the other.
        length: in bytes.
        target: the C-contiguous little-endian array that receives it.
        position: what the caller counts it as.
    """

    begin: int
    length: int
    target: npt.NDArray[Any]
    position: int


def fetch(
    shards: OpenShards, wanted: Sequence[Wanted], done: list[int], *, threads: bool = True
) -> None:
    """Read extents into their arrays, each byte verified.

    Args:
        shards: where they lie.
        wanted: what to read.
        done: receives each position once, before its array is written to.
        threads: whether several threads may read at once, where that pays.

    Raises:
        CorruptCheckpointError: what was read is not what was written.
        StorageError: the storage failed.
    """
    progress = Progress(done)
    large = [w for w in wanted if w.length >= OWN_CHUNKS]
    small = [w for w in wanted if w.length < OWN_CHUNKS]
    tasks = [*_large_tasks(shards, large, progress), *_small_tasks(shards, small, progress)]
    run_tasks(tasks, progress, threads=threads and sum(w.length for w in large) >= WORTH_THREADS)


def run_tasks(tasks: Sequence[Callable[[], None]], progress: Progress, *, threads: bool) -> None:
    """Run tasks, all in this thread or several at once; none begins after one has failed.

    Raises:
        CheckpointError: whatever the first that failed raised.
    """
    if not threads:
        for task in tasks:
            task()
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="checkpointable-read") as pool:
        futures = [pool.submit(progress.run, task) for task in tasks]
    for future in futures:
        future.result()


class Progress:
    """Which positions were written to, and whether to go on. Thread-safe."""

    def __init__(self, done: list[int]) -> None:
        self._done = done
        self._known: set[int] = set()
        self._lock = threading.Lock()
        self._failed = False

    def mark(self, positions: Sequence[int]) -> None:
        """Note that the arrays of these positions are being written to."""
        with self._lock:
            new = [p for p in dict.fromkeys(positions) if p not in self._known]
            self._known.update(new)
            self._done.extend(new)

    def run(self, task: Callable[[], None]) -> None:
        """Run a task unless another one has failed."""
        if self._failed:
            return
        try:
            task()
        except BaseException:
            self._failed = True
            raise


def _large_tasks(
    shards: OpenShards, large: Sequence[Wanted], progress: Progress
) -> Iterator[Callable[[], None]]:
    """Yield tasks that read extents which have chunks of their own."""
    begins = np.array([w.begin for w in large], dtype=np.int64)
    ends = np.array([w.begin + w.length for w in large], dtype=np.int64)
    firsts, lasts = shards.chunk_ranges(begins, ends)
    for w, first, last in zip(large, firsts.tolist(), lasts.tolist(), strict=True):
        for start in range(first, last, _TASK // CHUNK):
            yield partial(
                _read_large, shards, w, start, min(start + _TASK // CHUNK, last), progress
            )


def _read_large(
    shards: OpenShards, wanted: Wanted, first: int, last: int, progress: Progress
) -> None:
    progress.mark([wanted.position])
    begin, end = shards.edge(first) - wanted.begin, shards.edge(last) - wanted.begin
    shards.read_chunks(first, last, byte_view(wanted.target)[begin:end])


def _small_tasks(
    shards: OpenShards, small: Sequence[Wanted], progress: Progress
) -> Iterator[Callable[[], None]]:
    """Yield tasks that read runs of chunks and copy the small extents out of them."""
    ordered = sorted(small, key=lambda w: w.begin)
    begins = np.array([w.begin for w in ordered], dtype=np.int64)
    lengths = np.array([w.length for w in ordered], dtype=np.int64)
    firsts, lasts = shards.chunk_ranges(begins, begins + lengths)
    for first, last, members in _runs(shards, firsts.tolist(), lasts.tolist()):
        yield partial(_read_small, shards, ordered[members], first, last, progress)


def _runs(
    shards: OpenShards, firsts: list[int], lasts: list[int]
) -> Iterator[tuple[int, int, slice]]:
    """Group extents in ascending order: yield runs of chunks, and which extents lie in each."""
    if not firsts:
        return
    begin, first, last = 0, firsts[0], lasts[0]
    limit = min(first + _TASK // CHUNK, shards.shard_end(first))
    for i, (own_first, own_last) in enumerate(zip(firsts, lasts, strict=True)):
        if own_first <= last and own_last <= limit:
            last = max(last, own_last)
            continue
        yield first, last, slice(begin, i)
        begin, first, last = i, own_first, own_last
        limit = min(first + _TASK // CHUNK, shards.shard_end(first))
    yield first, last, slice(begin, len(firsts))


def _read_small(
    shards: OpenShards, wanted: Sequence[Wanted], first: int, last: int, progress: Progress
) -> None:
    origin = shards.edge(first)
    slab = memoryview(bytearray(shards.edge(last) - origin))
    shards.read_chunks(first, last, slab)
    progress.mark([w.position for w in wanted])
    for w in wanted:
        start = w.begin - origin
        target = w.target
        if target.dtype.num in _CASTABLE:
            target.data.cast("B")[:] = slab[start : start + w.length]
        else:
            byte_view(target)[:] = slab[start : start + w.length]
