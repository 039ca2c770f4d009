"""`Variable`: an owned array that behaves as numpy's and is written to in place."""

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from checkpointable.errors import NotCheckpointableError
from checkpointable.names import VARIABLE_VALUE
from checkpointable.trackable.base import Trackable, Variable

BINARY = ["add", "subtract", "multiply", "maximum", "less", "equal", "arctan2"]


def test_the_array_is_owned() -> None:
    """The value is a copy: C-contiguous, writable, of native byte order, whatever was given."""
    given_array = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    given_array.flags.writeable = False
    value = Variable(given_array).value

    assert given_array.tolist() == value.tolist()
    assert value.flags.c_contiguous
    assert value.flags.writeable
    assert value.flags.owndata
    assert value.dtype.isnative
    assert not np.shares_memory(given_array, value)


@pytest.mark.parametrize(
    ("initial", "dtype", "expected"),
    [
        (1, None, np.int64),
        (1.5, None, np.float64),
        ([1, 2], np.uint8, np.uint8),
        ("text", None, np.dtype("U4")),
        (lambda: [True], None, np.bool_),
        (np.float32(1), None, np.float32),
        (Variable([1], "i2"), None, np.int16),
        (np.zeros(2, ml_dtypes.bfloat16), None, ml_dtypes.bfloat16),
        (["a"], "T", np.dtypes.StringDType()),
    ],
    ids=str,
)
def test_dtype(initial: Any, dtype: Any, expected: Any) -> None:
    """The dtype is that of the initial value unless one is given."""
    assert np.dtype(expected) == Variable(initial, dtype).dtype


def test_a_shape_without_a_value() -> None:
    """A Variable made from a shape is float32 and has no value: reading raises, `assign` helps."""
    variable = Variable(shape=(2,), name="w")

    assert ((2,), np.float32, False) == (variable.shape, variable.dtype, variable.initialized)
    assert "<Variable 'w' float32 (2,): no value>" == repr(variable)
    for read in (variable.numpy, variable.serialize_to_tensors, lambda: variable + 1):
        with pytest.raises(RuntimeError, match=r"has no value yet\. Assign one"):
            read()
    variable.assign([1, 2])
    assert variable.initialized
    assert [1, 2] == variable.numpy().tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ValueError, "needs an initial value or a shape"),
        ({"initial_value": 1, "shape": (2,)}, ValueError, r"shape \(\), expected \(2,\)"),
        ({"initial_value": print}, NotCheckpointableError, "dtype object"),
        ({"initial_value": 1, "dtype": np.longdouble}, NotCheckpointableError, "float64"),
        ({"initial_value": np.ma.masked_array([1])}, NotCheckpointableError, "masked"),
        ({"shape": (1,), "dtype": "i4,i4"}, NotCheckpointableError, "each field"),
        ({"shape": (1,), "dtype": object}, NotCheckpointableError, "dtype object"),
        ({"shape": 1.5}, TypeError, "tuple of integers"),
        ({"shape": (-1,)}, ValueError, "at least 0"),
        ({"initial_value": 1, "name": 3}, TypeError, "name is 3"),
    ],
    ids=str,
)
def test_refused_arguments(arguments: Any, error: Any, match: str) -> None:
    """Wrong arguments are refused with what was expected and what to do."""
    if arguments.get("initial_value") is print:
        arguments = {"initial_value": np.array([print], object)}
    with pytest.raises(error, match=match):
        Variable(**arguments)


def test_assign_is_in_place() -> None:
    """`assign`, `assign_add` and `assign_sub` write into the array and return the Variable."""
    variable = Variable([1.0, 2.0])
    view = variable.value

    assert variable is variable.assign([3, 4]).assign_add(1).assign_sub(Variable([1.0, 0.0]))
    assert [3, 5] == view.tolist()
    assert view is variable.value


@pytest.mark.parametrize(
    ("start", "value", "error"),
    [
        ([1.0, 2.0], [1.0], ValueError),
        ([1.0, 2.0], 1.0, ValueError),
        ([1, 2], [1.5, 2.5], TypeError),
        (1.0, 1j, TypeError),
        (np.uint8(1), -1, TypeError),
        (np.uint8(1), 256, TypeError),
        ("ab", "abc", TypeError),
        (1.0, "x", TypeError),
    ],
    ids=str,
)
def test_assign_refuses_another_shape_or_kind(start: Any, value: Any, error: Any) -> None:
    """Another shape, another kind or a text that would be cut: refused, nothing is changed."""
    variable = Variable(start)
    before = variable.numpy()
    with pytest.raises(error):
        variable.assign(value)

    assert before.tolist() == variable.numpy().tolist()


def test_assign_takes_python_numbers() -> None:
    """A Python number is assigned to any dtype that can hold it."""
    assert 255 == Variable(np.uint8(1)).assign(255).value
    assert 3 == Variable(1.5).assign(3).value


@given(hnp.arrays(np.float64, (2, 3), elements=st.floats(-9, 9)), st.sampled_from(BINARY))
def test_expressions_agree_with_numpy(array: np.ndarray, name: str) -> None:
    """A numpy function of Variables gives the plain array that it gives for their values."""
    function, other = getattr(np, name), np.arange(3.0)
    for left, right in (
        (Variable(array), other),
        (array, Variable(other)),
        (Variable(array), Variable(other)),
    ):
        result = function(left, right)
        assert type(result) is np.ndarray
        assert function(array, other).tolist() == result.tolist()


