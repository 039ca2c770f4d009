"""How a variable behaves in numpy expressions: as the array that is its value."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin


class ArrayOperators(NDArrayOperatorsMixin):
    """numpy operators, functions and item access over `value`.

    Results are plain arrays; in-place operators change `value` itself and return the variable.
    `==` is elementwise, the hash is the identity.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def value(self) -> npt.NDArray[Any]:
        """The array that operators work on."""

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        value = self.value
        if dtype is None or np.dtype(dtype) == value.dtype:
            return value.copy() if copy else value
        if copy is False:
            raise ValueError(f"a {value.dtype} array cannot become {np.dtype(dtype)} uncopied")
        return value.astype(dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        targets = kwargs.get("out", ())
        if targets:
            kwargs["out"] = tuple(_array(target) for target in targets)
        if isinstance(kwargs.get("where"), ArrayOperators):
            kwargs["where"] = kwargs["where"].value
        result = getattr(ufunc, method)(*(_array(i) for i in inputs), **kwargs)
        # What was written into a variable is that variable: `v += 1` leaves `v` in place.
        if isinstance(result, tuple):
            return tuple(_owner(r, targets) for r in result)
        return _owner(result, targets)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __getitem__(self, key: Any) -> Any:
        return self.value[_array(key)]

    def __setitem__(self, key: Any, item: Any) -> None:
        self.value[_array(key)] = _array(item)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __contains__(self, item: object) -> bool:
        return item in self.value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __complex__(self) -> complex:
        return complex(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)


def _array(value: Any) -> Any:
    return value.value if isinstance(value, ArrayOperators) else value


def _owner(result: Any, targets: tuple[Any, ...]) -> Any:
    """Return the variable among the targets whose value the result is, else the result."""
    for target in targets:
        if isinstance(target, ArrayOperators) and target.value is result:
            return target
    return result
