"""The header of a safetensors file: its tensors and its metadata, as JSON (ST-2 to ST-6)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NoReturn

import attrs

from checkpointable.bundle.opening import read_exactly
from checkpointable.bundle.peek import LONGEST_HEADER
from checkpointable.errors import CheckpointError, UnsupportedFormatError
from checkpointable.format.dtypes import item_size
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import MOST_DIMENSIONS, TENSOR_BYTES
from checkpointable.interop.safetensors.dtypes import OURS, THEIRS
from checkpointable.names import shorten
from checkpointable.storage.base import ReadableFile

#: The bytes before the header, which say how long it is.
HEAD: Final = 8
#: The entry of a header that is no tensor.
METADATA: Final = "__metadata__"

#: How a file begins that Git LFS has put in the place of a large one.
_POINTER: Final = b"version "

_FIELDS: Final = ("dtype", "shape", "data_offsets")
_INTEGERS: Final = frozenset({int})
_PAIR: Final = [int, int]


@attrs.frozen(eq=False)
class TensorEntries:
    """What a header says of its tensors, as columns.

    Attributes:
        names: of the tensors.
        dtypes: as this library calls them.
        shapes: their dimensions.
        begins: where the bytes of each begin in the data.
        ends: where they end.
    """

    names: Sequence[str]
    dtypes: Sequence[str]
    shapes: Sequence[tuple[int, ...]]
    begins: Sequence[int]
    ends: Sequence[int]


@attrs.frozen(eq=False, slots=False)
class Header:
    """A header that was read.

    Attributes:
        file: the name of the file, for messages.
        text: its bytes, the spaces at its end included.
        metadata: texts by their names.
        data_length: the bytes after it.
    """

    file: str
    text: bytes
    metadata: Mapping[str, str]
    data_length: int
    _entries: Mapping[str, Any]

    @cached_property
    def tensors(self) -> TensorEntries:
        """What it says of the tensors, in its order; checked when first asked for.

        Raises:
            CorruptCheckpointError: it breaks a rule of the format.
            UnsupportedFormatError: a tensor has a dtype that this library does not know.
        """
        tensors = _read_tensors(self._entries, self.file)
        _check_places(tensors, self.data_length, self.file)
        return tensors

    @property
    def data_begin(self) -> int:
        """Where the data begin in the file."""
        return HEAD + len(self.text)


def encode_header(tensors: TensorEntries, metadata: Mapping[str, str]) -> bytes:
    """Return the text of a header, filled up with spaces to a multiple of 8 bytes."""
    rows = zip(
        *(tensors.names, tensors.dtypes, tensors.shapes, tensors.begins, tensors.ends), strict=True
    )
    entries = [f'"{METADATA}":{_json(metadata)}']
    kinds: dict[tuple[str, tuple[int, ...]], str] = {}
    for name, dtype, shape, begin, end in rows:
        kind = kinds.get((dtype, shape))
        if kind is None:
            kind = kinds[dtype, shape] = f'"dtype":"{THEIRS[dtype]}","shape":{_json(shape)}'
        # Encoding a whole header of tuples and dicts takes twice as long.
        entries.append(f'{_json(name)}:{{{kind},"data_offsets":[{begin},{end}]}}')
    text = f"{{{','.join(entries)}}}".encode()
    return text + b" " * (-len(text) % HEAD)


def read_header(file: ReadableFile) -> Header:
    """Return the header of an open file; what it says of the tensors is yet to be checked.

    Raises:
        CorruptCheckpointError: it breaks a rule of the format.
        UnsupportedFormatError: it is a pointer of Git LFS.
        StorageError: the storage failed.
    """
    size, path = file.status.size, file.path
    if size < HEAD:
        raise corrupt(path, "ST-2", "the file is cut short", expected="8 bytes", found=size)
    head = bytes(read_exactly(file, 0, HEAD))
    if head == _POINTER:
        raise UnsupportedFormatError(
            f"{path}: this is a pointer of Git LFS, expected the file that it stands for. Fetch"
            " that with `git lfs pull`."
        )
    length = int.from_bytes(head, "little")
    if not 2 <= length <= min(LONGEST_HEADER, size - HEAD):
        raise corrupt(
            path,
            "ST-2",
            "the length of the header is wrong",
            expected=f"2 to {min(LONGEST_HEADER, size - HEAD)} bytes",
            found=length,
        )
    text = bytes(read_exactly(file, HEAD, length))
    entries = parse_object(text, "ST-3", path)
    has_escapes = b"\\u" in text
    metadata = _read_metadata(entries.pop(METADATA, None), path, has_escapes=has_escapes)
    if has_escapes:
        _check_texts(entries, path)
    return Header(path, text, metadata, size - HEAD - length, entries)


def parse_object(text: bytes, rule: str, file: str) -> dict[str, Any]:
    """Return the object that a text in JSON is.

    Raises:
        CorruptCheckpointError: it is no JSON, or no object; a key stands in one object twice.
    """
    if text[:1] != b"{":
        raise corrupt(file, rule, "this is no JSON object", expected="'{'", found=repr(text[:1]))
    try:
        parsed = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are
        raise corrupt(file, rule, f"this is no JSON: {error}"[:300]) from None
    return dict(parsed)


def _read_metadata(found: Any, file: str, *, has_escapes: bool) -> dict[str, str]:
    """Return the metadata: texts by their names (ST-4)."""
    if found is None:
        return {}
    if type(found) is not dict or not all(type(value) is str for value in found.values()):
        raise corrupt(file, "ST-4", "the metadata are no object of texts")
    if has_escapes:
        _check_texts(found, file)
        _check_texts(found.values(), file)
    return found


def _check_texts(texts: Any, file: str) -> None:
    """Check that texts are Unicode: JSON can write halves of surrogate pairs (ST-3)."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise corrupt(file, "ST-3", "a text holds half of a surrogate pair") from None


