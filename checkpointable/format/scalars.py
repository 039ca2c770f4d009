"""The scalars that MessagePack lacks, as extension types (F-38, types 5 to 16)."""

from __future__ import annotations

import datetime
import re
import struct
import zoneinfo
from collections.abc import Callable
from enum import Enum
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from checkpointable.errors import MissingDependencyError, NotCheckpointableError
from checkpointable.format.dtypes import dtype_name, is_dtype_name, item_size, stored_dtype

#: What MessagePack holds as it is; integers beyond 64 bits and text with surrogates excepted.
NATIVE: Final[frozenset[type[Any]]] = frozenset({type(None), bool, int, float, str, bytes})

_DATETIME: Final = struct.Struct("<HBBBBBIB")
_DATE: Final = struct.Struct("<HBB")
_DELTA: Final = struct.Struct("<iII")
_COMPLEX: Final = struct.Struct("<dd")
_FIXED_ZONE: Final = struct.Struct("<Bq")
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_MICROSECOND: Final = datetime.timedelta(microseconds=1)

_REMEDIES: Final[tuple[tuple[type[Any], str], ...]] = (
    (Enum, "Store its .name"),
    (bytearray, "Store bytes(x)"),
    (memoryview, "Store bytes(x)"),
    (range, "Store list(x)"),
    (np.ndarray, "Keep arrays in attributes, lists and dicts, not in sets or as keys"),
    (str, "Store str(x)"),
    (int, "Store int(x)"),
    (float, "Store float(x)"),
    (bytes, "Store bytes(x)"),
)


def encode_scalar(value: Any) -> bytes:
    """Return the one encoding of a scalar.

    Raises:
        NotCheckpointableError: it is of another type.
    """
    try:
        if type(value) not in NATIVE:
            return bytes(msgpack.packb(_extension(value)))
        return bytes(msgpack.packb(value, default=_extension))
    except UnicodeEncodeError:
        return bytes(msgpack.packb(msgpack.ExtType(7, _encode_text(value))))
    except (ValueError, OverflowError) as error:
        if isinstance(error, NotCheckpointableError):
            raise
        raise NotCheckpointableError(
            f"a {type(value).__name__} is too large to be stored as a plain value ({error}). Store"
            " it as an array."
        ) from None


def decode_scalar(code: int, data: bytes) -> Any:
    """Return the scalar of an extension type.

    Raises:
        ValueError: there is no such scalar.
        MissingDependencyError: it needs a package that is not installed.
    """
    decoder = _DECODERS.get(code)
    if decoder is None:
        raise ValueError(f"extension type {code} is unknown")
    try:
        return decoder(data)
    except (struct.error, OverflowError, TypeError, KeyError) as error:
        raise ValueError(str(error)) from None


def _extension(value: Any) -> Any:
    """Return the extension of a scalar that MessagePack does not hold as it is."""
    if isinstance(value, np.generic):
        return _numpy_extension(value)
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise _refusal(value)
    code, encode = encoder
    return msgpack.ExtType(code, encode(value))


def _refusal(value: Any) -> NotCheckpointableError:
    remedy = next(
        (text for kind, text in _REMEDIES if isinstance(value, kind)),
        "Convert it to a plain value, or make its class a Trackable",
    )
    name = type(value).__qualname__
    return NotCheckpointableError(f"a {name} is no plain value and cannot be stored. {remedy}.")


def _encode_int(value: int) -> bytes:
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return value.to_bytes(size, "little", signed=True)


