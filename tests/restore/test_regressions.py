"""What was found by looking for trouble in restores (docs/restore.md), each fact by itself."""

import gc
import os
import shutil
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.restore.books import Books
from tests.harness.effort import effort, grows_linearly
from tests.restore.models import Node, variable


class Declared(Node):
    state_attributes = ("x", "y")


def write(tmp_path, name="model", **dependencies: Any) -> str:
    """Write a checkpoint of these values and return its path."""
    return ckpt.Checkpoint(**dependencies).write(tmp_path / name)


def paths(entries) -> list[str]:
    """The paths of the entries of a report."""
    return [entry.path for entry in entries]


def damage(path: str, where: float = 0.5) -> None:
    """Flip a byte of the first shard of a checkpoint, by default in the middle."""
    directory, name = os.path.split(path)
    shard = next(f for f in sorted(os.listdir(directory)) if f.startswith(name) and ".data" in f)
    with open(os.path.join(directory, shard), "r+b") as file:
        data = bytearray(file.read())
        data[int(len(data) * where)] ^= 0xFF
        file.seek(0)
        file.write(data)


class TestWaiting:
    def test_a_list_may_hold_variables_of_any_size(self, tmp_path):
        """Variables with several elements are noticed in a plain list."""
        path = write(tmp_path, m=Node(layers=[variable(1, 2), variable(3, 4)]))
        live = Node(layers=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers.append(variable(0, 0))
        live.layers.append(variable(0, 0))
        assert [[1, 2], [3, 4]] == [v.value.tolist() for v in live.layers]
        status.assert_consumed()

    def test_a_declared_list_may_hold_arrays_among_objects(self, tmp_path):
        """Arrays of several elements that come into a waiting list are noticed."""
        path = write(tmp_path, m=Declared(x=[Node(w=variable(1)), np.arange(3)]))
        live = Declared(x=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.x.append(Node(w=variable(0)))
        live.x.append(np.zeros(3, int))
        status.settle()
        assert [0, 1, 2] == live.x[1].tolist()
        status.assert_consumed()

    def test_what_a_late_container_has_no_place_for_is_unused(self, tmp_path):
        """A container that comes with fewer arrays than were saved leaves the rest unused."""
        path = write(tmp_path, m=Declared(x=[np.arange(2), np.arange(3)]))
        live = Declared()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.x = [np.zeros(2, int)]
        report = status.report()
        assert ([], ["m/x/1"]) == (paths(report.pending), paths(report.unused))

    def test_an_object_without_a_value_leaves_the_stored_one_unused(self, tmp_path):
        """Where an object without values comes for a stored Variable, nothing waits any more."""
        path = write(tmp_path, m=Node(a=variable(1)))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.a = Node()
        report = status.report()
        assert ([], ["m/a"]) == (paths(report.pending), paths(report.unused))

    def test_a_late_misfit_is_mismatched_and_nothing_else(self, tmp_path):
        """A value that does not fit when it comes is not missing, pending or unused as well."""
        path = write(tmp_path, m=Node(a=variable(1)))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        with pytest.raises(ckpt.IncompatibleCheckpointError):
            live.a = variable(0, 0)
        report = status.report()
        found = {
            c: paths(getattr(report, c)) for c in ("mismatched", "missing", "pending", "unused")
        }
        assert {"mismatched": ["m/a"], "missing": [], "pending": [], "unused": []} == found

    def test_a_late_misfit_leaves_the_whole_object_as_it_was(self, tmp_path):
        """Of an object that comes, nothing is assigned if a value of it does not fit."""
        path = write(tmp_path, m=Node(a=Node(b=variable(1), w=variable(2))))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/a/w"):
            live.a = Node(b=variable(0), w=variable(0, 0))
        report = status.report()
        assert (0, []) == (live.a.b.value[0], paths(report.pending))
        assert ["m/a/b"] == paths(report.missing) == paths(report.unused)

    def test_a_late_refusal_by_the_users_class_is_kept_in_the_report(self, tmp_path):
        """An object that refuses its late value is mismatched, and nothing of it is pending."""

        class Picky(ckpt.Trackable):
            def serialize_to_tensors(self):
                return {"v": np.zeros(2)}

            def restore_from_tensors(self, tensors):
                raise ValueError("no")

        path = write(tmp_path, m=Node(a=Picky()))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="no"):
            live.a = Picky()
        report = status.report()
        assert (1, 0) == (len(report.mismatched), len(report.pending))

    def test_objects_made_while_values_are_assigned_are_restored(self, tmp_path):
        """What a setter builds during the restore receives what waits for it."""

        class Built(ckpt.Trackable):
            state_attributes = ("size",)

            def __init__(self, size):
                self.size = size

            @property
            def size(self):
                return self._size

            @size.setter
            def size(self, size):
                self._size = size
                if size:
                    self.w = variable(*[0.0] * size)

        saved = Built(2)
        saved.w.assign([1, 2])
        path = write(tmp_path, m=saved)
        live = Built(0)
        status = ckpt.Checkpoint(m=live).restore(path)
        assert [1, 2] == live.w.value.tolist()
        status.assert_consumed()

    def test_shown_children_may_depend_on_a_variable(self, tmp_path):
        """An overridden trackable_children may read a Variable that nothing has restored."""

        class Shows(ckpt.Trackable):
            def __init__(self, count):
                self.count = variable(count)
                self.parts = [Node(w=variable(0)) for _ in range(3)]

            def trackable_children(self):
                shown = self.parts[: int(self.count.value[0])]
                return {str(i): part for i, part in enumerate(shown)}

        path = write(tmp_path, m=Shows(2))
        live = Shows(0)
        status = ckpt.Checkpoint(m=live).restore(path)
        live.count.assign([2])
        status.assert_consumed()

    def test_a_lost_weak_root_does_not_break_its_parts(self, tmp_path):
        """Parts that outlive a weakly held root can still be assigned to."""
        path = ckpt.Checkpoint(Node(part=Node(w=variable(1)))).write(tmp_path / "model")
        part = Node()
        root = Node(part=part)
        checkpoint = ckpt.Checkpoint(weakref.ref(root))
        checkpoint.restore(path)
        del root
        part.w = variable(0)
        assert checkpoint is not None
        assert part.w.value[0] in (0, 1)

    def test_damage_is_raised_once_and_does_not_stop_saving(self, tmp_path):
        """Values that cannot be read any more do not make every later save fail."""
        path = write(tmp_path, m=Node(layers=[Node(w=variable(*range(1000)))]))
        live = Node(layers=[])
        checkpoint = ckpt.Checkpoint(m=live)
        checkpoint.restore(path).expect_partial()
        damage(path)
        live.layers.append(Node(w=variable(*[0] * 1000)))
        with pytest.raises(ckpt.CorruptCheckpointError):
            _ = live.layers[0].w.value
        assert 0 == live.layers[0].w.value[0]
        checkpoint.write(tmp_path / "other")

    def test_an_interrupt_loses_nothing_that_waits(self, tmp_path):
        """A value whose arrival is interrupted is not lost without a trace."""

        class Slow(ckpt.Trackable):
            interrupted = False
            received = None

            def serialize_to_tensors(self):
                return {"v": np.ones(2)}

            def restore_from_tensors(self, tensors):
                if not Slow.interrupted:
                    Slow.interrupted = True
                    raise KeyboardInterrupt
                self.received = tensors["v"]

        path = write(tmp_path, m=Node(a=Slow()))
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        with pytest.raises(KeyboardInterrupt):
            live.a = Slow()
        live.a = Slow()
        assert live.a.received is not None
        status.assert_consumed()

    def test_values_that_waited_at_a_dead_object_are_unused(self, tmp_path):
        """What waited at an object that is gone is not said to wait."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1))))
        live = Node(a=Node())
        status = ckpt.Checkpoint(m=live).restore(path)
        del live.a
        report = status.report()
        assert ([], ["m/a/w"]) == (paths(report.pending), paths(report.unused))

    def test_none_that_waits_draws_no_warning(self, tmp_path):
        """A stored None, or an empty container, that nothing took fails and warns of nothing."""
        path = write(tmp_path, m=Declared(x=None, y=[]))
        live = Node()
        checkpoint = ckpt.Checkpoint(m=live)
        checkpoint.restore(path).assert_consumed()
        checkpoint.write(tmp_path / "other")

    def test_a_plain_value_does_not_use_up_what_waits_for_an_object(self, tmp_path):
        """A number under the waiting name of an object leaves it to the object that comes next."""
        path = write(tmp_path, m=Declared(x=Node(w=variable(1))))
        live = Declared()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.x = 5
        live.x = Node(w=variable(0))
        report = status.report()
        # the first object that comes; else, at the least, nothing is said to wait.
        assert 1 == live.x.w.value[0] or [] == paths(report.pending)

    def test_repeated_restores_keep_no_more_files_open(self, tmp_path):
        """Restoring again and again while one value waits does not use up file descriptors."""
        path = write(tmp_path, m=Node(a=variable(1), b=variable(2)))
        checkpoint = ckpt.Checkpoint(m=Node(a=variable(0)))
        checkpoint.restore(path).expect_partial()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            checkpoint.restore(path).expect_partial()
        assert before == len(os.listdir("/proc/self/fd"))

    @pytest.mark.parametrize("key", [int, str])
    def test_items_that_come_one_by_one_into_a_dict_are_restored(self, tmp_path, key):
        """A thousand items set one by one, each used at once, are all restored."""
        count = 1000
        path = write(tmp_path, m=Node(d={key(i): Node(w=variable(i)) for i in range(count)}))
        live = Node(d={})
        status = ckpt.Checkpoint(m=live).restore(path)
        for i in range(count):
            live.d[key(i)] = Node(w=variable(-1))
            assert i == live.d[key(i)].w.value[0]
        status.assert_consumed()

    def test_a_chain_that_grows_link_by_link_is_restored(self, tmp_path):
        """A thousand nested objects, assigned one by one from the outermost on."""
        saved = last = Node()
        for _ in range(1000):
            last.next = Node()
            last = last.next
        last.w = variable(1)
        path = write(tmp_path, m=saved)
        live = link = Node()
        ckpt.Checkpoint(m=live).restore(path)
        for _ in range(1000):
            link.next = Node()
            link = link.next
        link.w = variable(0)
        assert 1 == link.w.value[0]

    def test_values_that_come_one_by_one_are_linear_work(self, tmp_path):
        """What else waits at the same object is not looked at for each value that comes."""

        def attributes(number: int) -> int:
            path = write(tmp_path, m=Node(**{f"w{i}": variable(i) for i in range(number)}))
            live = Node()
            ckpt.Checkpoint(m=live).restore(path)
            names = [f"w{i}" for i in range(number)]
            return effort(lambda: [setattr(live, name, variable(0)) for name in names])

        def lists(number: int) -> int:
            saved = Node(**{f"l{i}": [variable(i)] for i in range(number)})
            path = write(tmp_path, m=saved)
            live = Node(**{f"l{i}": [] for i in range(number // 8)})
            ckpt.Checkpoint(m=live).restore(path)
            live.l0.append(variable(9))
            return effort(lambda: [setattr(live, f"l{i}", [variable(9)]) for i in range(1, number)])

        assert grows_linearly(attributes)
        assert grows_linearly(lists)


class TestAliases:
    def test_a_second_object_is_missing_once_the_checkpoint_is_gone(self, tmp_path):
        """An object that comes to an alias when the files are gone is missing, with the reason."""
        shared = Node(w=variable(1))
        path = write(tmp_path / "d", m=Node(a=shared, b=shared))
        live = Node(a=Node(w=variable(0)))
        status = ckpt.Checkpoint(m=live).restore(path)
        shutil.rmtree(tmp_path / "d")
        live.b = Node(w=variable(5))
        missing = status.report().missing
        assert (["m/b/w"], 5) == (paths(missing), live.b.w.value[0])
        assert "not in the checkpoint" != missing[0].reason

    def test_a_large_plain_value_is_read_again_for_an_alias(self, tmp_path):
        """A plain value that is stored among the tensors is read again too."""
        shared = Declared(x=list(range(100_000)))
        path = write(tmp_path, m=Node(a=shared, b=shared))
        live = Node(a=Declared(x=[0]))
        ckpt.Checkpoint(m=live).restore(path)
        late = Declared(x=[0])
        live.b = late
        assert 100_000 == len(late.x)

    def test_an_array_that_fills_two_empty_places_is_one_array(self, tmp_path):
        """A stored array under two names comes back as one array in two empty places."""
        array = np.arange(3)
        path = write(tmp_path, m=Declared(x=array, y=array))
        live = Declared(x=None, y=None)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert live.x is live.y

    def test_a_shared_list_is_matched_whichever_way_leads_to_it(self, tmp_path):
        """Items of a list under two names are restored though only the longer way was saved."""
        path = write(tmp_path, m=Node(sub=Node(b=[variable(1), 7])))
        shared = [variable(0), 0]
        status = ckpt.Checkpoint(m=Node(a=shared, sub=Node(b=shared))).restore(path)
        assert 7 == shared[1]
        assert [] == paths(status.report().missing)

    def test_the_first_of_two_stored_lists_wins_in_one_live_one(self, tmp_path):
        """Of two stored lists for one live list, plain items come from the first."""
        path = write(tmp_path, m=Node(a=[variable(1), 7], b=[variable(1), 8]))
        shared = [variable(0), 0]
        status = ckpt.Checkpoint(m=Node(a=shared, b=shared)).restore(path)
        assert 7 == shared[1]
        assert ["m/b/1"] == paths(status.report().unused)


class TestFirstWins:
    def test_the_first_of_two_stored_plain_values_wins_though_the_other_comes_later(self, tmp_path):
        """Of two stored objects for one live one, a plain value is that of the first to be met."""
        path = write(tmp_path, a=Declared(x=1), b=Declared(x=2))
        live = Declared(x=0)
        checkpoint = ckpt.Checkpoint(a=live)
        status = checkpoint.restore(path)
        checkpoint.b = live
        assert 1 == live.x
        assert ["b/x"] == paths(status.report().unused)

    def test_what_the_program_assigned_stays_when_an_equal_value_comes(self, tmp_path):
        """A second stored object for a live one does not undo an assignment."""
        path = write(tmp_path, a=Declared(x=1), b=Declared(x=1))
        live = Declared(x=0)
        checkpoint = ckpt.Checkpoint(a=live)
        status = checkpoint.restore(path)
        live.x = 5
        checkpoint.b = live
        assert 5 == live.x
        status.assert_consumed()

    def test_a_slot_comes_with_the_stored_variable_that_gave_the_value(self, tmp_path):
        """Of two stored variables for one live one, the first gives the value and the slots."""
        shared, w, optimizer = variable(1), variable(2), ckpt.SlotTrackable()
        optimizer.add_slot(shared, "m", np.array([10.0]))
        optimizer.add_slot(w, "m", np.array([20.0]))
        # Matching meets `m/w` first; in the checkpoint, `shared` comes before it.
        path = write(tmp_path, m=Node(z=shared, w=w), o=optimizer, n=Node(w=shared))
        w, live = variable(0), ckpt.SlotTrackable()
        ckpt.Checkpoint(m=Node(w=w), o=live, n=Node(w=w)).restore(path)
        assert (2, 20) == (w[0], live.get_slot(w, "m")[0])

    def test_an_object_without_values_is_no_giver(self, tmp_path):
        """A stored object without a value leaves the older one's value to another that has it."""
        path = write(tmp_path, a=Node(), b=variable(1))
        newer = write(tmp_path, "newer", a=variable(2))
        checkpoint = ckpt.Checkpoint()
        first, _ = checkpoint.restore(path), checkpoint.restore(newer)
        checkpoint.a = shared = variable(0)
        checkpoint.b = shared
        assert 2 == shared[0]
        assert [] == paths(first.report().unused)


class TestLatestWins:
    def test_an_older_restore_gives_slots_whose_variable_and_optimizer_wait_apart(self, tmp_path):
        """It does so though its status is gone and a newer restore has the variable."""
        w, optimizer = variable(1), ckpt.SlotTrackable()
        optimizer.add_slot(w, "m", "ones")
        with_slots = write(tmp_path, "with", w=w, optimizer=optimizer)
        without = write(tmp_path, "without", w=w)
        live = ckpt.Checkpoint()
        live.read(with_slots)
        live.read(without)
        live.w = variable(0)
        live.optimizer = ckpt.SlotTrackable()
        assert 1 == live.optimizer.get_slot(live.w, "m")[0]

    def test_an_older_restore_gives_slots_where_a_newer_one_renames(self, tmp_path):
        """What a newer restore looks for elsewhere, the older one gives."""

        class Optimizer(ckpt.SlotTrackable):
            pass

        w, optimizer = variable(1), Optimizer()
        optimizer.v = variable(2)
        optimizer.add_slot(w, "m", "ones")
        path = write(tmp_path, w=w, optimizer=optimizer)
        live = ckpt.Checkpoint(w=variable(0))
        live.read(path)
        live.read(path, rename={"other": "optimizer", "optimizer/v": "optimizer/v"})
        live.optimizer = Optimizer()
        assert 1 == live.optimizer.get_slot(live.w, "m")[0]

    def test_an_older_restore_that_waits_under_another_name_is_not_let_go_of(self, tmp_path):
        """A class's older name lets it wait where the newer restore does not, and gives a slot."""

        class Renamed(Node):
            renamed: ClassVar = {"v1": "v0"}

        v0, optimizer = variable(1), ckpt.SlotTrackable()
        optimizer.add_slot(v0, "m", np.array([5.0]))
        path = write(tmp_path, m=Node(v0=v0), n=optimizer)
        live = ckpt.Checkpoint(m=Renamed())
        live.read(path)
        live.m.v0 = variable(0)
        live.read(path)
        live.m.v1 = variable(0)
        live.n = ckpt.SlotTrackable()
        assert 1 == live.m.v1[0]
        assert 5 == live.n.get_slot(live.m.v1, "m")[0]

    def test_an_older_restore_gives_what_a_newer_selection_leaves_out(self, tmp_path):
        """A newer restore of a part waits in the same place, but not for all that is there."""
        path = write(tmp_path, m=Node(a=variable(1), b=variable(2)))
        live = ckpt.Checkpoint()
        live.read(path)
        live.read(path, skip="m/b")
        live.m = Node(a=variable(0), b=variable(0))
        assert (1, 2) == (live.m.a[0], live.m.b[0])

    def test_an_older_restore_is_not_let_go_of_while_its_turn_is_to_come(self, tmp_path):
        """What arrives for a newer restore first may let it wait where the older one waits too."""
        path = write(tmp_path, m=Node(a=variable(1), v=variable(2)))
        box = Node()
        live = ckpt.Checkpoint(p=box)
        live.read(path, rename={"p": "m", "m/b": "m/a"})
        live.read(path)
        live.m = box
        box.b = variable(0)
        assert 1 == box.b[0]

    def test_an_interrupt_loses_nothing_that_waits_for_older_restores(self, tmp_path):
        """All restores whose turn was still to come wait on."""
        paths = [
            write(tmp_path, str(n), m=Node(**{name: variable(n)}))
            for n, name in ((1, "a"), (2, "b"))
        ]

        class Interrupted(Node):
            is_ready = False

            def trackable_children(self):
                if not self.is_ready:
                    raise KeyboardInterrupt
                return super().trackable_children()

        live = ckpt.Checkpoint()
        statuses = [live.read(path) for path in paths]
        late = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            live.m = late
        late.is_ready = True
        late.a, late.b = variable(0), variable(0)
        live.m = late
        assert (1, 2) == (late.a[0], late.b[0])
        for status in statuses:
            status.assert_nontrivial_match()

    def test_restores_whose_slots_wait_apart_do_not_pile_up(self, tmp_path):
        """A variable and its optimizer that wait at two places are let go of as ever."""
        w, optimizer = variable(1), ckpt.SlotTrackable()
        optimizer.add_slot(w, "m", "ones")
        path = write(tmp_path, w=w, optimizer=optimizer)
        live = ckpt.Checkpoint()
        live.read(path)
        gc.collect()
        before = sum(isinstance(o, Books) for o in gc.get_objects())
        for _ in range(5):
            live.read(path)
        gc.collect()
        assert before == sum(isinstance(o, Books) for o in gc.get_objects())

    def test_an_older_restore_counts_items_where_a_newer_gave_the_whole(self, tmp_path):
        """Values of a container that a newer restore replaced are matched for the older one."""
        older = write(tmp_path, "older", m=Declared(x=[np.array(1), 2]))
        newer = write(tmp_path, "newer", m=Declared(x=[3, 4]))
        live = Declared()
        checkpoint = ckpt.Checkpoint(m=live)
        first, second = checkpoint.restore(older), checkpoint.restore(newer)
        live.x = [0, 0]
        assert [3, 4] == live.x
        second.assert_consumed()
        first.assert_consumed()

    def test_an_older_status_counts_items_of_what_a_newer_gave_as_a_whole(self, tmp_path):
        """An item of a container that a later restore gave is not missing for the older one."""
        older = write(tmp_path, "older", m=Declared(y=1))
        newer = write(tmp_path, "newer", m=Declared(x=[3, 4], y=1))
        live = Declared(x=[0, 0], y=0)
        checkpoint = ckpt.Checkpoint(m=live)
        first, _ = checkpoint.restore(older), checkpoint.restore(newer)
        live.x[0] = np.array(9)  # now each item is a value of its own
        first.assert_existing_objects_matched()

    def test_an_older_whole_does_not_replace_newer_items(self, tmp_path):
        """A container that a newer restore matched item by item stays as it is."""
        older = write(tmp_path, "older", m=Declared(x=[3, 4]))
        newer = write(tmp_path, "newer", m=Declared(x=[np.array(1), 2]))
        live = Declared()
        checkpoint = ckpt.Checkpoint(m=live)
        checkpoint.restore(older)
        checkpoint.restore(newer)
        live.x = [0, 0, 0]
        assert [1, 2, 0] == live.x


class TestRenaming:
    def test_what_follows_a_moved_object_waits(self, tmp_path):
        """Where an object takes the place of what held it, its own parts may still come."""
        head = Node(v=variable(1), next=Node(v=variable(2), next=Node(v=variable(3))))
        path = write(tmp_path, head=head)
        live = ckpt.Checkpoint(head=Node(v=variable(0)))
        live.restore(path, rename={"head": "head/next"})
        live.head.next = Node(v=variable(0))
        assert (2, 3) == (live.head.v[0], live.head.next.v[0])

    def test_what_stands_under_an_older_name_by_now_waits(self, tmp_path):
        """A path that another object has taken over leads to that object's parts."""
        path = write(tmp_path, a=Node(x=variable(1)), c=Node(x=variable(3)))
        live = ckpt.Checkpoint(a=Node())
        live.restore(path, rename={"a": "c", "d": "a/x"})
        live.a.x, live.d = variable(0), variable(0)
        assert (3, 1) == (live.a.x[0], live.d[0])


class TestTracking:
    def test_a_declared_name_can_be_tracked_before_it_is_an_attribute(self, tmp_path):
        """What was tracked under a name of `state_attributes` is saved and restored."""
        saved, live = Declared(), Declared()
        saved.track("x", 7)
        live.track("x", 0)
        path = write(tmp_path, m=saved)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert {"x": 7} == live.trackable_children()


class TestOptions:
    def test_skip_holds_inside_a_plain_container(self, tmp_path):
        """Items of a plain dict can be left out by their paths."""
        path = write(tmp_path, m=Declared(x={"a": 1, "b": 2}))
        live = Declared(x={"a": 5, "b": 6})
        ckpt.Checkpoint(m=live).restore(path, skip="m/x/a")
        assert {"a": 5, "b": 2} == live.x

    def test_skip_holds_where_an_empty_container_is_filled(self, tmp_path):
        """What is left out does not fill an empty container."""
        path = write(tmp_path, m=Declared(x={"a": np.array(1), "b": np.array(2)}))
        live = Declared(x={})
        ckpt.Checkpoint(m=live).restore(path, skip="m/x/a")
        assert {"b": 2} == live.x

    def test_only_fills_a_part_of_an_empty_container(self, tmp_path):
        """An empty dict is filled with those stored arrays that `only` names."""
        path = write(tmp_path, m=Declared(x={"a": np.array(1), "b": np.array(2)}))
        live = Declared(x={})
        ckpt.Checkpoint(m=live).restore(path, only="m/x/b")
        assert {"b": 2} == live.x

    def test_defer_false_accepts_two_equal_stored_objects_in_one(self, tmp_path):
        """`defer=False` passes whenever `assert_consumed` would."""
        path = write(tmp_path, m=Node(a=variable(1), b=variable(1)))
        shared = variable(0)
        checkpoint = ckpt.Checkpoint(m=Node(a=shared, b=shared))
        checkpoint.restore(path).assert_consumed()
        checkpoint.restore(path, defer=False).assert_consumed()

    def test_shapes_skip_leaves_another_shape_of_another_dtype_too(self, tmp_path):
        """A value of another shape is left as it is, whatever its dtype."""
        path = write(tmp_path, m=Node(w=variable(1, 2)))
        live = Node(w=ckpt.Variable(np.float32(0)))
        status = ckpt.Checkpoint(m=live).restore(path, shapes="skip")
        assert ["m/w"] == paths(status.report().skipped)


class TestValues:
    def test_plain_numbers_restore_into_variables_item_by_item(self, tmp_path):
        """A stored list of numbers restores into a list of 0-d Variables."""
        path = write(tmp_path, m=Declared(x=[1.0, 2.0]))
        live = Declared(x=[ckpt.Variable(0.0), ckpt.Variable(0.0)])
        status = ckpt.Checkpoint(m=live).restore(path)
        assert [1, 2] == [v.value for v in live.x]
        status.assert_consumed()

    def test_an_item_of_a_plain_list_without_a_place_is_unused(self, tmp_path):
        """What a container that is matched item by item lacks is unused."""
        path = write(tmp_path, m=Declared(x=[1, 2, 3]))
        live = Declared(x=[np.array(0), 0])
        status = ckpt.Checkpoint(m=live).restore(path)
        assert [1, 2] == live.x
        assert ["m/x/2"] == paths(status.report().unused)

    def test_a_set_where_items_are_matched_is_unused(self, tmp_path):
        """A stored set that stands against a list of arrays is unused, not forgotten."""
        path = write(tmp_path, m=Declared(x={1, 2}))
        status = ckpt.Checkpoint(m=Declared(x=[np.array(0)])).restore(path)
        assert ["m/x"] == paths(status.report().unused)

    def test_a_property_without_setter_is_refused_before_anything_is_assigned(self, tmp_path):
        """A declared plain property that cannot be set is a mismatch, found in time."""

        class Fixed(ckpt.Trackable):
            state_attributes = ("count",)

            def __init__(self, value):
                self.w = variable(value)

            @property
            def count(self):
                return 3

        path = write(tmp_path, m=Fixed(1))
        live = Fixed(0)
        with pytest.raises(ckpt.IncompatibleCheckpointError):
            ckpt.Checkpoint(m=live).restore(path)
        assert 0 == live.w.value[0]

    def test_a_tuple_at_two_depths_is_replaced_at_both(self, tmp_path):
        """Tuples around a shared tuple keep all their new items."""

        def model(first, second):
            inner = (np.array([1.0]), first)
            return Declared(x=(inner,), y=((((inner, second),),),))

        path = write(tmp_path, m=model(2, 7))
        live = model(0, 0)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        inner, second = live.y[0][0][0]
        assert (2, 7, True) == (inner[1], second, inner is live.x[0])

    def test_an_empty_root_list_is_filled(self, tmp_path):
        """A root that is an empty list is filled with stored arrays and plain values."""
        path = ckpt.Checkpoint([np.arange(2), 3]).write(tmp_path / "model")
        live: list[Any] = []
        ckpt.Checkpoint(live).restore(path).assert_consumed()
        assert 2 == len(live)


class TestErrors:
    def test_damage_in_a_compared_value_carries_the_report(self, tmp_path):
        """Values for one object are compared before anything is assigned, so nothing was."""
        first, second = variable(*range(100_000)), variable(*range(100_000, 200_000))
        path = write(tmp_path, m=Node(a=first, b=second))
        damage(path, 0.9)
        shared = variable(*[0] * 100_000)
        with pytest.raises(ckpt.CorruptCheckpointError) as raised:
            ckpt.Checkpoint(m=Node(a=shared, b=shared)).restore(path)
        assert [] == paths(raised.value.report.restored)
        assert 0 == shared[0]

    def test_damage_in_a_large_plain_value_carries_a_report(self, tmp_path):
        """Damage found while matching carries a report too."""
        path = write(tmp_path, m=Declared(x=list(range(100_000))))
        damage(path)
        with pytest.raises(ckpt.CorruptCheckpointError) as raised:
            ckpt.Checkpoint(m=Declared(x=[0])).restore(path)
        assert [] == list(raised.value.report.restored)
