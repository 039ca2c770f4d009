"""TensorFlow's checkpoints of version 2 behind the reader interface: an index and data files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final, final

import numpy.typing as npt

from checkpointable.bundle.lifetime import Lifetime
from checkpointable.errors import (
    CheckpointError,
    CorruptCheckpointError,
    MissingDependencyError,
    StorageError,
)
from checkpointable.format.records import ObjectGraph, TensorInfo
from checkpointable.format.source import CheckpointSource, Finding, Unclear
from checkpointable.interop.tensorflow.annotations import ANNOTATIONS_KEY
from checkpointable.interop.tensorflow.contents import TensorContents
from checkpointable.interop.tensorflow.graph import StoredGraph
from checkpointable.interop.tensorflow.opening import OpenIndex, open_index
from checkpointable.interop.tensorflow.stored_graph import (
    read_annotations,
    read_stored_graph,
    texts_of_names,
)
from checkpointable.storage.base import FileStatus, Storage

Array = npt.NDArray[Any]

#: How many tensors are verified at once.
_THREADS: Final = 4


def open_bundle(storage: Storage, path: str) -> CheckpointSource:
    """Open the TensorFlow checkpoint of version 2 at a path: `PATH.index` and its data files.

    The whole index and the places of all tensors in the data files are checked; the object graph
    is when it is first asked for.
    The source holds the files open until it is closed.

    Raises:
        CheckpointNotFoundError: there is none; the message names those that are there.
        CorruptCheckpointError: the index is damaged, a data file is missing or too short.
        UnsupportedFormatError: it is of another format or of a newer version.
        MissingDependencyError: protobuf or crc32c is not installed.
        StorageError: the storage failed.
    """
    index = open_index(storage, path)
    try:
        return TensorFlowSource(storage, index)
    except BaseException:
        index.close()
        raise


@final
class TensorFlowSource(CheckpointSource):
    """An open checkpoint of TensorFlow's. Thread-safe; a reader holds up `close`."""

    def __init__(self, storage: Storage, index: OpenIndex) -> None:
        self.path = index.path
        self.format = "tensorflow"
        self.keys: Mapping[str, int] = index.tensors.keys
        self._storage = storage
        self._index = index
        self._contents = TensorContents(index.tensors, index.data, index.index_path)
        self.tensors: Sequence[TensorInfo] = self._contents.infos
        self._life = Lifetime(index.path, index.close)
        said = read_annotations(self._contents, self.keys, index.index_path)
        self._annotations = said
        self.metadata: Mapping[str, Any] = {} if said is None else said.metadata
        if said is not None and self.graph is None:
            texts = texts_of_names(said, self._contents, self.keys, index.index_path)
            self._contents.tell({}, texts)

    @cached_property
    def _stored_graph(self) -> StoredGraph | None:
        """The object graph, read when it is first asked for: most tensors are read without it."""
        with self._life.reading():
            stored = read_stored_graph(
                self._contents, self.keys, self._annotations, self._index.index_path
            )
        if stored is not None:
            self._contents.tell(stored.tensor_dtypes, stored.texts)
        return stored

    @property
    def graph(self) -> ObjectGraph | None:  # type: ignore[override]
        """The object graph; `None` for a name-based checkpoint."""
        return None if self._stored_graph is None else self._stored_graph.graph

    @cached_property
    def names(self) -> Mapping[str, tuple[int, ...]]:  # type: ignore[override]
        """The numbers of the tensors of each global name."""
        if self.graph is not None:
            return self.graph.global_names()
        return {key: (number,) for key, number in self.keys.items() if key != ANNOTATIONS_KEY}

    @property
    def empty(self) -> Collection[int]:  # type: ignore[override]
        """The numbers of the tensors that hold `None` or an empty container."""
        return () if self._stored_graph is None else self._stored_graph.empty

    @property
    def unclear(self) -> Sequence[Unclear]:  # type: ignore[override]
        """What the object graph holds that cannot be interpreted."""
        return () if self._stored_graph is None else self._stored_graph.unclear

    @property
    def status(self) -> FileStatus:
        """What the storage said of the index when it was read."""
        return self._index.status

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
        """Return one tensor as a new array; of strings and variants, an object array."""
        with self._life.reading():
            return self._contents.read(number)

    def read_slice(self, number: int, index: Any) -> Array:
        """Return a part of one tensor: what it lies in is verified once, then only it is read."""
        with self._life.reading():
            return self._contents.read_slice(number, index)

    def value(self, number: int) -> Any:
        """Return the value of a scalar as a Python value."""
        with self._life.reading():
            return self._contents.value(number)

    def verify(self) -> list[Finding]:
        """Read every tensor and return what is wrong."""
        with self._life.reading():
            return list(self._findings())

    def unchanged(self) -> bool:
        """Tell whether the path still leads to this very checkpoint."""
        return self._storage.status(self._index.index_path) == self._index.status

    def close(self) -> None:
        """Close the files, once the reads in progress have ended."""
        self._life.end()

    @property
    def closed(self) -> bool:
        """Whether the files are closed."""
        return self._life.ended

    def _findings(self) -> Iterator[Finding]:
        try:
            _ = self.graph
        except CheckpointError as damage:
            yield finding(damage, self._index.index_path)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="checkpointable-verify") as pool:
            for errors in pool.map(self._check, range(len(self.tensors))):
                for error in errors:
                    yield finding(error, self._index.index_path)

    def _check(self, number: int) -> list[CheckpointError]:
        """Return what is wrong with a tensor."""
        return list(self._contents.check(number))


def finding(error: CheckpointError, path: str) -> Finding:
    """Put an error into a list instead of raising it.

    Raises:
        MissingDependencyError: it says nothing of the checkpoint.
    """
    if isinstance(error, MissingDependencyError):
        raise error
    if isinstance(error, CorruptCheckpointError):
        return Finding(error.file or path, error.rule, error.message)
    file = error.filename if isinstance(error, StorageError) else path
    return Finding(str(file or path), "T-7", error.message)
