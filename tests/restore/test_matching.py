"""Live objects and stored ones are matched edge by edge (docs/restore.md, R-1 to R-8)."""

import collections
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import variable


class Node(ckpt.Trackable):
    """An object with whatever attributes a test gives it."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Declared(Node):
    """An object whose attribute `x` is state, whatever it holds."""

    state_attributes = ("x",)


def write(tmp_path, **dependencies: Any) -> str:
    """Write a checkpoint of these values and return its path."""
    return ckpt.Checkpoint(**dependencies).write(tmp_path / "model")


class TestObjects:
    def test_values_come_back_into_the_same_arrays(self, tmp_path):
        """A restored Variable keeps its array, so that views of it see the restored values."""
        path = write(tmp_path, m=Node(w=variable(1, 2)))
        live = Node(w=variable(0, 0))
        view = live.w.value
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [1, 2] == view.tolist()

    def test_edges_decide_not_types_or_global_names(self, tmp_path):
        """An object of another class under the same name is matched (R-1)."""
        path = write(tmp_path, m=Node(w=ckpt.Variable(1.0, name="old")))

        class Other(ckpt.Trackable):
            def __init__(self):
                self.w = ckpt.Variable(0.0, name="new")

        live = Other()
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1.0 == live.w.value

    def test_a_cycle_is_restored(self, tmp_path):
        """Objects that refer to each other are matched once each."""
        a, b = Node(w=variable(1)), Node(w=variable(2))
        a.other, b.other = b, a
        path = write(tmp_path, m=a)
        c, d = Node(w=variable(0)), Node(w=variable(0))
        c.other, d.other = d, c
        ckpt.Checkpoint(m=c).restore(path).assert_consumed()
        assert [1, 2] == [c.w[0], d.w[0]]

    def test_one_stored_object_in_two_live_ones_is_split(self, tmp_path):
        """Both objects receive the value, and the report and assert_consumed say so (R-5)."""
        shared = variable(5)
        path = write(tmp_path, a=shared, b=shared)
        a, b = variable(0), variable(0)
        status = ckpt.Checkpoint(a=a, b=b).restore(path)
        assert [5, 5] == [a[0], b[0]]
        assert ["b"] == [entry.path for entry in status.report().split]
        status.assert_existing_objects_matched()
        with pytest.raises(ckpt.UnmatchedError, match="more than one object"):
            status.assert_consumed()

    def test_two_stored_objects_in_one_live_one_give_it_the_first_value(self, tmp_path):
        """The first in breadth-first order wins; the other, if it differs, is unused (R-6)."""
        path = write(tmp_path, a=variable(1), b=variable(2))
        live = variable(0)
        status = ckpt.Checkpoint(a=live, b=live).restore(path)
        assert 1 == live[0]
        assert ["b"] == [entry.path for entry in status.report().unused]

    def test_two_equal_stored_objects_in_one_live_one_are_consumed(self, tmp_path):
        """A second stored object with the same value is matched."""
        path = write(tmp_path, a=variable(1), b=variable(1))
        live = variable(0)
        ckpt.Checkpoint(a=live, b=live).restore(path).assert_consumed()

    def test_the_edges_of_both_merged_objects_are_followed(self, tmp_path):
        """What only the second of two merged objects leads to is restored."""
        path = write(tmp_path, a=Node(x=variable(1)), b=Node(y=variable(2)))
        live = Node(x=variable(0), y=variable(0))
        ckpt.Checkpoint(a=live, b=live).restore(path).assert_consumed()
        assert [1, 2] == [live.x[0], live.y[0]]

    def test_a_variable_matched_with_a_container_is_missing(self, tmp_path):
        """A live value bound to a stored node without one is not called matched."""
        path = write(tmp_path, m=Node(w=[variable(1)]))
        live = Node(w=variable(0))
        status = ckpt.Checkpoint(m=live).restore(path)
        assert ["m/w"] == [entry.path for entry in status.report().missing]
        with pytest.raises(ckpt.UnmatchedError, match="m/w"):
            status.assert_existing_objects_matched()

    def test_all_mismatches_are_raised_together_and_nothing_changes(self, tmp_path):
        """A restore checks every shape and dtype before it assigns the first value (R-4)."""
        path = write(tmp_path, a=variable(1), b=variable(1, 2), c=variable(3))
        a, b, c = variable(0), variable(0), ckpt.Variable(np.float32([0]))
        with pytest.raises(ckpt.IncompatibleCheckpointError) as caught:
            ckpt.Checkpoint(a=a, b=b, c=c).restore(path)
        assert ["b", "c"] == [entry.path for entry in caught.value.report.mismatched]
        assert "b: the checkpoint holds float64 (2,), the program float64 (1,)" in str(caught.value)
        assert [0, 0, 0] == [a[0], b[0], c[0]]

    def test_own_tensors_go_through_the_objects_methods(self, tmp_path):
        """restore_from_tensors receives what serialize_to_tensors gave, callables once each."""
        calls = []

        class Sums(ckpt.Trackable):
            def __init__(self, start):
                self.total = np.array(start)

            def serialize_to_tensors(self):
                return {"total": lambda: calls.append(1) or self.total, "a/b.c": np.array([7])}

            def restore_from_tensors(self, tensors):
                assert ["a/b.c", "total"] == sorted(tensors)
                self.total = tensors["total"]

        path = write(tmp_path, s=Sums([1, 2]))
        assert 1 == len(calls)
        live = Sums([0, 0])
        ckpt.Checkpoint(s=live).restore(path).assert_consumed()
        assert [1, 2] == live.total.tolist()
        assert 1 == len(calls)

    def test_an_error_of_the_users_class_carries_the_report(self, tmp_path):
        """What restore_from_tensors raises is the cause of an error with the report (R-21)."""

        class Stubborn(ckpt.Trackable):
            def serialize_to_tensors(self):
                return {"t": np.zeros(2)}

            def restore_from_tensors(self, tensors):
                raise KeyError("no")

        path = write(tmp_path, a=variable(1), s=Stubborn())
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="refused") as caught:
            ckpt.Checkpoint(a=variable(0), s=Stubborn()).restore(path)
        assert isinstance(caught.value.__cause__, KeyError)
        assert ["a"] == [entry.path for entry in caught.value.report.restored]

    def test_python_state_comes_back_as_its_bytes(self, tmp_path):
        """A PythonState is given the very bytes that it made."""

        class Text(ckpt.PythonState):
            def __init__(self, text):
                self.text = text

            def serialize(self):
                return self.text.encode()

            def deserialize(self, data):
                self.text = data.decode()

        path = write(tmp_path, t=Text("é"))
        live = Text("")
        ckpt.Checkpoint(t=live).restore(path).assert_consumed()
        assert "é" == live.text


class TestDeclaredValues:
    @pytest.mark.parametrize(
        ("stored", "live"),
        [
            (np.arange(3), np.zeros(3, int)),
            (3, 0),
            (3, "text"),
            (None, 5),
            ([1, 2], [0]),
            ({"a": 1}, {"b": 2}),
            ((1, (2, 3)), (0,)),
            ({1, 2}, {3}),
            (np.float32(2.5), np.float32(0)),
            (10**40, 0),
            ([], [1, 2]),
            ([1, 2], []),
            (b"x", None),
        ],
    )
    def test_a_declared_value_comes_back(self, tmp_path, stored, live):
        """Arrays and plain values of every type are restored into what stands there."""
        path = write(tmp_path, m=Declared(x=stored))
        target = Declared(x=live)
        ckpt.Checkpoint(m=target).restore(path).assert_consumed()
        assert type(stored) is type(target.x)
        assert np.all(stored == target.x)

    def test_arrays_lists_dicts_and_sets_are_changed_in_place(self, tmp_path):
        """A container or array that can be overwritten keeps its identity (R-21)."""
        for stored, live in [
            (np.arange(3), np.zeros(3, int)),
            ([1, 2], [0]),
            ({"a": 1}, {}),
            ({1}, {2}),
        ]:
            path = write(tmp_path, m=Declared(x=stored))
            target = Declared(x=live)
            ckpt.Checkpoint(m=target).restore(path)
            assert target.x is live
            assert np.all(stored == live)

    def test_a_subclass_of_a_container_keeps_its_live_type(self, tmp_path):
        """A namedtuple, a defaultdict and a list subclass stay what they are."""
        point = collections.namedtuple("point", "x y")  # noqa: PYI024

        class Numbers(list):
            pass

        for stored, live in [
            (point(1, 2), point(0, 0)),
            (collections.defaultdict(int, a=1), collections.defaultdict(int)),
            (Numbers([1]), Numbers()),
        ]:
            path = write(tmp_path, m=Declared(x=stored))
            target = Declared(x=live)
            ckpt.Checkpoint(m=target).restore(path).assert_consumed()
            assert type(live) is type(target.x)
            assert stored == target.x

    def test_a_read_only_array_is_replaced_in_its_owner(self, tmp_path):
        """An array that cannot be written to is left alone, and a new one takes its place."""
        path = write(tmp_path, m=Declared(x=np.arange(3)))
        old = np.zeros(3, int)
        old.flags.writeable = False
        target = Declared(x=old)
        ckpt.Checkpoint(m=target).restore(path).assert_consumed()
        assert [0, 0, 0] == old.tolist()
        assert [0, 1, 2] == target.x.tolist()

    def test_arrays_inside_tuples_make_a_new_tuple_only_where_needed(self, tmp_path):
        """A tuple of writable arrays stays; one with an immutable leaf is made anew."""
        path = write(tmp_path, m=Declared(x=(np.arange(2), (5, np.ones(1)))))
        array = np.zeros(2, int)
        target = Declared(x=(array, (0, np.zeros(1))))
        ckpt.Checkpoint(m=target).restore(path).assert_consumed()
        assert target.x[0] is array
        assert ([0, 1], (5, [1.0])) == (array.tolist(), (target.x[1][0], target.x[1][1].tolist()))

    def test_a_variable_and_an_array_restore_into_each_other(self, tmp_path):
        """Both hold one tensor under the same name."""
        path = write(tmp_path, m=Declared(x=np.arange(2.0)))
        live = Node(x=variable(0, 0))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [0, 1] == live.x.value.tolist()
        path = write(tmp_path, m=Node(x=variable(3, 4)))
        target = Declared(x=np.zeros(2))
        ckpt.Checkpoint(m=target).restore(path).assert_consumed()
        assert [3, 4] == target.x.tolist()

    def test_a_number_and_a_0d_tensor_restore_into_each_other_and_are_listed(self, tmp_path):
        """A plain int and an int64 array of no dimensions are of one kind (R-2)."""
        path = write(tmp_path, m=Declared(x=7))
        live = Node(x=ckpt.Variable(np.int64(0)))
        status = ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 7 == live.x.value
        assert ["m/x"] == [entry.path for entry in status.report().cast]
        path = write(tmp_path, m=Node(x=ckpt.Variable(np.int64(9))))
        target = Declared(x=0)
        ckpt.Checkpoint(m=target).restore(path).assert_consumed()
        assert (int, 9) == (type(target.x), target.x)

    def test_a_number_that_does_not_fit_is_a_mismatch(self, tmp_path):
        """An integer too large for the live dtype is refused, not cut."""
        path = write(tmp_path, m=Declared(x=300))
        live = Node(x=ckpt.Variable(np.int8(1)))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/x"):
            ckpt.Checkpoint(m=live).restore(path)
        assert 1 == live.x.value

    def test_a_float_too_large_for_the_live_dtype_is_a_mismatch(self, tmp_path):
        """A finite number never becomes an infinite one."""
        path = write(tmp_path, m=Declared(x=1e300))
        live = Node(x=ckpt.Variable(np.float32(1)))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/x"):
            ckpt.Checkpoint(m=live).restore(path)
        assert 1 == live.x.value
        path = write(tmp_path, m=Declared(x=float("inf")))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert np.isinf(live.x.value)

    def test_an_array_under_two_names_is_restored_once(self, tmp_path):
        """One array with two names is one stored node with two edges."""
        shared = np.arange(3)
        path = write(tmp_path, a=shared, b=shared)
        assert 1 == len(ckpt.list_variables(path))
        live = np.zeros(3, int)
        target = ckpt.Checkpoint(a=live, b=live)
        target.restore(path).assert_consumed()
        assert target.a is target.b is live
        assert [0, 1, 2] == live.tolist()

    def test_strings_come_back_as_what_each_was(self, tmp_path):
        """An object array of str and bytes keeps the type of each element."""
        path = write(tmp_path, x=np.array(["a", b"b", "é"], object))
        target = ckpt.Checkpoint(x=np.array(["", "", ""], object))
        target.restore(path).assert_consumed()
        assert ["a", b"b", "é"] == target.x.tolist()

    def test_byte_order_is_no_part_of_a_dtype(self, tmp_path):
        """A big-endian array is restored from, and into, as any other."""
        path = write(tmp_path, x=np.arange(3, dtype=">i4"))
        live = np.zeros(3, ">i4")
        ckpt.Checkpoint(x=live).restore(path).assert_consumed()
        assert [0, 1, 2] == live.tolist()

    def test_a_strided_array_is_overwritten_in_place(self, tmp_path):
        """A view with gaps receives its values, and only they change."""
        path = write(tmp_path, x=np.arange(3.0))
        base = np.full(6, 9.0)
        ckpt.Checkpoint(x=base[::2]).restore(path).assert_consumed()
        assert [0, 9, 1, 9, 2, 9] == base.tolist()


class TestContainers:
    def test_items_are_matched_by_position_and_key(self, tmp_path):
        """Lists, tuples and dicts with Variables lead to their items."""
        path = write(tmp_path, m=Node(a=[variable(1), {"k": variable(2), 3: (variable(4),)}]))
        live = Node(a=[variable(0), {"k": variable(0), 3: (variable(0),)}])
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [1, 2, 4] == [live.a[0][0], live.a[1]["k"][0], live.a[1][3][0][0]]

    def test_plain_values_among_objects_are_restored(self, tmp_path):
        """In a list that leads to a Variable everything is state."""
        path = write(tmp_path, m=Node(a=[variable(1), 2, "three", np.arange(2)]))
        live = Node(a=[variable(0), 0, "", np.zeros(2, int)])
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [2, "three"] == live.a[1:3]
        assert [0, 1] == live.a[3].tolist()

    def test_an_empty_declared_container_is_filled(self, tmp_path):
        """Arrays and plain values fill an empty list or dict; integer keys stay integers (R-8)."""
        stored = {"a": np.arange(2), 3: [np.ones(1), (np.zeros(1), 5)], "n": None}
        path = write(tmp_path, m=Declared(x=stored))
        box: dict[Any, Any] = {}
        live = Declared(x=box)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert live.x is box
        assert ["a", 3, "n"] == list(box)
        assert [0, 1] == box["a"].tolist()
        assert (tuple, 5) == (type(box[3][1]), box[3][1][1])

    def test_nothing_is_added_to_a_container_that_is_not_empty(self, tmp_path):
        """What a list lacks is unused where it is an array or a plain value."""
        path = write(tmp_path, m=Declared(x=[np.arange(2), np.arange(3), 5]))
        live = Declared(x=[np.zeros(2, int)])
        status = ckpt.Checkpoint(m=live).restore(path)
        assert 1 == len(live.x)
        assert ["m/x/1", "m/x/2"] == [entry.path for entry in status.report().unused]

    def test_a_node_and_a_plain_container_are_matched_item_by_item(self, tmp_path):
        """Where only one side holds an array, each item is still given its value."""
        path = write(tmp_path, m=Declared(x=[1, 2]))
        live = Declared(x=[np.array(0), 0])
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [1, 2] == [int(live.x[0]), live.x[1]]
        path = write(tmp_path, m=Declared(x=[np.array(3), 4]))
        target = Declared(x=[0, 0])
        ckpt.Checkpoint(m=target).restore(path).assert_consumed()
        assert [3, 4] == target.x

    def test_none_takes_an_array_or_a_plain_value(self, tmp_path):
        """A declared None is an empty place, never missing and never a mismatch (R-7)."""
        path = write(tmp_path, a=np.arange(2), b=5, c={"k": [np.ones(1)]}, d=np.float32(2))
        target = ckpt.Checkpoint(a=None, b=None, c=None, d=None, e=None)
        target.restore(path).assert_consumed()
        assert [0, 1] == target.a.tolist()
        assert 5 == target.b
        assert [1.0] == target.c["k"][0].tolist()
        assert isinstance(target.d, np.float32)

    def test_empty_containers_fail_no_match(self, tmp_path):
        """Neither a stored nor a live empty container is missing or unused."""
        path = write(tmp_path, a=[], b=variable(1))
        ckpt.Checkpoint(b=variable(0), c={}).restore(path).assert_consumed()

    def test_two_keys_with_one_name_are_refused_naming_both(self, tmp_path):
        """A dict with the keys 1 and "1" cannot be saved."""
        with pytest.raises(ckpt.NotCheckpointableError, match="1"):
            write(tmp_path, m=Node(d={1: variable(1), "1": variable(2)}))

    def test_a_namedtuple_goes_by_its_fields(self, tmp_path):
        """The items of a namedtuple have the names of its fields."""
        point = collections.namedtuple("point", "x y")  # noqa: PYI024
        path = write(tmp_path, m=Node(p=point(variable(1), variable(2))))
        assert "m/p/x/.ATTRIBUTES/VARIABLE_VALUE" == ckpt.list_variables(path)[0][0]
        live = Node(p=point(variable(0), variable(0)))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 2 == live.p.y[0]
