"""The tensors and values of an open bundle: read whole, in part, or into live arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np
import numpy.typing as npt

from checkpointable.bundle.slices import Range, gather, select
from checkpointable.errors import CheckpointError
from checkpointable.format.content import check_content, is_restricted
from checkpointable.format.dtypes import BYTES, PYTHON, UNSIZED, numpy_dtype, stored_dtype
from checkpointable.format.frame import corrupt
from checkpointable.format.records import TensorInfo
from checkpointable.format.values import decode_value
from checkpointable.interop.tensorflow.data_files import DataFiles
from checkpointable.interop.tensorflow.fetch import Wanted, fetch
from checkpointable.interop.tensorflow.strings import as_array
from checkpointable.interop.tensorflow.tensors import Piece, Tensors, what_is_wrong

Array = npt.NDArray[Any]


@final
class TensorContents:
    """Reads tensors and values by number. Thread-safe.

    Attributes:
        infos: dtype and shape of every tensor.
    """

    def __init__(
        self,
        tensors: Tensors,
        files: DataFiles,
        path: str,
        dtypes: Mapping[int, str],
        texts: Collection[int],
    ) -> None:
        self._tensors = tensors
        self._files = files
        self._path = path
        self._texts = texts
        self._filled: set[int] = set()
        self.infos: list[TensorInfo] = list(tensors.infos)
        for number, dtype in dtypes.items():
            self.infos[number] = TensorInfo(dtype, self.infos[number].shape)

    def read_into(
        self,
        numbers: Sequence[int],
        targets: Sequence[Array],
        done: list[int],
        *,
        threads: bool = True,
    ) -> None:
        """Read tensors into arrays; see `CheckpointSource.read_into`."""
        direct: list[Wanted] = []
        others: list[tuple[Wanted, Array]] = []
        is_stored: dict[Any, bool] = {}
        for position, (number, target) in enumerate(zip(numbers, targets, strict=True)):
            dtype = target.dtype
            if dtype not in is_stored:
                is_stored[dtype] = dtype == stored_dtype(self._tensors.infos[number].dtype)
            for entry, view in self._places(number, target):
                if not view.size:
                    continue
                if is_stored[dtype] and view.flags.c_contiguous:
                    direct.append(Wanted(entry, view, position))
                else:
                    copy = np.empty(0, stored_dtype(self._tensors.infos[number].dtype))
                    others.append((Wanted(entry, copy, position), view))
        fetch(self._files, direct, done, threads=threads)
        known = set(done)
        for wanted, view in others:
            copy = np.empty(view.shape, wanted.target.dtype)
            fetch(self._files, [Wanted(wanted.entry, copy, 0)], [], threads=threads)
            if wanted.position not in known:
                known.add(wanted.position)
                done.append(wanted.position)
            view[...] = copy
        for number, target in zip(numbers, targets, strict=True):
            check_content(self._tensors.infos[number].dtype, target, self._path)

    def read(self, number: int) -> Array:
        """Return one tensor; see `CheckpointSource.read`."""
        stored, info = self._tensors.infos[number], self.infos[number]
        if info.dtype in (PYTHON, BYTES):
            holder: Array = np.empty((), dtype=object)
            holder[()] = self.value(number)
            return holder
        if info.dtype in UNSIZED:
            return self.read_slice(number, ...)
        self.check_filled(number)
        array: Array = np.empty(stored.shape, numpy_dtype(stored.dtype))
        self.read_into([number], [array], [])
        return array

    def read_slice(self, number: int, index: Any) -> Array:
        """Return a part of one tensor; see `CheckpointSource.read_slice`."""
        info = self._tensors.infos[number]
        selection = select(index, info.shape)
        pieces = self._selected(number, selection.ranges)
        out: Array = np.empty([r.count for r in selection.ranges], numpy_dtype(info.dtype))
        for piece, places, ranges in pieces:
            if info.dtype in UNSIZED:
                positions: Any = tuple(
                    slice(r.start, r.start + r.count * r.step, r.step) for r in ranges
                )
                out[places] = self._items(number, piece)[*positions, ...]
            else:
                read = partial(self._files.read_elements, piece.entry)
                gather(out[places], piece.shape, ranges, read)
        check_content(info.dtype, out, self._path)
        return out[*selection.finish, ...]

    def value(self, number: int) -> Any:
        """Return a Python value; see `CheckpointSource.value`."""
        stored, dtype = self._tensors.infos[number], self.infos[number].dtype
        if stored.shape:
            raise TypeError(
                f"value {number} is a tensor of shape {stored.shape}, expected a scalar"
            )
        if stored.dtype not in UNSIZED:
            return self.read_slice(number, ()).item()
        content: Any = self.read_slice(number, ())[()]
        return decode_value(content, self._path) if self._is_encoded(number, dtype) else content

    def check_filled(self, number: int) -> None:
        """Check that the slices of a tensor are all there and do not overlap (T-10).

        Raises:
            CorruptCheckpointError: the tensor cannot be read whole.
        """
        if self._tensors.is_divided(number) and number not in self._filled:
            pieces = self._tensors.pieces(number)
            size = self._tensors.infos[number].size
            wrong = what_is_wrong(
                [piece.start for piece in pieces],
                [piece.shape for piece in pieces],
                size,
                self._path,
            )
            if wrong:
                raise self._incomplete(number, wrong)
            self._filled.add(number)

    def check(self, number: int) -> Iterator[CheckpointError]:
        """Read every byte of a tensor; yield what is wrong (T-7 to T-10)."""
        for piece in self._tensors.pieces(number):
            try:
                self._check_piece(number, piece)
            except CheckpointError as error:
                yield error
        try:
            self.check_filled(number)
        except CheckpointError as error:
            yield error

    def _check_piece(self, number: int, piece: Piece) -> None:
        dtype = self._tensors.infos[number].dtype
        if dtype in UNSIZED:
            self._items(number, piece)
            if self._is_encoded(number, self.infos[number].dtype):
                self.value(number)
        elif is_restricted(dtype):
            stored = stored_dtype(dtype)
            self._files.verify(
                piece.entry,
                lambda block: check_content(dtype, np.frombuffer(block, stored), self._path),
            )
        else:
            self._files.verify(piece.entry)

    def _is_encoded(self, number: int, dtype: str) -> bool:
        """Tell whether a scalar string is a Python value in the native encoding."""
        return dtype == PYTHON and number not in self._texts

    def _places(self, number: int, target: Array) -> Iterable[tuple[int, Array]]:
        """Return entry and place in the target of each piece of a tensor."""
        if not self._tensors.is_divided(number):
            return ((self._tensors.entries[number], target),)
        self.check_filled(number)
        return (
            (p.entry, target[tuple(slice(b, b + n) for b, n in zip(p.start, p.shape, strict=True))])
            for p in self._tensors.pieces(number)
        )

    def _selected(
        self, number: int, ranges: Sequence[Range]
    ) -> list[tuple[Piece, Any, list[Range]]]:
        """Return the pieces that a selection takes: where each goes, and what of it is selected.

        Raises:
            CorruptCheckpointError: not all that is selected is there, or some is there twice.
        """
        found: list[tuple[Piece, Any, list[Range]]] = []
        size = int(np.prod([r.count for r in ranges], dtype=object))
        for piece in self._tensors.pieces(number):
            parts = [
                r.within(begin, begin + length)
                for r, begin, length in zip(ranges, piece.start, piece.shape, strict=True)
            ]
            count = int(np.prod([r.count for _, r in parts], dtype=object))
            if count:
                found.append((piece, (*(p for p, _ in parts), ...), [r for _, r in parts]))
            if count == size:
                # One slice has it all: what the others lack does not matter.
                return found[-1:]
        if number not in self._filled:
            wrong = what_is_wrong(
                [tuple(place.start for place in places[:-1]) for _, places, _ in found],
                [tuple(r.count for r in inside) for _, _, inside in found],
                size,
                self._path,
            )
            if wrong:
                raise self._incomplete(number, wrong)
        return found

    def _items(self, number: int, piece: Piece) -> Array:
        """Return the strings of a piece, as text where the checkpoint says that they are."""
        items: list[Any] = self._files.read_items(piece.entry)
        if number in self._texts:
            try:
                items = [item.decode("utf-8") for item in items]
            except UnicodeDecodeError:
                raise corrupt(
                    self._path, "T-14", f"text number {number} is not valid UTF-8"
                ) from None
        return as_array(items, piece.shape)

    def _incomplete(self, number: int, wrong: str) -> CheckpointError:
        key = self._files.entries.keys[self._tensors.entries[number]]
        return corrupt(
            self._path,
            "T-10",
            f"the slices of the tensor {key[:80]!r} do not make it up ({wrong}); what lies inside"
            " one of them can be read",
        )