def test_operators() -> None:
    """Operators, reductions, functions and conversions work as on the array."""
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    v = Variable(array)

    assert (array @ array).tolist() == (v @ v).tolist() == (array @ v).tolist()
    assert (2 - array).tolist() == (2 - v).tolist()
    assert (-array).tolist() == (-v).tolist()
    assert array.sum() == np.sum(v) == np.add.reduce(v, axis=None)
    assert array.mean(0).tolist() == np.mean(v, axis=0).tolist()
    assert np.concatenate([array, array]).tolist() == np.concatenate([v, v]).tolist()
    assert np.where(array > 2, array, 0).tolist() == np.where(v > 2, v, 0).tolist()
    assert [[1, 2], [3, 4]] == [[float(x) for x in row] for row in v]
    assert 2 == len(v)
    assert 3.0 in v
    assert array[1].tolist() == v[1].tolist() == v[Variable(1)].tolist()
    assert [True, False] == list(np.equal(Variable([1, 2]), [1, 3]))
    out = np.zeros((2, 2))
    assert out is np.add(v, v, out=out)
    assert [4.0, 3.0] == [float(np.divmod(Variable(11.0), 2.5)[0]), float(Variable(3))]


def test_scalar_conversions() -> None:
    """A 0-d Variable converts to Python numbers, an index and a formatted text; others refuse."""
    step = Variable(3)

    assert (3, 3.0, 3 + 0j, True) == (int(step), float(step), complex(step), bool(step))
    assert "d" == "abcd"[step]
    assert "003" == f"{step:03d}"
    assert "<Variable int64 (): array(3)>" == f"{step}"
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Variable([1, 2]))
    with pytest.raises(TypeError):
        "abc"[Variable(1.5)]


def test_in_place_operators_keep_the_variable() -> None:
    """In-place operators, item assignment, `out=` and `ufunc.at` write into the same array."""
    v = same = Variable([1.0, 2.0, 3.0])
    view = v.value
    v += 1
    v *= Variable([1, 2, 3])
    v -= np.ones(3)
    v /= 1
    v **= 1
    v[0] = 7
    v[1:] = Variable([8.0, 9.0])
    np.add.at(v, [0, 0], 1)

    assert same is v
    assert same is np.negative(v, out=v)
    assert [-9, -8, -9] == view.tolist()
    array = np.zeros(3)
    array += v
    assert [-9, -8, -9] == array.tolist()
    whole = Variable([1])
    with pytest.raises(TypeError):
        whole += 0.5


def test_the_array_protocol() -> None:
    """`np.asarray` shares the value; a copy or another dtype is made only where it may be."""
    v = Variable([1.0, 2.0])

    assert np.asarray(v) is v.value
    assert not np.shares_memory(np.array(v), v.value)
    assert [1, 2] == np.asarray(v, dtype=np.int32).tolist()
    with pytest.raises(ValueError, match="uncopied"):
        v.__array__(np.int32, copy=False)
    assert not np.shares_memory(v.numpy(), v.value)


def test_identity() -> None:
    """Equality is elementwise and the hash is the identity, so Variables can be keys."""
    one, two = Variable([1]), Variable([1])

    assert [True] == (one == two).tolist()
    assert [False] == (one != two).tolist()
    assert 2 == len({one, two})
    assert {one: 1, two: 2}[two] == 2


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
)
def test_copies(duplicate: Any) -> None:
    """A copy owns its array and keeps name, mark and device."""
    v = Variable([1.0, 2.0], name="w", trainable=False, device="cpu")
    twin = duplicate(v)
    v += 1

    assert [1, 2] == twin.value.tolist()
    assert ("w", False, "cpu") == (twin.name, twin.trainable, twin.device)
    assert twin.value.flags.writeable
    assert not duplicate(Variable(shape=(1,))).initialized


def test_the_protocol() -> None:
    """A Variable has one tensor, no children and no `__dict__`; restoring writes in place."""
    v = Variable([1, 2])
    view = v.value
    assert [VARIABLE_VALUE] == list(v.serialize_to_tensors())
    assert v.value is v.serialize_to_tensors()[VARIABLE_VALUE]
    v.restore_from_tensors({VARIABLE_VALUE: np.array([3, 4])})

    assert [3, 4] == view.tolist()
    assert {} == v.trackable_children()
    assert isinstance(v, Trackable)
    assert not hasattr(v, "__dict__")


def test_storage() -> None:
    """A restore writes into the storage array and then marks it; shape and dtype need no value."""
    v = Variable(shape=(2,), dtype="U3")
    v.storage_array()[...] = ["a", "b"]
    v.mark_initialized()

    assert v.storage_array() is v.value
    assert ["a", "b"] == v.value.tolist()


def test_subclasses() -> None:
    """A subclass may have attributes; they are not tracked."""

    class Named(Variable):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.more = Variable(1)

    assert {} == Named([1]).trackable_children()
    assert 1 == copy.deepcopy(Named([1])).more.value
