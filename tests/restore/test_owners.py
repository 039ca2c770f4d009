"""Values are put into owners of every kind (docs/restore.md, R-21)."""

import collections
import dataclasses
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt


def round_trip(tmp_path, stored: Any, live: Any) -> Any:
    """Save one object, restore it into another, and return that."""
    path = ckpt.Checkpoint(m=stored).write(tmp_path / "m")
    ckpt.Checkpoint(m=live).restore(path).assert_consumed()
    return live


class TestAttrs:
    def test_validators_run_and_their_errors_carry_the_report(self, tmp_path):
        """A validator that refuses a stored value fails the restore with its error as the cause."""

        @attrs.define(eq=False)
        class Model(ckpt.Trackable):
            n: int = ckpt.tracked(validator=attrs.validators.lt(10))

        path = ckpt.Checkpoint(a=np.arange(3), m=Model(5)).write(tmp_path / "m")
        assert 5 == round_trip(tmp_path, Model(5), Model(0)).n

        @attrs.define(eq=False)
        class Strict(ckpt.Trackable):
            n: int = ckpt.tracked(validator=attrs.validators.lt(3))

        path = ckpt.Checkpoint(a=np.arange(3), m=Model(5)).write(tmp_path / "m")
        live = Strict(1)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/n") as caught:
            ckpt.Checkpoint(a=np.zeros(3, int), m=live).restore(path)
        assert isinstance(caught.value.__cause__, ValueError)
        assert ["a"] == [entry.path for entry in caught.value.report.restored]
        assert 1 == live.n

    def test_converters_run(self, tmp_path):
        """What an attrs converter makes of the stored value is what is kept."""

        @attrs.define(eq=False)
        class Model(ckpt.Trackable):
            n: Any = ckpt.tracked(converter=int)  # noqa: RUF009

        assert 7 == round_trip(tmp_path, Model(7), Model(0)).n

    def test_frozen_classes_are_restored(self, tmp_path):
        """A frozen class, unhashable or not, receives its values."""

        @attrs.frozen
        class Frozen(ckpt.Trackable):
            n: int = ckpt.tracked()
            w: Any = attrs.field(factory=lambda: ckpt.Variable(0.0), eq=False)

        stored = Frozen(7, ckpt.Variable(2.0))
        live = round_trip(tmp_path, stored, Frozen(0))
        assert (7, 2.0) == (live.n, live.w.value)


class TestDataclasses:
    @pytest.mark.parametrize("options", [{}, {"slots": True}, {"frozen": True}, {"eq": True}])
    def test_dataclasses_are_restored(self, tmp_path, options):
        """Slots, frozen and unhashable dataclasses receive their values."""

        @dataclasses.dataclass(**options)
        class Model(ckpt.Trackable):
            n: int
            w: Any = dataclasses.field(default_factory=lambda: ckpt.Variable(0.0), compare=False)

        Model.state_attributes = ("n",)
        live = round_trip(tmp_path, Model(7, ckpt.Variable(2.0)), Model(0))
        assert (7, 2.0) == (live.n, live.w.value)


class TestProperties:
    def test_a_declared_property_is_set(self, tmp_path):
        """State may be a property; restoring calls its setter."""

        class Model(ckpt.Trackable):
            state_attributes = ("rate",)

            def __init__(self, rate):
                self._rate = rate

            @property
            def rate(self):
                return self._rate

            @rate.setter
            def rate(self, value):
                self._rate = value

        assert 0.5 == round_trip(tmp_path, Model(0.5), Model(0.0)).rate

    def test_children_that_a_method_shows_are_restored(self, tmp_path):
        """An overridden trackable_children decides what is state."""

        class Model(ckpt.Trackable):
            def __init__(self, value):
                self.hidden = {"w": ckpt.Variable(value), "a": np.full(2, value)}

            def trackable_children(self):
                return dict(self.hidden)

        live = round_trip(tmp_path, Model(3.0), Model(0.0))
        assert (3.0, [3.0, 3.0]) == (live.hidden["w"].value, live.hidden["a"].tolist())

    def test_children_that_a_method_begins_to_show_arrive(self, tmp_path):
        """What a method shows only later is noticed by the next call of a status."""

        class Model(ckpt.Trackable):
            def __init__(self, *names):
                self.names = names
                self.variables = {}

            def trackable_children(self):
                for name in self.names:
                    self.variables.setdefault(name, ckpt.Variable(float(len(self.names))))
                return dict(self.variables)

        path = ckpt.Checkpoint(m=Model("a", "b")).write(tmp_path / "m")
        live = Model()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.names = ("a",)
        status.settle()
        assert 2.0 == live.variables["a"].value
        live.names = ("a", "b")
        status.assert_consumed()


