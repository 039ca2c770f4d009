"""The largest absolute difference, compared with exact arithmetic on Python numbers."""

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from checkpointable.comparison.distance import is_equal, largest_difference
from checkpointable.plain import EXTENSION_DTYPES

INTEGERS = st.sampled_from(["bool", *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64))])
FLOATS = st.sampled_from(["float16", "float32", "float64"])
COMPLEX = st.sampled_from(["complex64", "complex128"])


def naive(x: Any, y: Any) -> float:
    """Return the distance of two Python numbers, by exact fractions where both are finite."""
    if isinstance(x, complex) or isinstance(y, complex):
        x, y = complex(x), complex(y)
        parts = [naive(x.real, y.real), naive(x.imag, y.imag)]
        return math.nan if any(map(math.isnan, parts)) else math.hypot(*parts)
    if math.isnan(x) or math.isnan(y):
        return 0.0 if math.isnan(x) and math.isnan(y) else math.nan
    if math.isinf(x) or math.isinf(y):
        return 0.0 if x == y else math.inf
    try:
        return float(abs(Fraction(x) - Fraction(y)))
    except OverflowError:
        return math.inf


def naive_largest(a: Any, b: Any) -> float:
    """Return the largest distance of two arrays, element by element; NaN wins."""
    found = [naive(x, y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)]
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)


@st.composite
def two_arrays(draw: st.DrawFn, dtypes: st.SearchStrategy[str]) -> tuple[Any, Any]:
    """Draw two arrays of one shape, each of its own dtype, some elements alike."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    a = draw(hnp.arrays(draw(dtypes), shape))
    b = draw(hnp.arrays(draw(dtypes), shape))
    if a.dtype == b.dtype and a.size and draw(st.booleans()):
        b = np.where(draw(hnp.arrays("bool", shape)), a, b)
    return a, b


@given(two_arrays(INTEGERS))
@example((np.int64([-(2**63)]), np.int64([2**63 - 1])))
@example((np.int64([2**63 - 1]), np.uint64([2**63])))
@example((np.uint64([2**64 - 1]), np.int64([-(2**63)])))
def test_integers_are_exact(arrays: tuple[Any, Any]) -> None:
    """Integers of all widths, signed and not, are subtracted exactly, and rounded once."""
    assert naive_largest(*arrays) == largest_difference(*arrays)


@given(two_arrays(FLOATS))
@example((np.float64([1.7e308]), np.float64([-1.7e308])))
@example((np.float64([np.inf, np.nan]), np.float64([np.inf, -np.nan])))
@example((np.float64([np.inf, 1]), np.float64([-np.inf, np.nan])))
def test_floats(arrays: tuple[Any, Any]) -> None:
    """Equal infinities and two NaNs do not differ; one NaN alone gives NaN; too much gives inf."""
    expected, actual = naive_largest(*arrays), largest_difference(*arrays)
    assert actual == pytest.approx(expected, rel=1e-15, abs=0, nan_ok=True)


@given(two_arrays(COMPLEX))
@example((np.complex64([complex(np.inf, 1)]), np.complex64([complex(np.inf, 3)])))
@example((np.complex64([complex(np.inf, 1)]), np.complex64([complex(0, np.nan)])))
def test_complex_numbers(arrays: tuple[Any, Any]) -> None:
    """The difference of complex numbers is that of their parts, infinite and NaN ones too."""
    expected, actual = naive_largest(*arrays), largest_difference(*arrays)
    assert actual == pytest.approx(expected, rel=1e-7, abs=5e-324, nan_ok=True)


@pytest.mark.parametrize("name", sorted(EXTENSION_DTYPES))
def test_extension_dtypes(name: str) -> None:
    """bfloat16, float8 and int2 are numbers: 1 and 0 are 1 apart, in each of them."""
    one, zero = (np.full((2,), value).astype(getattr(ml_dtypes, name)) for value in (1, 0))
    if name == "float8_e8m0fnu":
        zero = np.full((2,), 2).astype(one.dtype)

    assert 1.0 == largest_difference(one, zero)
    assert 0.0 == largest_difference(one, one.copy())
    assert 3.0 == largest_difference(one, np.full((2,), 4, np.complex64))
    assert 3.0 == largest_difference(np.full((2,), 4, np.uint64), one)


@pytest.mark.parametrize("dtype", ["U3", "S3", "datetime64[s]", "timedelta64[ns]"])
def test_what_is_no_number(dtype: str) -> None:
    """Texts, dates and durations have no difference that a float could say."""
    array = np.zeros(2, dtype)

    assert largest_difference(array, array) is None
    assert largest_difference(array, np.zeros(2)) is None


def test_other_shapes() -> None:
    """Arrays of different shapes have no elements in the same place."""
    assert largest_difference(np.zeros(2), np.zeros((2, 1))) is None


def test_every_part_of_a_large_array_is_looked_at() -> None:
    """The difference is found wherever it is, and so is a NaN, which a later one does not hide."""
    a = np.zeros(600_000, np.int32)
    for place in (0, 262_143, 262_144, 599_999):
        b = a.copy()
        b[place] = -7
        assert 7.0 == largest_difference(a, b)
        assert not is_equal(a, b)
    c, d = np.zeros(600_000), np.zeros(600_000)
    c[3], c[599_999] = np.nan, 5
    assert math.isnan(largest_difference(c, d) or 0)


@given((FLOATS | INTEGERS).flatmap(lambda dtype: two_arrays(st.just(dtype))))
def test_equal_is_equal_bit_for_bit(arrays: tuple[Any, Any]) -> None:
    """Two arrays are equal if their bytes are."""
    a, b = arrays

    assert (a.tobytes() == b.tobytes()) == is_equal(a, b)
    assert is_equal(a, a.copy())