def _decode_int(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _encode_text(value: Any) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


def _decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _encode_complex(value: complex) -> bytes:
    return _COMPLEX.pack(value.real, value.imag)


def _decode_complex(data: bytes) -> complex:
    return complex(*_COMPLEX.unpack(data))


def _encode_datetime(value: datetime.datetime) -> bytes:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    moment = _DATETIME.pack(value.year, value.month, value.day, *clock)
    return moment + _encode_zone(value.tzinfo)


def _encode_zone(zone: datetime.tzinfo | None) -> bytes:
    if zone is None:
        return b""
    if type(zone) is datetime.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return _FIXED_ZONE.pack(0, offset // _MICROSECOND) + b"".join(map(_encode_text, name))
    if type(zone) is zoneinfo.ZoneInfo and zone.key and _ZONE_KEY.fullmatch(zone.key):
        return b"\1" + zone.key.encode()
    raise NotCheckpointableError(
        f"a datetime with a time zone of type {type(zone).__name__} cannot be stored. Use"
        " datetime.timezone or zoneinfo.ZoneInfo(key), such as x.astimezone(datetime.UTC)."
    )


def _decode_datetime(data: bytes) -> datetime.datetime:
    *moment, fold = _DATETIME.unpack_from(data)
    zone = _decode_zone(data[_DATETIME.size :])
    return datetime.datetime(*moment).replace(tzinfo=zone, fold=fold)


def _decode_zone(data: bytes) -> datetime.tzinfo | None:
    if not data:
        return None
    if data[0] == 0:
        _, microseconds = _FIXED_ZONE.unpack_from(data)
        name = data[_FIXED_ZONE.size :]
        offset = datetime.timedelta(microseconds=microseconds)
        return datetime.timezone(offset, _decode_text(name)) if name else datetime.timezone(offset)
    key = data[1:].decode("ascii")
    if data[0] != 1 or not _ZONE_KEY.fullmatch(key):  # F-41: no path leads out of the zones
        raise ValueError("the time zone is malformed")
    try:
        return zoneinfo.ZoneInfo(key)
    except (zoneinfo.ZoneInfoNotFoundError, OSError):
        raise MissingDependencyError(
            f"this machine does not know the time zone {key!r}. Install the package of time zones:"
            " pip install tzdata"
        ) from None


def _encode_date(value: datetime.date) -> bytes:
    return _DATE.pack(value.year, value.month, value.day)


def _decode_date(data: bytes) -> datetime.date:
    return datetime.date(*_DATE.unpack(data))


def _encode_delta(value: datetime.timedelta) -> bytes:
    return _DELTA.pack(value.days, value.seconds, value.microseconds)


def _decode_delta(data: bytes) -> datetime.timedelta:
    return datetime.timedelta(*_DELTA.unpack(data))


def _numpy_extension(value: np.generic) -> Any:
    if type(value) is np.str_:
        return msgpack.ExtType(15, str.encode(value, "utf-8", "surrogatepass"))  # with its NULs
    if type(value) is np.bytes_:
        return msgpack.ExtType(16, bytes(value))
    name = dtype_name(value.dtype).encode()
    element = np.asarray(value).astype(value.dtype.newbyteorder("<")).tobytes()
    return msgpack.ExtType(14, bytes([len(name)]) + name + element)


def _decode_numpy(data: bytes) -> Any:
    length = data[0] if data else 0
    name, element = data[1 : 1 + length].decode("ascii"), data[1 + length :]
    if not is_dtype_name(name) or not item_size(name) or len(element) != item_size(name):
        raise ValueError("a numpy scalar is malformed")
    array: npt.NDArray[Any] = np.ndarray((), stored_dtype(name), element)
    return array[()]


def _decode_numpy_text(data: bytes) -> np.str_:
    return np.str_(_decode_text(data))


_Codec = tuple[int, type[Any], Callable[[Any], bytes], Callable[[bytes], Any]]

_CODECS: Final[tuple[_Codec, ...]] = (
    (5, int, _encode_int, _decode_int),
    (6, complex, _encode_complex, _decode_complex),
    (8, datetime.datetime, _encode_datetime, _decode_datetime),
    (9, datetime.date, _encode_date, _decode_date),
    (10, datetime.timedelta, _encode_delta, _decode_delta),
    (11, PurePosixPath, _encode_text, lambda data: PurePosixPath(_decode_text(data))),
    (12, PureWindowsPath, _encode_text, lambda data: PureWindowsPath(_decode_text(data))),
    (13, PosixPath, _encode_text, lambda data: PosixPath(_decode_text(data))),
)
_ENCODERS: Final = {kind: (code, encode) for code, kind, encode, _ in _CODECS}
_DECODERS: Final[dict[int, Callable[[bytes], Any]]] = {
    **{code: decode for code, _, _, decode in _CODECS},
    7: _decode_text,
    14: _decode_numpy,
    15: _decode_numpy_text,
    16: np.bytes_,
}
