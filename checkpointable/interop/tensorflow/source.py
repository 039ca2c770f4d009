"""TensorFlow's checkpoints of version 2 behind the reader interface: an index and data files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, final

import numpy.typing as npt

from checkpointable.bundle.lifetime import Lifetime
from checkpointable.bundle.verify import finding_of
from checkpointable.errors import CheckpointError, CorruptCheckpointError
from checkpointable.format.records import ObjectGraph, TensorInfo
from checkpointable.format.source import CheckpointSource, Finding, Unclear
from checkpointable.interop.tensorflow.contents import TensorContents
from checkpointable.interop.tensorflow.meaning import Meaning, read_words, understand
from checkpointable.interop.tensorflow.opening import OpenIndex, open_index
from checkpointable.storage.base import FileStatus, Storage

Array = npt.NDArray[Any]

#: How many tensors are verified at once.
_THREADS: Final = 4


def open_bundle(storage: Storage, path: str) -> CheckpointSource:
    """Open the TensorFlow checkpoint of version 2 at a path: `PATH.index` and its data files.

    The whole index and the places of all tensors in the data files are checked; the object graph
    is, when it is first asked for. The source holds the files open until it is closed.

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
        self._words = read_words(index)
        self.tells_text = self._words.notes is not None
        self._meaning: Meaning | None = None
        early = self._understood() if self._words.tell_dtypes else None
        self._contents = TensorContents(
            index.tensors,
            index.data,
            index.index_path,
            early.dtypes if early else {},
            early.texts if early else frozenset(),
        )
        self.tensors: Sequence[TensorInfo] = self._contents.infos
        self._life = Lifetime(index.path, index.close)

    @property
    def graph(self) -> ObjectGraph | None:  # type: ignore[override]
        """The object graph, understood when first asked for; `None` if there are names only."""
        return self._understood().graph

    @property
    def names(self) -> Mapping[str, tuple[int, ...]]:  # type: ignore[override]
        """The numbers of the tensors of each global name."""
        return self._understood().names

    @property
    def unclear(self) -> Sequence[Unclear]:  # type: ignore[override]
        """What in the graph cannot be interpreted."""
        return self._understood().unclear

    @property
    def empty(self) -> Collection[int]:  # type: ignore[override]
        """The numbers of the tensors that hold `None` or an empty container."""
        return self._understood().empty

    @property
    def metadata(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The user's metadata."""
        return self._understood().metadata

    @property
    def status(self) -> FileStatus:
        """What the storage said of the index when it was read."""
        return self._index.status

    def new_array(self, number: int) -> Array:
        """Return a new array to read a tensor into, if all its slices are there."""
        self._contents.check_filled(number)
        return super().new_array(number)

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

    def _understood(self) -> Meaning:
        if self._meaning is None:
            self._meaning = understand(self._words, self._index.tensors, self._index.index_path)
        return self._meaning

    def _findings(self) -> Iterator[Finding]:
        try:
            self._understood()
        except CorruptCheckpointError as damage:
            yield finding_of(damage, self._index.index_path)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="checkpointable-verify") as pool:
            for errors in pool.map(self._check, range(len(self.tensors))):
                for error in errors:
                    yield finding_of(error, self._index.index_path)

    def _check(self, number: int) -> list[CheckpointError]:
        """Return what is wrong with a tensor."""
        return list(self._contents.check(number))
