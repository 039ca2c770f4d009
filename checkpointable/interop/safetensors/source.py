"""Opens safetensors files: those of this library, those of others, several that are one (ST-1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from checkpointable.bundle.opening import OpenBundle
from checkpointable.bundle.reader import BundleSource
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.format.frame import corrupt
from checkpointable.format.garbage import without_collections
from checkpointable.format.index import decode_index
from checkpointable.format.source import CheckpointSource, Finding
from checkpointable.format.tables import Placement
from checkpointable.interop.safetensors.agreement import check_agreement
from checkpointable.interop.safetensors.binding import stored_index
from checkpointable.interop.safetensors.header import Header, read_header
from checkpointable.interop.safetensors.part import FilePart
from checkpointable.interop.safetensors.plain import plain_index
from checkpointable.interop.safetensors.sharded import check_complete, read_sharded_index
from checkpointable.storage.base import ReadableFile, Storage

_FORMAT: Final = "safetensors"
_SHARDED: Final = ".json"


def open_safetensors(storage: Storage, path: str, file: str) -> CheckpointSource:
    """Open a safetensors file, or the JSON index of several.

    The whole header and the lengths of all files are checked. A file that this library wrote has
    its object graph and its checksums. Any other has the graph that its dotted names are, and
    nothing that is read from it can be verified; `CheckpointSource.unverified` says so.

    Args:
        storage: where it is.
        path: how the source is called, and opened again.
        file: the file itself; one that ends with `.json` is an index.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CorruptCheckpointError: a header or an index is damaged, or a file is missing.
        UnsupportedFormatError: a tensor is of an unknown dtype, or a newer version wrote it.
        StorageError: the storage failed.
    """
    opened = storage.open_read(file)
    with without_collections():
        if file.endswith(_SHARDED):
            return _open_sharded(storage, path, opened)
        return _open_one(storage, path, opened)


def _open_one(storage: Storage, path: str, opened: ReadableFile) -> CheckpointSource:
    """Open one file, of this library or of others."""
    file = opened.path
    try:
        header = read_header(opened)
        data = stored_index(header)
        index = None if data is None else decode_index(data, file, Placement.PACKED)
        if index is not None:
            check_agreement(index, header)
            keys = {name: i for i, name in enumerate(header.tensors.names)}
            bundle = OpenBundle(path, file, opened.status, index, _parts([opened], [header]))
            return BundleSource(storage, bundle, format_name=_FORMAT, keys=keys)
        index = plain_index([header], header.metadata, file)
    except BaseException:
        opened.close()
        raise
    bundle = OpenBundle(path, file, opened.status, index, _parts([opened], [header]))
    return _plain_source(storage, bundle, [header])


def _open_sharded(storage: Storage, path: str, opened: ReadableFile) -> CheckpointSource:
    """Open the files that an index names."""
    try:
        index = read_sharded_index(opened)
    finally:
        opened.close()
    files: list[ReadableFile] = []
    try:
        files.extend(_open_part(storage, name, opened.path) for name in index.files)
        headers = [read_header(file) for file in files]
        check_complete(index, headers, opened.path)
        plain = plain_index(headers, index.metadata, opened.path)
    except BaseException:
        for file in files:
            file.close()
        raise
    parts = _parts(files, headers)
    bundle = OpenBundle(path, opened.path, opened.status, plain, parts, parts)
    return _plain_source(storage, bundle, headers)


def _open_part(storage: Storage, name: str, index: str) -> ReadableFile:
    try:
        return storage.open_read(name)
    except CheckpointNotFoundError:
        raise corrupt(name, "ST-11", f"the file is missing, which {index} names") from None


def _parts(files: Sequence[ReadableFile], headers: Sequence[Header]) -> list[ReadableFile]:
    """Return the data of the files."""
    pairs = zip(files, headers, strict=True)
    return [FilePart(file, header.data_begin) for file, header in pairs]


def _plain_source(
    storage: Storage, bundle: OpenBundle, headers: Sequence[Header]
) -> CheckpointSource:
    names = [name for header in headers for name in header.tensors.names]
    caveat = Finding(
        bundle.index_path,
        "ST-10",
        f"{bundle.index_path}: another program wrote the file, and it has no checksums: damage in"
        " the tensors cannot be found. Save it once with this library (ST-10 of"
        " docs/safetensors-format.md).",
    )
    return BundleSource(
        storage,
        bundle,
        format_name=_FORMAT,
        keys={name: i for i, name in enumerate(names)},
        names={name: (i,) for i, name in enumerate(names)},
        caveat=caveat,
    )
