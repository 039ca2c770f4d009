"""The real writer and the real reader, driven by the harness."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.bundle import files
from checkpointable.bundle.commit import begin
from checkpointable.directory.latest import latest_checkpoint
from checkpointable.errors import CheckpointWarning, CorruptCheckpointError
from checkpointable.format.records import NOTHING, AttributeKind, NodeKind, ObjectGraph, Snapshot
from checkpointable.interop.opening import open_checkpoint
from checkpointable.interop.writing import write_checkpoint
from checkpointable.names import VARIABLE_VALUE
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage, read_all
from checkpointable.storage.memory import DiskImage, MemoryStorage


class BundleDriver:
    """Checkpoints of a few arrays, one per shard.

    Args:
        shards: how many arrays, and shards, a checkpoint has.
        shard_bytes: how long each array is.
    """

    def __init__(self, shards: int = 2, shard_bytes: int = 5000) -> None:
        self._shards = shards
        self._shard_bytes = shard_bytes

    def save(
        self,
        storage: Storage,
        prefix: str,
        value: int,
        options: SaveOptions,
        *,
        numbered: bool = False,
        counter: int = 0,
    ) -> str:
        with begin(storage, prefix, options, numbered=numbered, counter=counter) as commit:
            limited = attrs.evolve(options, max_shard_bytes=self._shard_bytes + 100)
            write_checkpoint(commit, self._snapshot(value), limited)
        return commit.prefix

    def load(self, storage: Storage, prefix: str) -> int:
        source = open_checkpoint(storage, prefix)
        try:
            findings = source.verify()
            if findings:
                raise CorruptCheckpointError("; ".join(map(str, findings)))
            value = int(source.metadata["value"])
            expected = self._arrays(value)
            graph = source.graph
            assert graph is not None
            nodes = [node for _, node in graph.children(0)]
            found = [source.read(a.value) for node in nodes for a in graph.attributes(node)]
        finally:
            source.close()
        if len(found) != len(expected) or not all(map(np.array_equal, expected, found)):
            raise AssertionError(f"{prefix}: other bytes than were saved, and nobody noticed")
        return value

    def verify(self, storage: Storage, commit_file: str) -> None:
        if commit_file.endswith(".index"):
            self.load(storage, commit_file.removesuffix(".index"))
        else:  # alone: readers would take the index if there is one
            name = "/it.safetensors" if commit_file.endswith(".safetensors") else "/it"
            self.load(MemoryStorage(DiskImage({name: read_all(storage, commit_file)})), "/it")

    def further(self, storage: Storage, prefixes: Collection[str]) -> list[str]:
        """D-5, I-6: the newest checkpoint of each directory is found, whatever else is there."""
        newest: dict[str, str] = {}
        for prefix in sorted(prefixes, key=lambda prefix: files.split_number(prefix)[1] or 0):
            newest[files.split_path(prefix)[0]] = prefix
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)  # about the stranger's state file
            found = {path: latest_checkpoint(path, storage=storage) for path in newest}
        return [] if found == newest else [f"D-5: the latest are {found}, expected {newest}"]

    def _arrays(self, value: int) -> list[npt.NDArray[np.uint8]]:
        random = np.random.default_rng(value)
        return [
            random.integers(0, 256, self._shard_bytes, dtype=np.uint8) for _ in range(self._shards)
        ]

    def _snapshot(self, value: int) -> Snapshot:
        arrays = self._arrays(value)
        return Snapshot(_root_of_arrays(len(arrays)), arrays, [], {"value": value})


def _root_of_arrays(count: int) -> ObjectGraph:
    """Return the graph of a root whose children are `count` arrays."""
    names = [VARIABLE_VALUE, *(f"array{number}" for number in range(count))] if count else []

    def column(*values: int, dtype: type = np.uint32) -> npt.NDArray[np.unsignedinteger]:
        return np.array(values, dtype=dtype)

    numbers = range(count)
    return ObjectGraph(
        names=names,
        kinds=column(NodeKind.OBJECT, *(NodeKind.VALUE for _ in numbers), dtype=np.uint8),
        labels=column(NOTHING, *(NOTHING for _ in numbers)),
        child_counts=column(count, *(0 for _ in numbers)),
        attribute_counts=column(0, *(1 for _ in numbers)),
        child_nodes=column(*(number + 1 for number in numbers)),
        child_names=column(*(number + 1 for number in numbers)),
        key_kinds=column(*(0 for _ in numbers), dtype=np.uint8),
        attribute_names=column(*(0 for _ in numbers)),
        attribute_kinds=column(*(AttributeKind.ARRAY for _ in numbers), dtype=np.uint8),
        attribute_values=column(*numbers),
        attribute_full_names=column(*(NOTHING for _ in numbers)),
        slots=column(),
    )
