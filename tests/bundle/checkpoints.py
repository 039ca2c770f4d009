"""Checkpoints of arrays and values without objects, for tests of the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpointable.bundle.commit import begin
from checkpointable.bundle.writer import write_bundle
from checkpointable.format.records import NOTHING, AttributeKind, Blob, ObjectGraph, Snapshot
from checkpointable.format.source import CheckpointSource
from checkpointable.interop.opening import open_checkpoint
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage
from checkpointable.storage.memory import DiskImage, MemoryStorage

Tensor = npt.NDArray[Any] | Blob

_KINDS = {"python": AttributeKind.PYTHON, "bytes": AttributeKind.STATE}


def snapshot(
    tensors: Sequence[Tensor],
    inline: Sequence[bytes] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Return a snapshot of one object that holds these tensors and encoded values, by number."""
    kinds = [
        _KINDS.get(t.dtype, AttributeKind.TENSOR) if isinstance(t, Blob) else AttributeKind.TENSOR
        for t in tensors
    ] + [AttributeKind.PYTHON] * len(inline)
    count = len(kinds)
    nothing = np.zeros(0, dtype=np.uint32)
    graph = ObjectGraph(
        names=[f"t{i}" for i in range(count)],
        kinds=np.zeros(1, dtype=np.uint8),
        labels=np.array([NOTHING], dtype=np.uint32),
        child_counts=np.zeros(1, dtype=np.uint32),
        attribute_counts=np.array([count], dtype=np.uint32),
        child_nodes=nothing,
        child_names=nothing,
        key_kinds=np.zeros(0, dtype=np.uint8),
        attribute_names=np.arange(count, dtype=np.uint32),
        attribute_kinds=np.array(kinds, dtype=np.uint8),
        attribute_values=np.arange(count, dtype=np.uint32),
        attribute_full_names=np.full(count, NOTHING, dtype=np.uint32),
        slots=nothing,
    )
    return Snapshot(graph, list(tensors), list(inline), metadata or {})


def write(
    storage: Storage,
    tensors: Sequence[Tensor],
    inline: Sequence[bytes] = (),
    *,
    prefix: str = "/run/ckpt",
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write a checkpoint."""
    settings = SaveOptions(**({"durable": False} | options))
    with begin(storage, prefix, settings, numbered=False) as commit:
        write_bundle(commit, snapshot(tensors, inline, metadata), settings)


def written(
    tensors: Sequence[Tensor], inline: Sequence[bytes] = (), **options: Any
) -> dict[str, bytes]:
    """Return the files of a checkpoint, by name."""
    storage = MemoryStorage()
    write(storage, tensors, inline, **options)
    return dict(storage.image().files)


def stored(files: Mapping[str, bytes]) -> MemoryStorage:
    """Return a storage with these files."""
    return MemoryStorage(DiskImage(dict(files)))


def opened(files: Mapping[str, bytes]) -> CheckpointSource:
    """Open the checkpoint in these files."""
    return open_checkpoint(stored(files), "/run/ckpt")