def _read_tensors(entries: Mapping[str, Any], file: str) -> TensorEntries:
    """Return what a header says of the tensors (ST-5)."""
    dtypes: list[str] = []
    shapes: list[tuple[int, ...]] = []
    begins: list[int] = []
    ends: list[int] = []
    lengths: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, entry in entries.items():
        if type(entry) is not dict or not all(field in entry for field in _FIELDS):
            raise corrupt(
                file,
                "ST-5",
                f"the entry {shorten(name)!r} describes no tensor",
                expected=f"an object with {', '.join(_FIELDS)}",
                found=_shown(entry),
            )
        theirs, dims, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if type(theirs) is not str or theirs not in OURS:
            raise _unknown_dtype(theirs, name, file)
        if type(dims) is not list or not set(map(type, dims)) <= _INTEGERS:
            raise _wrong_shape(dims, name, file)
        ours, shape = OURS[theirs], tuple(dims)
        length = lengths.get((ours, shape))
        if length is None:
            length = lengths[ours, shape] = _byte_count(ours, shape, name, file)
        if type(offsets) is not list or [*map(type, offsets)] != _PAIR:
            raise _wrong_length(length, offsets, name, file)
        begin, end = offsets
        if begin < 0 or end - begin != length:
            raise _wrong_length(length, offsets, name, file)
        dtypes.append(ours)
        shapes.append(shape)
        begins.append(begin)
        ends.append(end)
    return TensorEntries(list(entries), dtypes, shapes, begins, ends)


def _byte_count(dtype: str, shape: tuple[int, ...], name: str, file: str) -> int:
    """Return the length of a tensor in bytes, its shape checked."""
    if len(shape) > MOST_DIMENSIONS or not all(0 <= dim < TENSOR_BYTES for dim in shape):
        raise _wrong_shape(list(shape), name, file)
    if item_size(dtype) * math.prod(dim or 1 for dim in shape) >= TENSOR_BYTES:
        raise _wrong_shape(list(shape), name, file)
    return item_size(dtype) * math.prod(shape)


def _unknown_dtype(dtype: Any, name: str, file: str) -> CheckpointError:
    if type(dtype) is not str:
        return corrupt(
            file, "ST-5", f"the dtype of {shorten(name)!r} is no text", found=_shown(dtype)
        )
    return UnsupportedFormatError(
        f"{file}: the tensor {shorten(name)!r} is of dtype {dtype[:40]!r}, which this library does"
        f" not know; expected one of {', '.join(OURS)}. Convert it with the program that wrote it."
    )


def _wrong_shape(shape: Any, name: str, file: str) -> CheckpointError:
    return corrupt(
        file,
        "ST-5",
        f"the shape of the tensor {shorten(name)!r} is wrong",
        expected=f"at most {MOST_DIMENSIONS} whole numbers, and fewer than 2^63 bytes in all",
        found=_shown(shape),
    )


def _wrong_length(length: int, offsets: Any, name: str, file: str) -> CheckpointError:
    return corrupt(
        file,
        "ST-5",
        f"the place of the tensor {shorten(name)!r} is wrong",
        expected=f"the begin and the end of {length} bytes",
        found=_shown(offsets),
    )


def _shown(value: Any) -> str:
    """Return how a message shows what a file holds, which may be large and deep."""
    items = value if type(value) is list and len(value) <= MOST_DIMENSIONS else [value]
    if all(type(item) in (int, str) for item in items):
        return repr(value)[:100]
    return f"a {type(value).__name__}"


def _check_places(tensors: TensorEntries, length: int, file: str) -> None:
    """Check that the tensors cover the data, without overlap or hole (ST-6)."""
    position = 0
    for begin, end in sorted(zip(tensors.begins, tensors.ends, strict=True)):
        if begin != position:
            raise corrupt(
                file,
                "ST-6",
                "the tensors overlap, or leave a hole",
                expected=f"a tensor that begins at {position}",
                found=begin,
            )
        position = end
    if position != length:
        raise corrupt(
            file,
            "ST-6",
            "the data are cut short" if position > length else "the data are longer than written",
            expected=f"{position} bytes",
            found=length,
        )


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_json: Final = _ENCODER.encode


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object that has no key twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands in one object twice")
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
