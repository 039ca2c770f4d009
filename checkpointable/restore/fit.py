"""Whether a stored value fits a live one, and what it becomes there (R-17 to R-20)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.dtypes import STRING, UNSIZED, dtype_name, numpy_dtype
from checkpointable.format.records import AttributeKind, TensorInfo
from checkpointable.options import RestoreOptions
from checkpointable.restore.stored import CONTAINERS, StoredValue
from checkpointable.trackable.children import Kind

Array = npt.NDArray[Any]

#: The plain types that a 0-d tensor can become, by the beginning of its dtype's name.
_PLAIN_OF_DTYPE: Final = (
    ("bool", bool),
    ("int", int),
    ("uint", int),
    ("float", float),
    ("bfloat", float),
    ("complex", complex),
)


@attrs.frozen(slots=True)
class Misfit:
    """Why a stored value cannot become the live one.

    Attributes:
        stored: what the checkpoint holds.
        live: what the program holds.
        remedy: what would let it through.
        skipped: whether the options ask to leave such a value as it is.
    """

    stored: str
    live: str
    remedy: str
    skipped: bool = False

    def __str__(self) -> str:
        return f"the checkpoint holds {self.stored}, the program {self.live}. {self.remedy}"


@attrs.frozen(slots=True)
class Fit:
    """A stored value can become the live one.

    Attributes:
        convert: makes the live value of the stored one; `None` where they are of one kind.
        cast: what changes on the way, for the report; empty where nothing does.
    """

    convert: Callable[[Any], Any] | None = None
    cast: str = ""


_SAME: Final = Fit()


def describe(dtype: str, shape: tuple[int, ...]) -> str:
    """Return how messages name a tensor."""
    return f"{dtype} {shape}"


def describe_stored(value: StoredValue) -> str:
    """Return how messages name a stored value."""
    if value.info is None:
        return describe_live(value.plain)
    return describe(value.info.dtype, value.info.shape)


def describe_live(value: Any) -> str:
    """Return how messages name a live value."""
    if isinstance(value, np.ndarray):
        return describe(str(value.dtype), value.shape)
    return f"a {type(value).__name__}"


def fit_value(value: StoredValue, live: Any, kind: Kind, options: RestoreOptions) -> Fit | Misfit:
    """Tell whether a stored value fits a live leaf.

    Args:
        value: the stored value.
        live: an array, a numpy scalar or a plain value.
        kind: which of these.
        options: what the caller allows.
    """
    if kind is Kind.PLAIN:
        fit = _SAME if value.info is None else fit_tensor_to_plain(value.info, live)
        return _with_text(fit, decoded) if value.may_be_text and type(live) is str else fit
    array = np.asarray(live)
    if kind is Kind.SCALAR and _is_text_of(value.info, array.dtype):
        return Fit(lambda stored: stored[()])
    if value.info is None:
        fit = fit_plain_to_array(value.plain, array)
    else:
        fit = fit_tensor(value.info, array, options)
    if value.may_be_text and array.dtype.kind == "O":
        return _with_text(fit, partial(like_live_strings, live=array))
    if kind is Kind.ARRAY or isinstance(fit, Misfit):
        return fit
    return Fit(lambda stored: np.asarray(stored).reshape(()).astype(array.dtype)[()], fit.cast)


def fit_tensor(info: TensorInfo, live: Array, options: RestoreOptions) -> Fit | Misfit:
    """Tell whether a stored tensor fits a live array."""
    is_sized = info.shape == live.shape and info.dtype not in UNSIZED
    if is_sized and numpy_dtype(info.dtype) == live.dtype:
        return _SAME
    stored, found = describe(info.dtype, info.shape), describe_live(live)
    if info.shape != live.shape and not (options.shapes == "reshape" and info.size == live.size):
        remedy = 'RestoreOptions(shapes="skip") leaves it as it is.'
        return Misfit(stored, found, remedy, skipped=options.shapes == "skip")
    name = array_dtype_name(live)
    cast = "" if info.dtype == name else f"{info.dtype} to {name}"
    if cast and not castable(info.dtype, live.dtype, options.casting):
        remedy = 'RestoreOptions(casting="same_kind") or "unsafe" converts it.'
        return Misfit(stored, found, remedy)
    return Fit(cast=cast) if cast else _SAME


def fit_tensor_to_plain(info: TensorInfo, live: Any) -> Fit | Misfit:
    """Tell whether a stored tensor fits a plain value: a 0-d one of its kind does."""
    plain = plain_type(info.dtype)
    if info.shape == () and plain is type(live):
        return Fit(lambda stored: plain(stored[()]), f"{info.dtype} to {type(live).__name__}")
    if info.shape == () and info.dtype == "string" and isinstance(live, (str, bytes)):
        return Fit(lambda stored: stored[()], f"string to {type(live).__name__}")
    remedy = "Make it an array, or leave it out with RestoreOptions(skip=)."
    return Misfit(describe(info.dtype, info.shape), describe_live(live), remedy)


def fit_plain_to_array(stored: Any, live: Array) -> Fit | Misfit:
    """Tell whether a stored plain value fits a live array: a 0-d one of its kind does."""
    name = array_dtype_name(live)
    misfit = Misfit(
        describe_live(stored),
        describe_live(live),
        "Make it a plain value, or leave it out with RestoreOptions(skip=).",
    )
    if live.shape != () or type(stored) not in (plain_type(name), *_string_types(name)):
        return misfit
    dtype = live.dtype
    if not _is_held(stored, dtype):
        return misfit
    return Fit(lambda value: np.asarray(value).astype(dtype), f"{type(stored).__name__} to {name}")


def decoded(item: Any) -> Any:
    r"""Return the text that bytes are in UTF-8; anything else as it is.

    >>> decoded(b"caf\xc3\xa9"), decoded(b"\xff"), decoded("text")
    ('café', b'\xff', 'text')
    """
    if type(item) is not bytes:
        return item
    try:
        return item.decode()
    except UnicodeDecodeError:
        return item


def like_live_strings(stored: Array, live: Array) -> Array:
    """Return stored bytes as text where the live ones are: TensorFlow knows only bytes (R-37)."""
    if stored.dtype.kind != "O" or live.dtype.kind != "O" or not live.size:
        return stored
    if any(type(item) is not str for item in live.flat):
        return stored
    texts: Array = np.empty(stored.size, object)
    texts[:] = [decoded(item) for item in stored.flat]
    return texts.reshape(stored.shape)


def plain_type(dtype: str) -> type | None:
    """Return the plain type of a dtype's kind: int for "uint8"."""
    if dtype[:1] == "U":
        return str
    if dtype[:1] == "S":
        return bytes
    return next((plain for start, plain in _PLAIN_OF_DTYPE if dtype.startswith(start)), None)


