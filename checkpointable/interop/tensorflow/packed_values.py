"""The values of a slice as files of version 1 have them: in fields of a message (T-15).

A field of numbers is one run of bytes, read with numpy a piece at a time. Encoders may also write
each number as a field of its own; then protobuf reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from checkpointable.format.frame import corrupt
from checkpointable.interop.tensorflow.dtypes import STRING_NUMBER
from checkpointable.interop.tensorflow.messages import parse

Array = npt.NDArray[Any]

#: How many bytes of numbers of varying length are read at a time.
_PIECE: Final = 2**20
_LONGEST_VARINT: Final = 10


@attrs.frozen
class _Field:
    """Where the values of a dtype stand, and what they are there.

    Attributes:
        name: the field of the message.
        dtype: numpy's, of the values in memory.
        fixed: whether each value takes the bytes that it takes in memory.
    """

    name: str
    dtype: str
    fixed: bool = False


#: By TensorFlow's number of the dtype. Quantized integers are integers.
_FIELDS: Final = {
    1: _Field("float_val", "<f4", fixed=True),
    2: _Field("double_val", "<f8", fixed=True),
    3: _Field("int_val", "<i4"),
    4: _Field("int_val", "u1"),
    5: _Field("int_val", "<i2"),
    6: _Field("int_val", "i1"),
    8: _Field("scomplex_val", "<c8", fixed=True),
    9: _Field("int64_val", "<i8"),
    10: _Field("bool_val", "?"),
    11: _Field("int_val", "i1"),
    12: _Field("int_val", "u1"),
    13: _Field("int_val", "<i4"),
    15: _Field("int_val", "<i2"),
    16: _Field("int_val", "<u2"),
    17: _Field("int_val", "<u2"),
    18: _Field("dcomplex_val", "<c16", fixed=True),
    19: _Field("half_val", "<f2"),
    22: _Field("uint32_val", "<u4"),
    23: _Field("uint64_val", "<u8"),
}


def check_number(number: int, file: str, what: str) -> None:
    """Refuse a dtype for whose values these messages have no field.

    Raises:
        UnsupportedFormatError: it has none.
    """
    if number not in _FIELDS and number != STRING_NUMBER:
        raise UnsupportedFormatError(
            f"{file}: {what} has TensorFlow's dtype {number}, which files of version 1 cannot hold"
            " (T-15 of docs/tensorflow-format.md). The file is damaged, or was not written by"
            " TensorFlow."
        )


def unpack(data: bytes, number: int, count: int, file: str, what: str) -> Array:
    """Return the values of a slice, in one dimension.

    Args:
        data: the message.
        number: of the dtype; `check_number` knows it.
        count: how many there must be.
        file: where they stand, for messages.
        what: whose they are, for messages.

    Raises:
        CorruptCheckpointError: there are more or fewer, or they are no values of that dtype.
    """
    packed = parse("PackedTensor", data, file, what)
    if number == STRING_NUMBER:
        return _strings(packed.string_val, count, file, what)
    field = _FIELDS[number]
    runs = getattr(packed, field.name)
    try:
        values = _fixed(runs, field) if field.fixed else _varying(runs, field, count)
        if len(values) < count:
            values = _one_by_one(parse("Tensor", data, file, what), field)
    except ValueError as error:
        raise corrupt(file, "T-15", f"the values of {what} are damaged: {error}") from None
    if len(values) != count:
        raise _wrong_count(file, what, count, len(values))
    return values


def _strings(given: Sequence[bytes], count: int, file: str, what: str) -> Array:
    if len(given) != count:
        raise _wrong_count(file, what, count, len(given))
    array: Array = np.empty(count, object)
    array[:] = list(given)
    return array


def _wrong_count(file: str, what: str, expected: int, found: int) -> CorruptCheckpointError:
    return corrupt(
        file,
        "T-15",
        f"{what} has another number of values than its shape asks for",
        expected=expected,
        found=found,
    )


def _fixed(runs: Sequence[bytes], field: _Field) -> Array:
    return np.frombuffer(runs[0] if len(runs) == 1 else b"".join(runs), field.dtype)


def _varying(runs: Sequence[bytes], field: _Field, count: int) -> Array:
    """Return numbers of varying length; an error if there are more than `count`."""
    convert = _converter(field)
    room = min(count, sum(map(len, runs)))  # Each takes a byte or more.
    values: Array = np.empty(room, field.dtype)
    filled = 0
    for run in runs:
        data, position = np.frombuffer(run, np.uint8), 0
        while position < len(data):
            numbers, length = _read_varints(data[position : position + _PIECE])
            position += length
            if filled + len(numbers) > room:
                raise ValueError(f"there are more than {count}")
            values[filled : filled + len(numbers)] = convert(numbers)
            filled += len(numbers)
    return values[:filled]


def _read_varints(data: Array) -> tuple[Array, int]:
    """Return the numbers that bytes begin with, and how many bytes they take."""
    ends = np.flatnonzero(data < 128)
    if not len(ends):
        raise ValueError("a number is cut short, or too long")
    length = int(ends[-1]) + 1
    if length == len(ends):
        return data[:length].astype(np.uint64), length
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _LONGEST_VARINT:
        raise ValueError("a number is too long")
    numbers = (data[starts] & 127).astype(np.uint64)
    for place in range(1, longest):
        rows = np.flatnonzero(lengths > place)
        part = data[starts[rows] + place] & 127
        if place == _LONGEST_VARINT - 1 and int(part.max(initial=0)) > 1:
            raise ValueError("a number has more than 64 bits")
        numbers[rows] |= part.astype(np.uint64) << np.uint64(7 * place)
    return numbers, length


def _converter(field: _Field) -> Callable[[Array], Array]:
    """Return what makes values of a dtype from numbers of 64 bits, unsigned as they stand there."""
    dtype = np.dtype(field.dtype)
    if field.name == "int64_val":
        return lambda numbers: numbers.view(np.int64)
    if field.name == "int_val":
        limits = np.iinfo(dtype)
        # Negative numbers were extended to 64 bits.
        return lambda numbers: _within(
            numbers.astype(np.uint32).view(np.int32), int(limits.min), int(limits.max)
        )
    if field.name == "half_val":
        return lambda numbers: _within(numbers, 0, 0xFFFF).astype(np.uint16).view(np.float16)
    most = 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)
    return lambda numbers: _within(numbers, 0, most)


def _within(numbers: Array, least: int, most: int) -> Array:
    """Refuse numbers that are no values of a dtype; else return them."""
    if len(numbers) and not (least <= int(numbers.min()) and int(numbers.max()) <= most):
        raise ValueError(f"a number is outside of {least} to {most}")
    return numbers


def _one_by_one(message: Any, field: _Field) -> Array:
    """Return values that protobuf has read."""
    given = getattr(message, field.name)
    if field.fixed:
        dtype = np.dtype(field.dtype)
        parts = np.array(given, f"<f{dtype.itemsize // (2 if dtype.kind == 'c' else 1)}")
        return parts.view(dtype)
    numbers = np.array(given, np.uint64 if field.name == "uint64_val" else np.int64)
    return _converter(field)(numbers.view(np.uint64)).astype(field.dtype)
