"""The reader interface: what the restore engine and the inspecting verbs ask of any checkpoint.

Every format on disk has one implementation; nothing above knows which it speaks to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.dtypes import PYTHON, numpy_dtype
from checkpointable.format.records import AttributeKind, ObjectGraph, TensorInfo

Array = npt.NDArray[Any]


@attrs.frozen
class Unclear:
    """Something that a checkpoint holds at a node, and that this library cannot interpret.

    Attributes:
        node: the number of the node.
        what: what is there, for people: `a value of TensorFlow's lookup table saver`.
        reason: why it cannot be interpreted, and what to do.
    """

    node: int
    what: str
    reason: str


@attrs.frozen
class Finding:
    """One thing that is wrong with a checkpoint.

    Attributes:
        file: the file in question.
        rule: the number of the broken rule in `docs/` (`F-31` stands in `docs/format.md`).
        message: where, expected versus found.
    """

    file: str
    rule: str
    message: str

    def __str__(self) -> str:
        return self.message


class CheckpointSource(ABC):
    """An open checkpoint: its graph and tensors, read on demand.

    A source holds its files open from the start, so that deleting the checkpoint meanwhile
    loses nothing. Every byte that is read is verified first. Reading is thread-safe.
    """

    #: The prefix of the checkpoint, as it was opened.
    path: str
    #: The format: "native", "tensorflow" or "safetensors", as in `SaveOptions.format`.
    format: str
    #: The object graph; `None` for a name-based checkpoint.
    graph: ObjectGraph | None
    #: The numbers of the tensors of each global name: in a name-based checkpoint of all tensors,
    #: else of the Variables that had one. More than one where several Variables had the same.
    names: Mapping[str, tuple[int, ...]]
    #: The user's metadata.
    metadata: Mapping[str, Any]
    #: dtype and shape of every tensor, by number.
    tensors: Sequence[TensorInfo]
    #: The numbers of the tensors by the keys that the files themselves have for them; `None` where
    #: keys follow from the graph, or from the names, alone.
    keys: Mapping[str, int] | None = None
    #: The numbers of the tensors that hold `None` or an empty container, encoded as plain values.
    empty: Collection[int] = ()
    #: Whether strings that were str are told from bytes; where not, all are bytes.
    tells_text: bool = True
    #: What the checkpoint holds at nodes of its graph that cannot be interpreted.
    unclear: Sequence[Unclear] = ()
    #: Why what is read cannot be verified; "" where it can, and then it is.
    unverified: str = ""

    @abstractmethod
    def read_into(
        self,
        numbers: Sequence[int],
        targets: Sequence[Array],
        done: list[int] | None = None,
        *,
        threads: bool = True,
    ) -> None:
        """Read tensors of fixed item size straight into C-contiguous, writable arrays.

        Args:
            numbers: which tensors.
            targets: for each, an array of its very dtype and shape.
            done: receives the *positions in `numbers`* whose targets were written to, in whole or
                in part; complete when the call returns, and exact when it raises.
            threads: whether several threads may read at once.

        Raises:
            CorruptCheckpointError: what was read is not what was written.
            StorageError: the storage failed.
        """

    @abstractmethod
    def read(self, number: int) -> Array:
        """Return one tensor as a new array; strings as an object array of str and bytes."""

    @abstractmethod
    def read_slice(self, number: int, index: Any) -> Array:
        """Return a part of one tensor (basic indexing), reading only the chunks that it needs."""

    def new_array(self, number: int) -> Array:
        """Return a new array to read a tensor of fixed item size into.

        Raises:
            CorruptCheckpointError: the tensor cannot be read whole: its shape says nothing of how
                many bytes there are, and an array of it may be larger than any memory.
        """
        info = self.tensors[number]
        return np.empty(info.shape, numpy_dtype(info.dtype))

    def is_plain(self, number: int) -> bool:
        """Tell whether a number is that of a plain Python value."""
        if number >= len(self.tensors) or self.tensors[number].dtype == PYTHON:
            return True
        # Where the files have keys of their own, a plain value may be any scalar.
        return self.keys is not None and number in self._plain_scalars

    @cached_property
    def _plain_scalars(self) -> frozenset[int]:
        graph = self.graph
        if graph is None:
            return frozenset()
        plain = graph.attribute_kinds == AttributeKind.PYTHON
        return frozenset(graph.attribute_values[plain].tolist())

    @abstractmethod
    def value(self, number: int) -> Any:
        """Return the Python value of that number, see `is_plain`, or the bytes of a state.

        Inline values are at hand even once the source is closed.
        """

    @abstractmethod
    def verify(self) -> list[Finding]:
        """Read every byte of the checkpoint and return what is wrong with it."""

    @abstractmethod
    def unchanged(self) -> bool:
        """Tell whether the path still leads to this very checkpoint (once closed, to reopen it)."""

    @abstractmethod
    def close(self) -> None:
        """Close the files. What was not read can no longer be; calling it twice is harmless."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the files are closed."""
