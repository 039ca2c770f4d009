"""The first value of a variable: from `None`, a word, an array-like or a callable."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, SupportsIndex, TypeAlias, cast

import numpy as np
import numpy.typing as npt

Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Initializer: TypeAlias = (
    Callable[[tuple[int, ...], np.dtype[Any]], npt.ArrayLike] | npt.ArrayLike | None
)

_NAMED: Final = {"zeros": np.zeros, "ones": np.ones}


def normal_shape(shape: Shape) -> tuple[int, ...]:
    """Return a shape as a tuple of integers of at least 0."""
    sizes = (shape,) if hasattr(shape, "__index__") else shape
    try:
        normal = tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"shape is {shape!r}, expected a tuple of integers") from None
    if any(size < 0 for size in normal):
        raise ValueError(f"shape is {shape!r}, expected sizes of at least 0")
    return normal


def initial_shape(shape: Shape | None, initializer: Initializer) -> tuple[int, ...]:
    """Return the shape that is asked for, else that of an array-like initializer.

    Raises:
        ValueError: an array-like of another shape is given, or a word that names no initializer.
    """
    if isinstance(initializer, str) and initializer not in _NAMED:
        raise ValueError(f"initializer is {initializer!r}, expected one of {', '.join(_NAMED)}")
    if not is_constant(initializer):
        return () if shape is None else normal_shape(shape)
    given = np.shape(cast(npt.ArrayLike, initializer))
    if shape is not None and given != normal_shape(shape):
        raise ValueError(
            f"the initializer has the shape {given}, the variable {normal_shape(shape)}"
        )
    return given


def is_constant(initializer: Initializer) -> bool:
    """Tell whether an initializer is an array-like: the value itself."""
    return not (initializer is None or isinstance(initializer, str) or callable(initializer))


def initial_array(
    initializer: Initializer, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.ArrayLike:
    """Return the value that an initializer gives for a shape and dtype."""
    if initializer is None:
        return np.zeros(shape, dtype)
    if isinstance(initializer, str):
        return _NAMED[initializer](shape, dtype)
    return initializer(shape, dtype) if callable(initializer) else initializer
