"""Writes a checkpoint as TensorFlow does: data files, then the index that says what is in them.

The order of files and their durability are the commit's (`bundle/commit.py`). Memory: contiguous
arrays are never copied as a whole, others in pieces of 1 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import BYTES
from checkpointable.format.records import Blob, Snapshot
from checkpointable.interop.tensorflow.annotations import ANNOTATIONS_KEY, decode_annotations
from checkpointable.interop.tensorflow.data_writer import Places, place_pieces, write_pieces
from checkpointable.interop.tensorflow.entries import read_entries
from checkpointable.interop.tensorflow.graph import GRAPH_KEY, read_graph
from checkpointable.interop.tensorflow.graph_message import (
    GraphMessage,
    graph_message,
    name_annotations,
)
from checkpointable.interop.tensorflow.manifest import (
    Manifest,
    Tensor,
    make_manifest,
    shape_message,
)
from checkpointable.interop.tensorflow.messages import message
from checkpointable.interop.tensorflow.table_writer import encode_table
from checkpointable.interop.tensorflow.tensors import Tensors
from checkpointable.options import SaveOptions
from checkpointable.storage.base import WritableFile

#: The version of bundles that TensorFlow writes (T-5).
_PRODUCER: Final = 1


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
    written = None if snapshot.graph.is_name_based else graph_message(snapshot)
    named = _named_tensors(snapshot) if written is None else _graph_tensors(written)
    manifest = make_manifest(named)
    lengths = [piece.length for piece in manifest.pieces]
    places = place_pieces(lengths, options.max_shard_bytes, groups)
    checksums = _write_shards(commit, manifest, places)
    rows = _rows(manifest, places, checksums)
    likely = count = max(len(places.members), 1)
    index = _encode_index(rows, likely)
    _check(index, written, commit.file.path)

    def write_index(chosen: int) -> None:
        nonlocal count
        count = chosen
        commit.file.write(index if chosen == likely else _encode_index(rows, chosen))

    commit.finish_without_tokens(len(places.members), write_index)
    return count


def _graph_tensors(written: GraphMessage) -> Iterator[tuple[str, Tensor]]:
    """Yield the keys and values of an object graph, in the order in which they are written."""
    for keyed in written.tensors:
        yield keyed.key, keyed.tensor
    yield ANNOTATIONS_KEY, Blob(BYTES, (), written.annotations)
    yield GRAPH_KEY, Blob(BYTES, (), written.graph)


def _named_tensors(snapshot: Snapshot) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and values of a name-based snapshot, and what is said beside them."""
    # Each name has one node, and this one value (F-45).
    numbers = snapshot.graph.attribute_values.tolist()
    for (name, _), number in zip(snapshot.graph.children(0), numbers, strict=True):
        if name in (GRAPH_KEY, ANNOTATIONS_KEY):
            raise NotCheckpointableError(
                f"{name}: checkpoints in TensorFlow's format keep something else under this name."
                " Rename the variable.",
                path=name,
            )
        yield name, snapshot.tensors[number]
    annotations = name_annotations(snapshot)
    if annotations is not None:
        yield ANNOTATIONS_KEY, Blob(BYTES, (), annotations)


def _write_shards(commit: UntokenedCommit, manifest: Manifest, places: Places) -> list[int]:
    """Write the data files; return the checksum of every piece."""
    checksums = [0] * len(manifest.pieces)
    for shard, members in enumerate(places.members):
        file = commit.create_shard(shard)
        found = write_pieces(file, [manifest.pieces[i] for i in members])
        commit.seal_shard(shard)
        for i, checksum in zip(members, found, strict=True):
            checksums[i] = checksum
    return checksums


def _encode_index(rows: Sequence[tuple[bytes, bytes]], shards: int) -> list[bytes]:
    """Return the pieces of the index, given what is below its header."""
    version = message("VersionDef")(producer=_PRODUCER)
    header = message("BundleHeader")(num_shards=shards, version=version)
    return encode_table([(b"", header.SerializeToString()), *rows])


def _check(index: Sequence[bytes], written: GraphMessage | None, path: str) -> None:
    """Read index and graph again: what could not be read is never committed."""
    entries = read_entries(memoryview(b"".join(index)), path)
    if written is not None:
        tensors = Tensors(entries, path)
        annotations = decode_annotations(written.annotations, path)
        read_graph(written.graph, tensors.keys, tensors.infos, path, annotations)


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