class TestTuples:
    def test_a_tuple_under_two_names_stays_one_tuple(self, tmp_path):
        """Where a shared tuple must be made anew, all its places receive the new one."""

        class Model(ckpt.Trackable):
            pass

        def model(value):
            made = Model()
            made.w = ckpt.Variable(value)
            made.a = made.b = (made.w, value)
            made.c = [made.a]
            return made

        live = round_trip(tmp_path, model(3.0), model(0.0))
        assert (live.w, 3.0) == live.a
        assert live.a is live.b
        assert live.c[0] is live.a

    def test_nested_tuples_are_made_from_the_inside(self, tmp_path):
        """A leaf deep in tuples, namedtuples and lists arrives, and the types stay."""
        pair = collections.namedtuple("pair", "left right")  # noqa: PYI024

        class Model(ckpt.Trackable):
            def __init__(self, value):
                self.w = ckpt.Variable(value)
                self.x = (value, pair((value, [(self.w, value)]), value))

        live = round_trip(tmp_path, Model(3.0), Model(0.0))
        assert 3.0 == live.x[0] == live.x[1].right == live.x[1].left[0]
        assert (live.w, 3.0) == live.x[1].left[1][0]
        assert pair is type(live.x[1])


class TestFailures:
    def test_a_setter_that_refuses_a_container_is_named(self, tmp_path):
        """What a setter raises while an empty place is filled arrives as our error."""

        class Model(ckpt.Trackable):
            state_attributes = ("x",)

            def __init__(self, x):
                self.x = x

            def __setattr__(self, name, value):
                if isinstance(value, list) and len(value) == 3:
                    raise ValueError("not three")
                super().__setattr__(name, value)

        stored = Model([np.arange(2), 5])
        stored.x.append(6)
        path = ckpt.Checkpoint(m=stored).write(tmp_path / "m")
        live = Model(None)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"m/x.*not three") as caught:
            ckpt.Checkpoint(m=live).restore(path)
        assert isinstance(caught.value.__cause__, ValueError)
        assert live.x is None

    def test_a_container_of_the_users_that_refuses_is_named(self, tmp_path):
        """What a dict subclass raises while it is refilled arrives as our error, with its path."""

        class Positive(dict):
            def update(self, other):
                if min(other.values()) < 0:
                    raise ValueError("negative")
                super().update(other)

        class Model(ckpt.Trackable):
            state_attributes = ("x",)

        stored, live = Model(), Model()
        stored.x, live.x = {"a": -1}, Positive(a=1)
        path = ckpt.Checkpoint(m=stored).write(tmp_path / "m")
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"m/x.*negative") as caught:
            ckpt.Checkpoint(m=live).restore(path)
        assert [] == list(caught.value.report.restored)

    def test_a_tuple_that_is_refused_late_is_named(self, tmp_path):
        """A setter that refuses a tuple made anew is named, though the Checkpoint is gone."""

        class Part(ckpt.Trackable):
            state_attributes = ("x",)
            refuses = False

            def __setattr__(self, name, value):
                if name == "x" and self.refuses:
                    raise ValueError("no tuple")
                super().__setattr__(name, value)

        class Model(ckpt.Trackable):
            pass

        stored, live, late = Model(), Model(), Part()
        stored.part = Part()
        stored.part.x = (np.arange(2), 5)
        path = ckpt.Checkpoint(m=stored).write(tmp_path / "m")
        ckpt.Checkpoint(m=live).restore(path)
        late.x = (np.zeros(2, int), 0)
        late.refuses = True
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"m/part/x.*no tuple"):
            live.part = late

    def test_what_others_accept_is_assigned_though_one_object_refuses(self, tmp_path):
        """The report of the error names what was assigned, and what was refused."""

        class Model(ckpt.Trackable):
            state_attributes = ("n",)

            def __init__(self, n, refuse=False):
                self.w = ckpt.Variable(float(n))
                self.refuse = refuse
                self.n = n

            def __setattr__(self, name, value):
                if name == "n" and self.refuse and value != 0:
                    raise ValueError("not today")
                super().__setattr__(name, value)

        path = ckpt.Checkpoint(a=Model(1), b=Model(2), c=Model(3)).write(tmp_path / "m")
        a, b, c = Model(0), Model(0, refuse=True), Model(0)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="b/n") as caught:
            ckpt.Checkpoint(a=a, b=b, c=c).restore(path)
        assert ["b/n"] == [entry.path for entry in caught.value.report.mismatched]
        restored = {entry.path for entry in caught.value.report.restored}
        assert {"a/w", "b/w", "c/w", "a/n", "c/n"} == restored
        assert (1, 0, 3) == (a.n, b.n, c.n)
