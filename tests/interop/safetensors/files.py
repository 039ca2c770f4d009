"""Safetensors files made by hand, and written without a commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from checkpointable.checkpoint import Checkpoint, roots_of
from checkpointable.format.records import Snapshot
from checkpointable.format.source import CheckpointSource
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import walk
from checkpointable.interop.safetensors.source import open_safetensors
from checkpointable.interop.safetensors.writer import write_safetensors
from checkpointable.options import SaveOptions
from checkpointable.storage.base import WritableFile
from checkpointable.storage.memory import DiskImage, MemoryStorage

FILE = "/run/a.safetensors"


class OneFile:
    """A commit that does nothing but write one file."""

    def __init__(self) -> None:
        self.storage = MemoryStorage(DiskImage({"/run/x": b""}))
        self.file: WritableFile = self.storage.create(FILE)
        self.is_finished = False

    def create_shard(self, shard: int) -> WritableFile:
        raise AssertionError(shard)

    def seal_shard(self, shard: int) -> None:
        raise AssertionError(shard)

    def finish(self, tokens: Sequence[str]) -> None:
        assert [] == list(tokens)
        self.file.close()
        self.is_finished = True

    @property
    def content(self) -> bytes:
        """What was written so far."""
        return bytes(self.storage.image().files[FILE])


def snapshot_of(checkpoint: Checkpoint, metadata: Mapping[str, Any] | None = None) -> Snapshot:
    """Return what a save of a checkpoint would write."""
    root, attached = roots_of(checkpoint)
    return take_snapshot(walk(root, attached), metadata)


def written(snapshot: Snapshot) -> bytes:
    """Return the file that a snapshot becomes."""
    commit = OneFile()
    write_safetensors(commit, snapshot, SaveOptions(format="safetensors"))
    assert commit.is_finished
    return commit.content


def stored(files: Mapping[str, bytes]) -> MemoryStorage:
    """Return a storage with files in `/run`."""
    return MemoryStorage(DiskImage({f"/run/{name}": data for name, data in files.items()}))


def opened(data: bytes) -> CheckpointSource:
    """Open a file with this content."""
    return open_safetensors(stored({"a.safetensors": data}), "/run/a", FILE)


def file_of(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """Return a file with this header, spaces to a multiple of 8 included."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: Sequence[Any], begin: Any, end: Any) -> dict[str, Any]:
    """Return what a header says of a tensor."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