def same_base(live: Any, stored: Any) -> bool:
    """Tell whether two plain containers are of one base: list, tuple, dict or set."""
    return any(isinstance(live, base) and isinstance(stored, base) for base in CONTAINERS)


def refiller(live: Any) -> Callable[[Any], None]:
    """Return what gives a list, dict or set other contents, in place."""

    def refill(value: Any) -> None:
        if isinstance(live, list):
            live[:] = value
        else:
            live.clear()
            live.update(value)

    return refill


def retyper(live: Any) -> Callable[[Any], Any] | None:
    """Return what makes a container of the live one's type, where that is a subclass."""
    kind = type(live)
    if kind in CONTAINERS:
        return None
    if isinstance(live, tuple):
        fields = getattr(live, "_fields", None)
        return lambda v: v if fields and len(fields) != len(v) else tuple.__new__(kind, v)
    if isinstance(live, frozenset):
        return lambda v: frozenset.__new__(kind, v)
    return None


def remaker(live: Any, convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return what makes a new array of a live one's dtype and shape."""
    dtype, shape, writeable = live.dtype, live.shape, live.flags.writeable

    def remake(stored: Any) -> Any:
        array = np.asarray(stored if convert is None else convert(stored))
        array = array.astype(dtype, copy=False).reshape(shape)
        array.flags.writeable = writeable
        return array

    return remake


def as_stored(value: StoredValue) -> Callable[[Any], Any] | None:
    """Return what makes a value of the type that was saved."""
    return (lambda array: array[()]) if value.kind is AttributeKind.SCALAR else None


def array_dtype_name(array: Array) -> str:
    """Return the name of an array's dtype in files; arrays of objects hold strings."""
    return STRING if array.dtype.kind == "O" else dtype_name(array.dtype)


def _with_text(fit: Fit | Misfit, decode: Callable[[Any], Any]) -> Fit | Misfit:
    """Let a fit decode what it makes of the stored value."""
    if isinstance(fit, Misfit):
        return fit
    convert = fit.convert
    return Fit(lambda stored: decode(stored if convert is None else convert(stored)), fit.cast)


def _is_text_of(info: TensorInfo | None, dtype: np.dtype[Any]) -> bool:
    """Tell whether a stored scalar is text of any length of the same kind, `S` or `U`."""
    return info is not None and info.shape == () and info.dtype[0] == dtype.kind in "SU"


def castable(stored: str, live: np.dtype[Any], casting: Any) -> bool:
    """Tell whether a kind of casting, in numpy's words, lets a stored dtype become a live one."""
    if stored in UNSIZED or live.kind in "OT":
        return False
    return bool(np.can_cast(numpy_dtype(stored), live, casting))


def _string_types(dtype: str) -> tuple[type, ...]:
    return (str, bytes) if dtype == "string" else ()


def _is_held(value: Any, dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype holds a plain value: exactly, but that numbers may be rounded."""
    try:
        with np.errstate(over="ignore"):
            held = np.asarray(value).astype(dtype)[()]
        if type(value) in (float, complex):
            return bool(np.isfinite(held) or not np.isfinite(value))
        return bool(held == value)
    except (OverflowError, TypeError):
        return False
