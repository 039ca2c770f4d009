"""The kinds of values, compared with a naive recursive model."""

import datetime
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.trackable.base import Trackable, Variable
from checkpointable.trackable.contents import Contents, Kind

ARRAY = np.zeros(2)
VARIABLE = Variable(1)
LEAVES: list[Any] = [None, 1, "a", np.float32(2), ARRAY, VARIABLE, print, np.ma.masked_array([1])]


def naive_members(value: Any) -> list[Any]:
    """Return what a container holds, keys included."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else []


def naive_reach(value: Any, seen: set[int]) -> list[Any]:
    """Return all that is reached through containers, by recursion."""
    if id(value) in seen:
        return []
    seen.add(id(value))
    members = naive_members(value)
    return members + [inner for member in members for inner in naive_reach(member, seen)]


def naive_is_cyclic(value: Any, above: tuple[int, ...] = ()) -> bool:
    """Tell whether a container is reached that contains itself."""
    if id(value) in above:
        return True
    return any(naive_is_cyclic(m, (*above, id(value))) for m in naive_members(value))


def naive_kind(value: Any) -> Kind:
    """Return the kind of a container, or of one of the leaves above."""
    if value is ARRAY or value is VARIABLE:
        return Kind.ARRAY if value is ARRAY else Kind.TRACKABLE
    if not isinstance(value, (list, tuple, dict, set, frozenset)):
        is_other = callable(value) or isinstance(value, np.ma.MaskedArray)
        is_scalar = isinstance(value, np.generic)
        return Kind.UNSUPPORTED if is_other else Kind.SCALAR if is_scalar else Kind.PLAIN
    reached = naive_reach(value, set())
    if any(r is ARRAY or r is VARIABLE for r in reached):
        return {list: Kind.LIST, tuple: Kind.TUPLE, dict: Kind.DICT}[type(value)]
    leaves = [r for r in reached if not isinstance(r, (list, tuple, dict, set, frozenset))]
    if any(naive_kind(leaf) is Kind.UNSUPPORTED for leaf in leaves) or naive_is_cyclic(value):
        return Kind.UNSUPPORTED
    return Kind.PLAIN


@st.composite
def tangles(draw: st.DrawFn) -> list[Any]:
    """Draw lists, dicts and tuples that hold leaves and one another, in cycles too."""
    made: list[Any] = [
        draw(st.sampled_from([list, dict]))() for _ in range(draw(st.integers(1, 5)))
    ]
    everything = [*made, *LEAVES]
    for _ in range(draw(st.integers(0, 2))):
        everything.append(tuple(draw(st.lists(st.sampled_from(everything), max_size=3))))
    for container in made:
        items = draw(st.lists(st.integers(0, len(everything) - 1), max_size=3))
        if isinstance(container, list):
            container.extend(everything[i] for i in items)
        else:
            container.update((str(k), everything[i]) for k, i in enumerate(items))
    return everything


@given(tangles())
def test_kinds_agree_with_the_naive_model(values: list[Any]) -> None:
    """Containers that hold one another in any way are of the kind that recursion finds."""
    together = Contents()

    for value in values:
        assert naive_kind(value) is Contents().kind(value)
        assert naive_kind(value) is together.kind(value)


@given(tangles())
def test_every_refusal_ends(values: list[Any]) -> None:
    """For whatever is unsupported, a refusal names a trail and a reason, cycles or not."""
    contents = Contents()

    for value in values:
        if contents.kind(value) is Kind.UNSUPPORTED:
            assert contents.refusal(value).reason


@pytest.mark.parametrize(
    "value",
    [
        None, True, 10**5000, 1.5, 1j, "\ud800", b"", datetime.date.min, datetime.timedelta(1),
        datetime.datetime.now(datetime.UTC), pathlib.Path("a"), pathlib.PureWindowsPath("b"), [],
        (), {}, set(), frozenset({(1, "a")}), {(1, 2): [None]}, {1: {2: {3}}},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_plain_values(value: object) -> None:
    """Every type of plain value is one, and so are containers of them, however they nest."""
    assert Kind.PLAIN is Contents().kind(value)


@pytest.mark.parametrize(
    "dtype",
    ["?", "i1", ">u8", "f2", "c16", "U3", "S3", "M8[ns]", "m8", ml_dtypes.bfloat16, "T"],
    ids=str,
)
def test_arrays_and_numpy_scalars(dtype: Any) -> None:
    """Arrays of every storable dtype are arrays, their elements scalars."""
    array = np.zeros((), dtype)

    assert Kind.ARRAY is Contents().kind(array)
    assert (Kind.PLAIN if dtype == "T" else Kind.SCALAR) is Contents().kind(array[()])


@pytest.mark.parametrize("key", [print, (1, print), VARIABLE, frozenset({print})])
def test_keys_must_be_plain(key: Any) -> None:
    """A dict with a key that is not plain cannot be stored, whatever its values are."""
    assert Contents().kind({key: 1, "a": 2}) is not Kind.PLAIN
    assert Kind.PLAIN is Contents().kind({(1, "a"): 1})


def test_what_was_surveyed_is_not_taken_for_another() -> None:
    """A container made where another one was, at the same address, is looked at itself."""
    contents = Contents()

    for _ in range(100):
        assert Kind.LIST is contents.kind([VARIABLE])
        assert Kind.PLAIN is contents.kind([1])


def test_object_arrays_of_text() -> None:
    """An array of dtype object is one if it holds nothing but str and bytes."""
    assert Kind.ARRAY is Contents().kind(np.array(["a", b"b"], object))
    assert Kind.ARRAY is Contents().kind(np.empty((0, 3), object))


def test_deep_nesting() -> None:
    """Lists nested 100,000 deep are surveyed without recursion, each once."""
    contents, inner = Contents(), [Trackable()]
    levels: list[Any] = [inner]
    for _ in range(100_000):
        levels.append([levels[-1]])

    assert Kind.LIST is contents.kind(levels[-1])
    assert all(contents.kind(level) is Kind.LIST for level in levels)


def test_user_objects_are_never_compared() -> None:
    """Classifying calls neither `__eq__` nor `__hash__` of what is in a container."""

    class Touchy(Trackable):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = None  # type: ignore[assignment]

    touchy = Touchy()

    assert Kind.LIST is Contents().kind([touchy, [touchy], {"a": touchy}])
