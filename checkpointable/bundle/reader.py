"""Opens checkpoints in the native format, in either form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy.typing as npt

from checkpointable.bundle.contents import BundleContents
from checkpointable.bundle.finding import Found
from checkpointable.bundle.lifetime import Lifetime
from checkpointable.bundle.opening import OpenBundle, open_bundle
from checkpointable.bundle.verify import verify_files
from checkpointable.format.records import TensorInfo
from checkpointable.format.source import CheckpointSource, Finding
from checkpointable.format.values import decode_metadata
from checkpointable.storage.base import Storage

Array = npt.NDArray[Any]


def open_bundle_source(storage: Storage, found: Found) -> CheckpointSource:
    """Open the native checkpoint whose commit file was found: an index, or all in one file.

    The whole index and the lengths of all files are checked. The source holds the files open
    until it is closed, so what happens to the checkpoint meanwhile does not matter to it.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError, UnsupportedFormatError, StorageError: as
            `open_bundle`.
    """
    return BundleSource(storage, open_bundle(storage, found))


@final
class BundleSource(CheckpointSource):
    """An open checkpoint with an index, in the native format or another one that has such.

    Thread-safe; a reader holds up `close`.
    """

    def __init__(
        self,
        storage: Storage,
        bundle: OpenBundle,
        *,
        format_name: str = "native",
        keys: Mapping[str, int] | None = None,
        names: Mapping[str, tuple[int, ...]] | None = None,
        caveat: Finding | None = None,
    ) -> None:
        self.path = bundle.path
        self.format = format_name
        self.keys = keys
        self.unverified = "" if caveat is None else caveat.message
        self.graph = None if bundle.index.graph.is_name_based else bundle.index.graph
        self.tensors: Sequence[TensorInfo] = bundle.index.tensors.infos
        self._storage = storage
        self._bundle = bundle
        self._contents = BundleContents(bundle.index, bundle.index_path, bundle.shards)
        self._life = Lifetime(bundle.path, bundle.close)
        self._metadata: Mapping[str, Any] | None = None
        self._names = names
        self._caveat = caveat

    @property
    def names(self) -> Mapping[str, tuple[int, ...]]:  # type: ignore[override]
        """The numbers of the tensors of each global name, looked up when first asked for."""
        if self._names is None:
            self._names = self._bundle.index.graph.global_names()
        return self._names

    @property
    def metadata(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The user's metadata, decoded when first asked for."""
        if self._metadata is None:
            self._metadata = decode_metadata(self._bundle.index.metadata, self._bundle.index_path)
        return self._metadata

    def read_into(
        self,
        numbers: Sequence[int],
        targets: Sequence[Array],
        done: list[int] | None = None,
        *,
        threads: bool = True,
    ) -> None:
        """Read tensors straight into arrays."""
        noted = [] if done is None else done
        with self._life.reading():
            self._contents.read_into(numbers, targets, noted, threads=threads)

    def read(self, number: int) -> Array:
        """Return one tensor as a new array."""
        with self._life.reading():
            return self._contents.read(number)

    def read_slice(self, number: int, index: Any) -> Array:
        """Return a part of one tensor, reading only the chunks that it needs."""
        with self._life.reading():
            return self._contents.read_slice(number, index)

    def value(self, number: int) -> Any:
        """Return the Python value of that number; inline ones are at hand even once closed."""
        if number >= len(self.tensors):
            return self._contents.value(number)
        with self._life.reading():
            return self._contents.value(number)

    def verify(self) -> list[Finding]:
        """Read every byte of the open files and return what is wrong."""
        with self._life.reading():
            files = dict(enumerate(self._bundle.shards))
            findings = verify_files(self._bundle.index, self._bundle.index_path, files)
        return findings if self._caveat is None else [*findings, self._caveat]

    def unchanged(self) -> bool:
        """Tell whether the path still leads to this very checkpoint."""
        beside = ((file.path, file.status) for file in self._bundle.beside)
        places = ((self._bundle.index_path, self._bundle.status), *beside)
        return all(self._storage.status(path) == status for path, status in places)

    def close(self) -> None:
        """Close the files, once the reads in progress have ended."""
        self._life.end()

    @property
    def closed(self) -> bool:
        """Whether the files are closed."""
        return self._life.ended
