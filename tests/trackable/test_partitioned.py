"""Partitioned variables: how a tensor is cut, what the parts know, and that they are Variables."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.trackable.partitioned import VariablePart


def put_together(parts: list[ckpt.Variable]) -> np.ndarray[Any, Any]:
    """Assemble the whole tensor from its parts by their offsets; what no part fills is NaN."""
    whole = np.full(parts[0].save_slice.full_shape, np.nan)
    for part in parts:
        place = [slice(o, o + n) for o, n in zip(part.save_slice.offset, part.shape, strict=True)]
        assert np.isnan(whole[tuple(place)]).all(), "parts overlap"
        whole[tuple(place)] = part.value
    return whole


class TestCutting:
    @given(st.data())
    def test_the_parts_make_up_the_whole(self, data):
        """Whatever dimension is cut into however many parts: every element is in just one."""
        shape = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple))
        axis = data.draw(st.integers(0, len(shape) - 1))
        slicing = [1] * len(shape)
        slicing[axis] = data.draw(st.integers(1, shape[axis]))
        whole = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)

        parts = ckpt.partitioned_variables(shape, slicing, whole, np.float64, name="w")

        assert slicing[axis] == len(parts)
        assert np.array_equal(whole, put_together(parts))
        sizes = [part.shape[axis] for part in parts]
        assert all(0 <= a - b <= 1 for a, b in pairwise([*sizes, min(sizes)]))

    def test_larger_parts_come_first(self):
        """8 rows in 3 parts are 3, 3 and 2."""
        parts = ckpt.partitioned_variables((8, 2), (3, 1), name="w")

        assert [(3, 2), (3, 2), (2, 2)] == [part.shape for part in parts]
        assert ["w/part_0", "w/part_1", "w/part_2"] == [part.name for part in parts]
        assert [ckpt.SaveSlice("w", (8, 2), (row, 0)) for row in (0, 3, 6)] == [
            part.save_slice for part in parts
        ]

    @pytest.mark.parametrize(("shape", "slicing"), [((), ()), ((2, 3), [1, 1]), ((0, 2), (1, 1))])
    def test_nothing_to_cut_gives_one_part(self, shape, slicing):
        """Scalars, empty tensors and slicings of ones: the one part is the whole."""
        [part] = ckpt.partitioned_variables(shape, slicing, name="w")

        assert (shape, shape, (0,) * len(shape)) == (
            part.shape,
            part.save_slice.full_shape,
            part.save_slice.offset,
        )


class TestInitializers:
    @pytest.mark.parametrize(
        ("initializer", "expected"), [("zeros", 0), (None, 0), ("ones", 1), (np.full((4, 2), 7), 7)]
    )
    def test_words_and_arrays(self, initializer, expected):
        """They mean what they mean in add_variable; an array is of the whole shape."""
        parts = ckpt.partitioned_variables((4, 2), (2, 1), initializer, np.int16, name="w")

        assert [np.int16, np.int16] == [part.dtype for part in parts]
        assert np.array_equal(np.full((4, 2), expected), put_together(parts))

    def test_a_callable_is_called_for_each_part(self):
        """It is given the shape of the part and the dtype."""
        calls = []

        def initializer(shape, dtype):
            calls.append((shape, dtype))
            return np.full(shape, len(calls), dtype)

        parts = ckpt.partitioned_variables((3,), (2,), initializer, np.float64, name="w")

        assert [((2,), np.float64), ((1,), np.float64)] == calls
        assert [1, 1, 2] == put_together(parts).tolist()

    def test_parts_share_no_memory(self):
        """Neither with each other nor with the array that they came from."""
        given = np.zeros(4)
        a, b = ckpt.partitioned_variables((4,), (2,), given, np.float64, name="w")
        a.assign([1, 2])

        assert ([0, 0], [0, 0, 0, 0]) == (b.value.tolist(), given.tolist())
        assert a.value.flags.owndata
        assert a.trainable


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"slicing": (2,)}, ValueError, "one number for each size"),
            ({"slicing": (2, 2)}, ValueError, "one number above 1"),
            ({"slicing": (5, 1)}, ValueError, "into 1 to 4 parts, not 5"),
            ({"slicing": (0, 1)}, ValueError, "not 0"),
            ({"slicing": (1.5, 1)}, TypeError, "tuple of integers"),
            ({"slicing": 2}, TypeError, "tuple of integers"),
            ({"shape": (-1, 2)}, ValueError, "at least 0"),
            ({"initializer": "twos"}, ValueError, "twos"),
            ({"initializer": np.zeros(4)}, ValueError, r"\(4,\)"),
            ({"initializer": np.zeros((4, 2), complex)}, TypeError, "same_kind"),
            ({"dtype": np.longdouble}, ckpt.NotCheckpointableError, "differs between machines"),
            ({"name": ""}, ValueError, "name is ''"),
            ({"name": "w/"}, ValueError, "name is 'w/'"),
            ({"name": 3}, TypeError, "name is 3"),
        ],
    )
    def test_wrong_arguments_leave_no_trace(self, arguments, error, message):
        """They are refused before anything is recorded in the graph."""
        right = {"shape": (4, 2), "slicing": (2, 1), "name": "w"}

        with ckpt.Graph().as_default() as graph, pytest.raises(error, match=message):
            ckpt.partitioned_variables(**{**right, **arguments})
        assert ([], []) == (graph.get_operations(), graph.get_all_collection_keys())

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            (("w", (4,), (5,)), ValueError),
            (("w", (4,), (0, 0)), ValueError),
            (("w", (4,), (-1,)), ValueError),
            (("", (4,), (0,)), TypeError),
            ((3, (4,), (0,)), TypeError),
            (("w", (4.5,), (0,)), TypeError),
        ],
    )
    def test_slices_are_checked(self, fields, error):
        """A slice begins within its tensor, which has a name."""
        with pytest.raises(error):
            ckpt.SaveSlice(*fields)

    @pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
    def test_a_part_lies_within_its_tensor(self, shape):
        """One that is too long, or of another rank, is refused, and not recorded."""
        save_slice = ckpt.SaveSlice("w", (4,), (2,))

        with ckpt.Graph().as_default() as graph, pytest.raises(ValueError, match="not within 'w'"):
            VariablePart(shape=shape, save_slice=save_slice)
        with pytest.raises(ValueError, match="not within 'w'"):
            VariablePart(np.zeros(shape), save_slice=save_slice)
        assert [] == graph.get_operations()


class TestInAGraph:
    def test_names_are_made_unique_for_the_whole(self):
        """The scope stands before the name of the whole too; values come from the initializers."""
        with ckpt.Graph().as_default() as graph, graph.name_scope("layer"):
            ckpt.Variable(0, name="w")
            parts = ckpt.partitioned_variables(
                (3,), (2,), [1, 2, 3], np.int64, name="w", trainable=False
            )
            with ckpt.Session() as session:
                session.run([part.initializer for part in parts])
                values = session.run(parts)

        assert ["layer/w_1/part_0", "layer/w_1/part_1"] == [part.name for part in parts]
        assert ["layer/w_1"] * 2 == [part.save_slice.full_name for part in parts]
        assert [[1, 2], [3]] == [value.tolist() for value in values]
        assert parts == graph.get_collection("variables")[1:]
        assert ["layer/w"] == [v.name for v in graph.get_collection("trainable_variables")]


class TestVariables:
    def test_a_variable_is_no_part(self):
        """Unless it was made as one."""
        assert ckpt.Variable(0).save_slice is None
        with pytest.raises(AttributeError):
            ckpt.Variable(0).save_slice = ckpt.SaveSlice("w", (), ())

    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))]
    )
    def test_a_copy_is_the_same_part(self, duplicate):
        """Values, names and slice come along, and the copy has an array of its own."""
        part = ckpt.partitioned_variables((4,), (2,), "ones", name="w")[1]

        copied = duplicate(part)

        part.assign([5, 5])
        assert ("w/part_1", ckpt.SaveSlice("w", (4,), (2,)), [1, 1]) == (
            copied.name,
            copied.save_slice,
            copied.value.tolist(),
        )

    def test_its_type_makes_variables(self):
        """`type(part)(x)` works as for any Variable, and gives none of the parts."""
        part = ckpt.partitioned_variables((4,), (2,), name="w")[1]

        made = type(part)([1.0, 2.0], name="v")

        assert ("v", None, [1, 2]) == (made.name, made.save_slice, (part + made).tolist())

    def test_an_object_graph_holds_parts_as_variables(self, tmp_path):
        """Each is saved under its edge, and restores into an ordinary Variable."""
        parts = ckpt.partitioned_variables((3,), (2,), [1, 2, 3], np.float64, name="w")
        path = ckpt.Checkpoint(w=parts).save(tmp_path / "ckpt")

        plain = [ckpt.Variable([0.0, 0.0]), ckpt.Variable([0.0])]
        ckpt.Checkpoint(w=plain).restore(path).assert_consumed()

        assert [[1, 2], [3]] == [v.value.tolist() for v in plain]
