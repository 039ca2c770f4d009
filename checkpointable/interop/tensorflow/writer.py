"""Writes a checkpoint as TensorFlow does: data files, then the index that says what is in them.

The order of files and their durability are the commit's (`bundle/commit.py`). Memory: contiguous
arrays are never copied as a whole, others in pieces of 1 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import Snapshot
from checkpointable.interop.tensorflow.data_writer import Places, place_pieces, write_pieces
from checkpointable.interop.tensorflow.manifest import (
    Manifest,
    Tensor,
    make_manifest,
    shape_message,
)
from checkpointable.interop.tensorflow.messages import message
from checkpointable.interop.tensorflow.table import read_table
from checkpointable.interop.tensorflow.table_writer import encode_table
from checkpointable.options import SaveOptions
from checkpointable.storage.base import WritableFile

#: The version of bundles that TensorFlow writes (T-5).
_PRODUCER: Final = 1
_RESERVED: Final = ("_CHECKPOINTABLE_OBJECT_GRAPH", "_CHECKPOINTABLE_ANNOTATIONS")


class UntokenedCommit(Protocol):
    """What the writer needs of a commit: files to write to, and the end of it."""

    @property
    def file(self) -> WritableFile:
        """The commit file: the index."""

    def create_shard(self, shard: int, /) -> WritableFile:
        """Create the file of a shard."""

    def seal_shard(self, shard: int, /) -> None:
        """Make the file of a shard durable and close it."""

    def finish_without_tokens(self, count: int, write_index: Callable[[int], None], /) -> Any:
        """Give all files their names, having the index written for the number of shards."""


def write_tensorflow(
    commit: UntokenedCommit, snapshot: Snapshot, options: SaveOptions, groups: Sequence[int] = ()
) -> int:
    """Write a snapshot in TensorFlow's format through a commit and finish the commit.

    The arrays must not change meanwhile. If this raises, the commit is to be aborted.

    Args:
        commit: where to.
        snapshot: what.
        options: `max_shard_bytes` counts here.
        groups: of a name-based snapshot, for each tensor, and each slice of a divided one, a
            number; those of different numbers go into different shards. By default all may share
            one.

    Returns:
        how many shards there are: files that are there already may take up the lower numbers.

    Raises:
        NotCheckpointableError: TensorFlow cannot hold something in the snapshot.
        ValueError: `max_shard_bytes` is too small.
        MissingDependencyError: a package is not installed.
        StorageError: the storage failed.
    """
    manifest = make_manifest(_tensors(snapshot))
    lengths = [piece.length for piece in manifest.pieces]
    places = place_pieces(lengths, options.max_shard_bytes, groups)
    checksums = [0] * len(lengths)
    for shard, members in enumerate(places.members):
        file = commit.create_shard(shard)
        written = write_pieces(file, [manifest.pieces[i] for i in members])
        commit.seal_shard(shard)
        for i, checksum in zip(members, written, strict=True):
            checksums[i] = checksum
    rows = _rows(manifest, places, checksums)
    counts = []

    def write_index(count: int) -> None:
        pieces = encode_table([(b"", _header(count)), *rows])
        for _ in read_table(memoryview(b"".join(pieces)), commit.file.path):
            pass  # what could not be read is never committed
        commit.file.write(pieces)
        counts.append(count)

    commit.finish_without_tokens(len(places.members), write_index)
    return counts[-1]


def _tensors(snapshot: Snapshot) -> Iterator[tuple[str, Tensor]]:
    """Yield the keys and values of a snapshot."""
    graph = snapshot.graph
    # Each name of a name-based checkpoint has one node, and this one value (F-45).
    numbers = graph.attribute_values.tolist()
    for (name, _), number in zip(graph.children(0), numbers, strict=True):
        if name in _RESERVED:
            raise NotCheckpointableError(
                f"{name}: checkpoints in TensorFlow's format keep something else under this name."
                " Rename the variable.",
                path=name,
            )
        yield name, snapshot.tensors[number]


def _header(shards: int) -> bytes:
    version = message("VersionDef")(producer=_PRODUCER)
    return bytes(message("BundleHeader")(num_shards=shards, version=version).SerializeToString())


def _rows(
    manifest: Manifest, places: Places, checksums: Sequence[int]
) -> list[tuple[bytes, bytes]]:
    """Return the rows of the index below its header, in the order of their keys."""
    entry = message("BundleEntry")
    shapes: dict[tuple[int, ...], Any] = {}
    rows = list(manifest.wholes)
    for key, piece, shard, offset, checksum in zip(
        manifest.keys, manifest.pieces, places.shards, places.offsets, checksums, strict=True
    ):
        shape = shapes.get(piece.shape)
        if shape is None:
            shape = shapes[piece.shape] = shape_message(piece.shape)
        made = entry(
            dtype=piece.dtype,
            shape=shape,
            shard_id=shard,
            offset=offset,
            size=piece.length,
            crc32c=checksum,
        )
        rows.append((key, made.SerializeToString()))
    return sorted(rows)
