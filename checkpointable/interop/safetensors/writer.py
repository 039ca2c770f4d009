"""Writes a checkpoint as one safetensors file, its index in the metadata.

The header, with the checksums of the data, comes before the data; so the arrays are gone over
twice: to compute the checksums, and to write them. The second time they are computed again, and an
array that has changed in between is noticed. Nothing is copied as a whole but a tensor in slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from checkpointable.bundle.chunks import ChunkWriter
from checkpointable.bundle.layout import ShardLayout, plan_layout
from checkpointable.bundle.peek import LONGEST_HEADER, OWN_MARK
from checkpointable.bundle.writer import BundleCommit, encode_metadata, shard_table, write_shard
from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import STRING, dtype_name
from checkpointable.format.index import Index, decode_index, encode_index
from checkpointable.format.records import Blob, ObjectGraph, Snapshot
from checkpointable.format.tables import Placement
from checkpointable.interop.safetensors.agreement import described
from checkpointable.interop.safetensors.binding import KEY, bind, index_text
from checkpointable.interop.safetensors.dtypes import THEIRS
from checkpointable.interop.safetensors.header import HEAD, encode_header
from checkpointable.interop.safetensors.naming import tensor_names, tensor_path
from checkpointable.names import shorten
from checkpointable.options import SaveOptions

#: Libraries refuse metadata that do not name one of the frameworks that they know.
_FORMAT: Final = "pt"
_REMEDIES: Final = {
    "complex128": "Convert it to complex64, or keep real and imaginary parts",
    STRING: "Keep texts in a plain list, which is stored as a value of its own",
}
_OTHERWISE: Final = "Convert it to another dtype"


def write_safetensors(commit: BundleCommit, snapshot: Snapshot, options: SaveOptions) -> int:
    """Write a snapshot as a safetensors file through a commit and finish the commit.

    There is one file, whatever `max_shard_bytes`. If this raises, the commit is to be aborted.

    Args:
        commit: where to.
        snapshot: what. The arrays must not change meanwhile.
        options: nothing in them counts here.

    Returns:
        how many shards were written: 1, or 0 where no tensor has elements.

    Raises:
        NotCheckpointableError: something in the snapshot cannot be stored in this format, or an
            array changed meanwhile.
        StorageError: the storage failed.
    """
    _check_dtypes(snapshot)
    names = tensor_names(snapshot.graph, len(snapshot.tensors))
    layout = plan_layout(snapshot.tensors, None, placement=Placement.PACKED)
    looked_at = [write_shard(None, shard, layout.pieces) for shard in layout.shards]
    index = Index(
        snapshot.graph,
        layout.table,
        shard_table(looked_at),
        snapshot.inline,
        encode_metadata(snapshot.metadata),
    )
    frames = b"".join(encode_index(index))
    # What could not be read is never committed.
    decode_index(frames, commit.file.path, Placement.PACKED)
    metadata = _readable(snapshot.metadata) | {KEY: index_text(frames)}
    header = bind(encode_header(described(index, names), metadata))
    if len(header) > LONGEST_HEADER:
        raise NotCheckpointableError(
            f"the header of the file would have {len(header):,} bytes, expected at most"
            f" {LONGEST_HEADER:,}. Save in another format."
        )
    commit.file.write([len(header).to_bytes(HEAD, "little"), header])
    for shard, before in zip(layout.shards, looked_at, strict=True):
        written = write_shard(commit.file, shard, layout.pieces)
        _check_unchanged(before, written, shard, snapshot.graph)
    commit.finish([])
    return len(layout.shards)


def _check_dtypes(snapshot: Snapshot) -> None:
    """Refuse what safetensors has no dtype for (ST-12)."""
    known: set[Any] = {"python", "bytes"}
    for number, tensor in enumerate(snapshot.tensors):
        if tensor.dtype in known:
            continue
        name = tensor.dtype if isinstance(tensor, Blob) else dtype_name(tensor.dtype)
        if name not in THEIRS:
            path = tensor_path(snapshot.graph, number)
            what = "arrays of strings" if name == STRING else f"arrays of dtype {name}"
            raise NotCheckpointableError(
                f"{shorten(path)}: {what} cannot be stored in a file of safetensors."
                f" {_REMEDIES.get(name, _OTHERWISE)}, or save in another format.",
                path=path,
            )
        known.add(tensor.dtype)


def _readable(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts among the metadata, for other programs; the index has all of them."""
    texts = {name: value for name, value in metadata.items() if _is_readable(name, value)}
    return {"format": _FORMAT} | texts


def _is_readable(name: str, value: Any) -> bool:
    """Tell whether something among the metadata is a text that any program can read as such."""
    if type(value) is not str or name == KEY or OWN_MARK in value:
        return False
    both = name + value
    return both.isascii() or not any("\ud800" <= character <= "\udfff" for character in both)


def _check_unchanged(
    before: ChunkWriter, after: ChunkWriter, shard: ShardLayout, graph: ObjectGraph
) -> None:
    """Refuse a file whose data are not those that its checksums were computed of.

    Raises:
        NotCheckpointableError: an array changed in between.
    """
    if before.chunk_digests == after.chunk_digests:
        return
    old, new = (np.frombuffer(w.chunk_digests, np.uint8).reshape(-1, 16) for w in (before, after))
    changed = int((old != new).any(axis=1).argmax())
    begin = int(before.chunk_lengths[:changed].sum(dtype=np.int64))
    first = max(int(np.searchsorted(shard.offsets, begin, side="right")) - 1, 0)
    path = tensor_path(graph, shard.pieces[first])
    raise NotCheckpointableError(
        f"{shorten(path)}, or what lies beside it in the file, was changed while it was saved,"
        " expected that nothing changes meanwhile. Save when no other thread is at work on it.",
        path=path,
    )
