"""Values wait for objects that do not exist yet (docs/restore.md, R-9 to R-13)."""

import contextlib
import gc
import os
import threading
import weakref
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.trackable import waiting
from tests.restore.models import Declared, Node, nothing_is_left_waiting, variable


class Layer(ckpt.Trackable):
    def build(self, initializer=None):
        self.w = self.add_variable("w", (2,), np.float64, initializer)


def write(tmp_path, name="model", **dependencies: Any) -> str:
    """Write a checkpoint of these values and return its path."""
    return ckpt.Checkpoint(**dependencies).write(tmp_path / name)


@pytest.fixture(autouse=True)
def _nothing_is_left_waiting():
    """Whatever waits in a test is gone once its objects are."""
    with nothing_is_left_waiting():
        yield


class TestArrival:
    def test_an_attribute_assigned_later_is_restored(self, tmp_path):
        """A Trackable receives its values when it is assigned under the waiting name (R-9)."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1, 2))))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        assert ["m/a/w"] == [entry.path for entry in status.report().pending]
        with pytest.raises(ckpt.UnmatchedError, match="m/a/w"):
            status.assert_consumed()
        live.a = Node()
        live.a.w = variable(0, 0)
        assert [1, 2] == live.a.w.value.tolist()
        status.assert_consumed()

    def test_a_whole_subtree_arrives_at_once(self, tmp_path):
        """What the arriving object leads to is restored with it."""
        path = write(tmp_path, m=Node(a=Node(b=[Node(w=variable(1))])))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.a = Node(b=[Node(w=variable(0))])
        assert 1 == live.a.b[0].w[0]
        status.assert_consumed()

    def test_add_variable_never_runs_the_initializer_of_a_waiting_value(self, tmp_path):
        """The stored value is used instead of the initializer."""
        saved = Layer()
        saved.build()
        saved.w.assign([3, 4])
        path = write(tmp_path, layer=saved)
        live = Layer()
        status = ckpt.Checkpoint(layer=live).restore(path)

        def initializer(shape, dtype):
            raise AssertionError

        live.build(initializer)
        assert [3, 4] == live.w.value.tolist()
        status.assert_consumed()

    def test_tracked_names_arrive_too(self, tmp_path):
        """A dependency declared with track() receives what waits for its name."""
        saved = ckpt.Trackable()
        saved.track("a/b", variable(1))
        path = write(tmp_path, m=saved)
        live = ckpt.Trackable()
        status = ckpt.Checkpoint(m=live).restore(path)
        late = live.track("a/b", variable(0))
        assert 1 == late[0]
        status.assert_consumed()

    def test_a_declared_array_gives_way_to_the_stored_one(self, tmp_path):
        """The array that is assigned where one waits is not written to."""
        path = write(tmp_path, m=Declared(x=np.arange(3)))
        live = Declared()
        status = ckpt.Checkpoint(m=live).restore(path)
        assigned = np.zeros(3, int)
        live.x = assigned
        assert [0, 1, 2] == live.x.tolist()
        assert [0, 0, 0] == assigned.tolist()
        status.assert_consumed()

    def test_a_declared_plain_value_gives_way_to_the_stored_one(self, tmp_path):
        """The first assignment of a waiting name receives the stored value, later ones do not."""
        path = write(tmp_path, m=Declared(x=5))
        live = Declared()
        ckpt.Checkpoint(m=live).restore(path)
        live.x = 0
        assert 5 == live.x
        live.x = 1
        assert 1 == live.x

    def test_items_of_a_plain_list_are_noticed(self, tmp_path):
        """A layer appended to a plain list is restored before its Variable can be read (R-10)."""
        path = write(tmp_path, m=Node(layers=[Node(w=variable(i)) for i in range(3)]))
        live = Node(layers=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        for i in range(3):
            live.layers.append(Node(w=variable(9)))
            assert i == live.layers[i].w[0]
        status.assert_consumed()

    def test_items_of_a_plain_dict_are_noticed_by_a_status_call(self, tmp_path):
        """A status looks for what has come into containers."""
        path = write(tmp_path, m=Node(d={"a": variable(1), 2: variable(2)}))
        live = Node(d={})
        status = ckpt.Checkpoint(m=live).restore(path)
        late = variable(0)
        live.d["a"], live.d[2] = late, variable(0)
        status.assert_consumed()
        assert [1, 2] == [late[0], live.d[2][0]]

    def test_a_container_assigned_where_one_waits_takes_over_what_waits(self, tmp_path):
        """Items that a replaced list lacked arrive in the list that replaces it."""
        path = write(tmp_path, m=Node(layers=[variable(1), variable(2)]))
        live = Node(layers=[variable(0)])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers = [live.layers[0], variable(0)]
        assert [1, 2] == [v[0] for v in live.layers]
        status.assert_consumed()

    def test_a_none_that_waits_for_an_object_is_not_missing(self, tmp_path):
        """A declared None waits for the Trackable that is assigned later."""
        path = write(tmp_path, m=Declared(x=variable(1)))
        live = Declared(x=None)
        status = ckpt.Checkpoint(m=live).restore(path)
        assert () == tuple(status.report().missing)
        live.x = variable(0)
        assert 1 == live.x[0]
        status.assert_consumed()

    def test_attributes_of_a_checkpoint_may_come_later(self, tmp_path):
        """A dependency added to the Checkpoint after restore is matched."""
        path = write(tmp_path, a=variable(1), step=3)
        late = ckpt.Checkpoint()
        status = late.restore(path)
        late.step = 0
        late.a = variable(0)
        assert (3, 1) == (late.step, late.a[0])
        status.assert_consumed()

    def test_attrs_classes_with_slots_receive_late_values(self, tmp_path):
        """The __setattr__ that attrs generates does not bypass what waits."""

        @attrs.define(eq=False)
        class Model(ckpt.Trackable):
            w: Any = attrs.field(default=None, validator=lambda *_: None)
            n: int = ckpt.tracked(default=0, converter=int)

        path = write(tmp_path, m=Model(w=variable(4), n=2))
        live = Model()
        status = ckpt.Checkpoint(m=live).restore(path)
        assert 2 == live.n
        live.w = variable(0)
        assert 4 == live.w[0]
        status.assert_consumed()

    def test_a_value_that_does_not_fit_is_refused_when_it_comes(self, tmp_path):
        """The attribute is set, its value is not, the error is raised once and kept."""
        path = write(tmp_path, m=Node(w=variable(1, 2)))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        late = variable(0)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/w"):
            live.w = late
        assert live.w is late
        assert 0 == late[0]
        assert ["m/w"] == [entry.path for entry in status.report().mismatched]
        with pytest.raises(ckpt.UnmatchedError, match="did not fit"):
            status.assert_consumed()

    def test_values_may_arrive_in_several_threads(self, tmp_path):
        """Objects created by many threads are each restored, and once."""
        path = write(tmp_path, m=Node(d={str(i): Node(w=variable(i)) for i in range(64)}))
        live = Node(d={})
        status = ckpt.Checkpoint(m=live).restore(path)

        def create(start):
            for i in range(start, 64, 4):
                live.d[str(i)] = Node(w=variable(-1))
                assert i == live.d[str(i)].w[0]

        threads = [threading.Thread(target=create, args=(s,)) for s in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status.assert_consumed()


class TestAliases:
    def test_an_alias_that_appears_later_fails_nothing(self, tmp_path):
        """An edge to an object that is matched already waits without being pending."""
        shared = variable(1)
        path = write(tmp_path, a=shared, b=shared)
        live = ckpt.Checkpoint(a=variable(0))
        status = live.restore(path).assert_consumed()
        live.b = live.a
        status.assert_consumed()

    def test_a_second_object_at_an_alias_is_read_again(self, tmp_path):
        """Another object that comes under the other name receives the value and is split (R-12)."""
        shared = variable(1)
        path = write(tmp_path, a=shared, b=shared)
        live = ckpt.Checkpoint(a=variable(0))
        status = live.restore(path)
        live.b = variable(0)
        assert 1 == live.b[0]
        assert ["b"] == [entry.path for entry in status.report().split]

    def test_an_array_that_comes_to_an_alias_becomes_the_same_array(self, tmp_path):
        """Two names of one stored array lead to one array again."""
        shared = np.arange(2)
        path = write(tmp_path, m=Node(a=Declared(x=shared), b=Declared(x=shared)))
        live = Node(a=Declared(), b=Declared())
        status = ckpt.Checkpoint(m=live).restore(path)
        live.a.x = live.b.x = np.zeros(2, int)
        status.assert_consumed()
        assert live.a.x is live.b.x


class TestOrder:
    def test_the_latest_restore_wins_for_an_object_that_comes_later(self, tmp_path):
        """Both restores count the value as matched; the newer one's is assigned (R-11)."""
        old = write(tmp_path, "old", m=Node(w=variable(1)))
        new = write(tmp_path, "new", m=Node(w=variable(2)))
        live = Node()
        first = ckpt.Checkpoint(m=live).restore(old)
        second = ckpt.Checkpoint(m=live).restore(new)
        live.w = variable(0)
        assert 2 == live.w[0]
        first.assert_consumed()
        second.assert_consumed()

    def test_the_order_of_restores_decides_not_that_of_attachment(self, tmp_path):
        """An object reachable from two roots keeps the value of the later restore."""
        old = write(tmp_path, "old", m=Node(w=variable(1)))
        new = write(tmp_path, "new", m=Node(w=variable(2)))
        a, b = Node(), Node()
        ckpt.Checkpoint(m=a).restore(old)
        ckpt.Checkpoint(m=b).restore(new)
        shared = variable(0)
        b.w = shared
        a.w = shared
        assert 2 == shared[0]

    def test_a_declared_value_follows_the_latest_restore_too(self, tmp_path):
        """For arrays and plain values the order counts for each edge."""
        old = write(tmp_path, "old", m=Declared(x=1))
        new = write(tmp_path, "new", m=Declared(x=2))
        live = Declared()
        first = ckpt.Checkpoint(m=live).restore(old)
        ckpt.Checkpoint(m=live).restore(new)
        live.x = 0
        assert 2 == live.x
        first.assert_consumed()

    def test_an_older_restore_still_gives_what_the_newer_one_lacks(self, tmp_path):
        """Values that only the older checkpoint holds keep waiting."""
        old = write(tmp_path, "old", m=Node(w=variable(1), v=variable(5)))
        new = write(tmp_path, "new", m=Node(w=variable(2)))
        live = Node()
        ckpt.Checkpoint(m=live).restore(old)
        ckpt.Checkpoint(m=live).restore(new)
        live.w, live.v = variable(0), variable(0)
        assert [2, 5] == [live.w[0], live.v[0]]

    def test_an_assertion_accepts_what_a_later_restore_gave(self, tmp_path):
        """An object that a later restore has overwritten counts as matched for the older one."""
        old = write(tmp_path, "old", m=Node(w=variable(1)))
        new = write(tmp_path, "new", w=variable(2))
        live = Node(w=variable(0))
        first = ckpt.Checkpoint(m=live).restore(old)
        ckpt.Checkpoint(w=live.w).restore(new)
        first.assert_consumed()
        assert 2 == live.w[0]

    def test_a_value_assigned_by_the_user_stays(self, tmp_path):
        """A Variable put under a name that has been restored already is left alone."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = Node(w=variable(0))
        status = ckpt.Checkpoint(m=live).restore(path)
        live.w = variable(7)
        assert 7 == live.w[0]
        with pytest.raises(ckpt.UnmatchedError, match="m/w"):
            status.assert_existing_objects_matched()


class TestFiles:
    def test_deleting_the_checkpoint_loses_nothing_that_waits(self, tmp_path):
        """The files stay open while values wait for their objects."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = Node()
        ckpt.Checkpoint(m=live).restore(path)
        for name in os.listdir(tmp_path):
            os.remove(tmp_path / name)
        live.w = variable(0)
        assert 1 == live.w[0]

    def test_nor_is_anything_lost_that_waits_below_what_has_come(self, tmp_path):
        """An object that comes without all its parts keeps the files open for these."""
        path = write(tmp_path, m=Node(a=Node(b=Node(w=variable(1)))))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.a = Node()
        live.a.b = Node()
        for name in os.listdir(tmp_path):
            os.remove(tmp_path / name)
        live.a.b.w = variable(0)
        assert 1 == live.a.b.w[0]
        status.assert_consumed()

    def test_files_are_closed_once_nothing_waits(self, tmp_path):
        """No descriptor stays open after everything has been restored."""
        path = write(tmp_path, m=Node(w=variable(1)))
        before = len(os.listdir("/proc/self/fd"))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        assert before < len(os.listdir("/proc/self/fd"))
        live.w = variable(0)
        assert before == len(os.listdir("/proc/self/fd"))
        status.assert_consumed()

    def test_dropping_the_objects_frees_everything_at_once(self, tmp_path):
        """What waits keeps no object alive; files are closed too (R-13)."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1)), b=[Node(w=variable(2))]))
        before = len(os.listdir("/proc/self/fd"))
        gc.collect()
        gc.disable()
        try:
            live = Node(b=[])
            dead = weakref.ref(live)
            ckpt.Checkpoint(m=live).restore(path)
            assert waiting.anything()
            del live
            assert dead() is None
            assert not waiting.anything()
            assert before == len(os.listdir("/proc/self/fd"))
        finally:
            gc.enable()

    def test_a_caught_error_keeps_nothing_alive(self, tmp_path):
        """After a failed assertion or restore, dropping the objects frees them at once."""
        path = write(tmp_path, m=Node(w=variable(1), x=variable(2)))

        def fail_in_every_way() -> weakref.ref[Node]:
            live = Node(w=variable(0))
            checkpoint = ckpt.Checkpoint(m=live)
            with contextlib.suppress(ckpt.UnmatchedError):
                checkpoint.restore(path).assert_consumed()
            with contextlib.suppress(ckpt.UnmatchedError):
                checkpoint.restore(path, defer=False)
            with contextlib.suppress(ckpt.IncompatibleCheckpointError):
                live.x = variable(0, 0)
            with contextlib.suppress(ckpt.IncompatibleCheckpointError):
                checkpoint.restore(path)
            return weakref.ref(live)

        gc.collect()
        gc.disable()
        try:
            assert fail_in_every_way()() is None
        finally:
            gc.enable()

    def test_a_save_names_the_values_that_still_wait(self, tmp_path):
        """One warning lists them; none is given after expect_partial() (R-24)."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1))))
        live = ckpt.Checkpoint(m=Node())
        status = live.restore(path)
        with pytest.warns(ckpt.CheckpointWarning, match="m/a"):
            live.save(tmp_path / "again")
        status.expect_partial()
        live.save(tmp_path / "again")

    def test_copies_do_not_inherit_what_waits(self, tmp_path):
        """A deep copy of an object at which values wait is an object of its own."""
        import copy

        path = write(tmp_path, m=Node(w=variable(1)))
        live = Node()
        ckpt.Checkpoint(m=live).restore(path)
        twin = copy.deepcopy(live)
        twin.w = variable(0)
        assert 0 == twin.w[0]
        live.w = variable(0)
        assert 1 == live.w[0]
