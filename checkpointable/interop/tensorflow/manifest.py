"""What is to be written in TensorFlow's format: keys and values, all of them checked (T-6).

Whatever TensorFlow could not hold, or would abort its process on, is refused here, before the
first byte is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import dtype_name
from checkpointable.format.records import Blob, Divided, Streamed
from checkpointable.interop.tensorflow.data_writer import Piece
from checkpointable.interop.tensorflow.dtypes import STRING_NUMBER, dtype_number
from checkpointable.interop.tensorflow.messages import message
from checkpointable.interop.tensorflow.slice_keys import encode_slice_key
from checkpointable.interop.tensorflow.string_data import string_data
from checkpointable.names import VARIABLE_VALUE, attribute_key, shorten

Tensor = npt.NDArray[Any] | Blob | Divided | Streamed

#: The dtypes whose slices TensorFlow can put together again.
_DIVISIBLE: Final = frozenset(
    (
        *("float32", "float64", "bfloat16", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "int4", "uint4"),
    )
)
#: The most dimensions of tensors whose slices TensorFlow puts together: with more, it aborts.
_MOST_DIMENSIONS: Final = 8
#: What to do about arrays of dtypes that TensorFlow lacks, by the beginnings of their names.
_REMEDIES: Final = (
    ("S", "store x.astype(object), or bytes(x) if it is a single one"),
    ("U", "store x.astype(object), or str(x) if it is a single one"),
    ("datetime64", "store x.astype('int64'), and its unit beside it"),
    ("timedelta64", "store x.astype('int64'), and its unit beside it"),
    ("float8", "store x.astype('float32')"),
)


@attrs.frozen(eq=False)
class Manifest:
    """What is to be written.

    Attributes:
        pieces: what goes into the data files, in order.
        keys: for each piece the key that leads to it.
        wholes: of the tensors that are written in slices, key and entry of the whole.
    """

    pieces: list[Piece] = attrs.field(factory=list)
    keys: list[bytes] = attrs.field(factory=list)
    wholes: list[tuple[bytes, bytes]] = attrs.field(factory=list)


def make_manifest(tensors: Iterable[tuple[str, Tensor]]) -> Manifest:
    """Return what is to be written, in the order of the tensors.

    Args:
        tensors: keys, or names, and values.

    Raises:
        NotCheckpointableError: TensorFlow cannot hold one of them, or two have one key.
    """
    manifest = Manifest()
    for name, tensor in tensors:
        try:
            _add(manifest, name, tensor)
        except NotCheckpointableError as error:
            path = name.removesuffix(attribute_key("", VARIABLE_VALUE))
            shown = shorten(path).encode(errors="backslashreplace").decode()  # Can be printed.
            raise NotCheckpointableError(f"{shown}: {error.message}.", path=path) from None
    _check_unique(manifest)
    return manifest


def _add(manifest: Manifest, name: str, tensor: Tensor) -> None:
    key = _key(name)
    if isinstance(tensor, Divided):
        _add_divided(manifest, key, tensor)
        return
    manifest.keys.append(key)
    manifest.pieces.append(_piece(tensor))


def _key(name: str) -> bytes:
    """Return the key of a name."""
    if not name:
        raise NotCheckpointableError("a name is empty, which TensorFlow does not allow. Give one")
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise NotCheckpointableError(
            "the name is not valid Unicode text (it holds half of a surrogate pair), which"
            " TensorFlow cannot list. Rename it"
        ) from None


def _piece(tensor: npt.NDArray[Any] | Blob | Streamed) -> Piece:
    if isinstance(tensor, Blob):
        data = string_data(tensor)
        return Piece(STRING_NUMBER, tensor.shape, data, len(data.head) + len(data.strings))
    return Piece(_number(tensor.dtype), tensor.shape, tensor, tensor.nbytes)


def _number(dtype: np.dtype[Any]) -> int:
    """Return TensorFlow's number of a dtype."""
    name = dtype_name(dtype)
    number = dtype_number(name)
    if number is not None:
        return number
    remedy = next((text for start, text in _REMEDIES if name.startswith(start)), None)
    raise NotCheckpointableError(
        f"TensorFlow has no dtype {name}. Use the native format, or"
        f" {remedy or 'convert the array to a dtype that it has'}"
    )


def _add_divided(manifest: Manifest, key: bytes, tensor: Divided) -> None:
    """Add a tensor in slices: each has an entry, and the whole one that lists them."""
    number, name = _number(tensor.dtype), dtype_name(tensor.dtype)
    if name not in _DIVISIBLE:
        raise NotCheckpointableError(
            f"TensorFlow cannot put slices of dtype {name} together again. Save the variable in"
            " one piece, as another dtype such as float32, or in the native format"
        )
    if len(tensor.shape) > _MOST_DIMENSIONS:
        raise NotCheckpointableError(
            f"TensorFlow would abort when it puts slices of {len(tensor.shape)} dimensions together"
            f" again, expected at most {_MOST_DIMENSIONS}. Save the variable in one piece, or in"
            " the native format"
        )
    slices = []
    for start, part in zip(tensor.starts, tensor.slices, strict=True):
        extents = list(zip(start, part.shape, strict=True))
        manifest.keys.append(encode_slice_key(key, extents))
        manifest.pieces.append(_piece(part))
        slices.append(_slice(extents))
    entry = message("BundleEntry")(dtype=number, shape=shape_message(tensor.shape), slices=slices)
    manifest.wholes.append((key, entry.SerializeToString()))


def shape_message(shape: tuple[int, ...]) -> Any:
    """Return a shape as a message."""
    dims = message("Dim")
    return message("TensorShape")(dim=[dims(size=size) for size in shape])


def _slice(extents: Sequence[tuple[int, int]]) -> Any:
    extent = message("Extent")
    rows = [extent(start=start, length=length) for start, length in extents]
    return message("TensorSlice")(extent=rows)


def _check_unique(manifest: Manifest) -> None:
    keys = [*manifest.keys, *(key for key, _ in manifest.wholes)]
    if len(set(keys)) == len(keys):
        return
    seen = set[bytes]()
    for key in keys:
        if key in seen:
            path = key.decode(errors="replace")
            raise NotCheckpointableError(
                f"{shorten(path)}: two values would have this key. Rename one of them.", path=path
            )
        seen.add(key)
