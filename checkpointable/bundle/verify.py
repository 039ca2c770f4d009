"""Reads every byte of a checkpoint and lists what is wrong with it; damage is never raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Final

import numpy as np

from checkpointable.bundle.contents import BundleContents
from checkpointable.bundle.finding import Found
from checkpointable.bundle.opening import (
    CommitFile,
    check_length,
    read_commit_file,
    shard_path,
)
from checkpointable.bundle.shards import OpenShards
from checkpointable.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    StorageError,
)
from checkpointable.format.frame import corrupt
from checkpointable.format.index import Index
from checkpointable.format.source import Finding
from checkpointable.format.values import decode_metadata
from checkpointable.storage.base import ReadableFile, Storage

#: How many chunks one task reads, and how many tasks run at once.
_RUN: Final = 16
_THREADS: Final = 4


def verify_checkpoint(storage: Storage, found: Found) -> list[Finding]:
    """Return what is wrong with a native checkpoint; empty when every byte is right.

    Args:
        storage: where it is.
        found: its commit file, which is closed here. What was found says nothing if it is not in
            place any more: shards that are missing may have been removed meanwhile.

    Raises:
        CheckpointNotFoundError: the path leads to one file of a checkpoint of several.
        UnsupportedFormatError: it is of another format, or of a newer version.
        MissingDependencyError: the content of a value cannot be checked without a package.
    """
    try:
        commit_file = read_commit_file(found)
    except (CorruptCheckpointError, StorageError) as error:
        return [finding_of(error, found.path)]
    files, findings = _open_shards(storage, found.path, commit_file)
    try:
        return findings + verify_files(commit_file.index, commit_file.path, files)
    finally:
        for file in files.values():
            file.close()


def verify_files(index: Index, path: str, files: Mapping[int, ReadableFile]) -> list[Finding]:
    """Return what is wrong with the open shards of a checkpoint, and with the values in it.

    Args:
        index: what the index says; its rules were checked when it was read.
        path: the file of the index, for messages.
        files: the shards that could be opened, by number.
    """
    shards = OpenShards(index.shards, files)
    gaps = _gaps(index, shards)
    check, runs = partial(_check_run, shards, gaps), list(_runs(index, files))
    if len(runs) > 1:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="checkpointable-verify") as pool:
            errors = list(chain.from_iterable(pool.map(check, runs)))
    else:
        errors = list(chain.from_iterable(map(check, runs)))
    findings = [finding_of(error, path) for error in errors]
    if not findings and all(shard in files for shard in range(len(index.shards))):
        findings = [finding_of(error, path) for error in _check_values(index, path, files)]
    return findings


def _open_shards(
    storage: Storage, path: str, commit_file: CommitFile
) -> tuple[dict[int, ReadableFile], list[Finding]]:
    """Open the shards that are there and of the right length; list the others."""
    index, files, findings = commit_file.index, dict[int, ReadableFile](), list[Finding]()
    if commit_file.single is not None:
        return {0: commit_file.single}, findings
    for shard, length in enumerate(index.shards.lengths.tolist()):
        name = shard_path(path, index, shard)
        try:
            file = storage.open_read(name)
        except CheckpointNotFoundError:
            findings.append(finding_of(corrupt(name, "F-2", "the shard is missing"), name))
            continue
        except StorageError as error:
            findings.append(finding_of(error, name))
            continue
        try:
            check_length(file, length)
            files[shard] = file
        except CorruptCheckpointError as error:
            file.close()
            findings.append(finding_of(error, name))
    return files, findings


def _runs(index: Index, files: Mapping[int, ReadableFile]) -> Iterator[tuple[int, int]]:
    """Yield runs of chunks that cover the open shards."""
    first_chunks = index.shards.first_chunks.tolist()
    for shard in files:
        if shard < len(index.shards):
            for first in range(first_chunks[shard], first_chunks[shard + 1], _RUN):
                yield first, min(first + _RUN, first_chunks[shard + 1])


def _check_run(
    shards: OpenShards, gaps: tuple[list[int], list[int]], run: tuple[int, int]
) -> list[CheckpointError]:
    """Read a run of chunks; return what is wrong with it."""
    first, last = run
    origin = shards.edge(first)
    buffer = memoryview(bytearray(shards.edge(last) - origin))
    errors: list[CheckpointError] = []
    for chunk in range(first, last):
        part = buffer[shards.edge(chunk) - origin : shards.edge(chunk + 1) - origin]
        try:
            shards.read_chunks(chunk, chunk + 1, part)
        except (CorruptCheckpointError, StorageError) as error:
            errors.append(error)
    if not errors:
        begins, ends = gaps
        low = int(np.searchsorted(ends, origin, side="right"))
        high = int(np.searchsorted(begins, shards.edge(last)))
        for begin, end in zip(begins[low:high], ends[low:high], strict=True):
            padding = buffer[max(begin - origin, 0) : max(end - origin, 0)]
            if any(padding):
                errors.append(shards.describe(begin, "F-30", "the bytes between extents are not 0"))
                break
    return errors


def _gaps(index: Index, shards: OpenShards) -> tuple[list[int], list[int]]:
    """Return where the bytes between extents begin and end."""
    tensors = index.tensors
    bases = np.array(shards.bases, dtype=np.int64)
    begins = np.sort(bases[tensors.extent_shards] + tensors.extent_offsets.astype(np.int64))
    order = np.lexsort((tensors.extent_offsets, tensors.extent_shards))
    ends = begins + tensors.extent_lengths[order].astype(np.int64)
    gap = begins[1:] > ends[:-1]
    return ends[:-1][gap].tolist(), begins[1:][gap].tolist()


def _check_values(
    index: Index, path: str, files: Mapping[int, ReadableFile]
) -> Iterator[CheckpointError]:
    """Yield what is wrong with the values, given that all checksums are right."""
    contents = BundleContents(index, path, [files[shard] for shard in sorted(files)])
    try:
        decode_metadata(index.metadata, path)
    except CorruptCheckpointError as error:
        yield error
    for number in range(len(index.tensors) + len(index.inline)):
        try:
            contents.check(number)
        except (CorruptCheckpointError, StorageError) as error:
            yield error


def finding_of(error: CheckpointError, path: str) -> Finding:
    """Put an error into a list instead of raising it."""
    if isinstance(error, CorruptCheckpointError):
        return Finding(error.file or path, error.rule, error.message)
    file = error.filename if isinstance(error, StorageError) else path
    return Finding(str(file or path), "F-2", error.message)
