"""Slot variables belong to pairs of optimizer and variable (docs/restore.md, R-27)."""

from __future__ import annotations

import copy
import gc
import itertools
import os
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Node, nothing_is_left_waiting, variable


class Optimizer(ckpt.SlotTrackable):
    state_attributes = ("step",)

    def __init__(self, step: int = 0) -> None:
        self.step = step


def never(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Fail, as an initializer that must not run."""
    raise AssertionError("the initializer ran")


def trained() -> tuple[Node, Optimizer]:
    """A model of two variables and an optimizer with three slots."""
    model, optimizer = Node(w=variable(1, 2, name="w"), b=variable(3)), Optimizer(7)
    optimizer.add_slot(model.w, "momentum", np.array([4.0, 5.0]))
    optimizer.add_slot(model.b, "momentum", np.array([6.0]))
    optimizer.add_slot(model.w, "count", np.int32(8))
    return model, optimizer


@pytest.fixture
def path(tmp_path) -> str:
    """A checkpoint of a model and an optimizer with slots."""
    model, optimizer = trained()
    return ckpt.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "trained")


@pytest.fixture(autouse=True)
def _nothing_is_left_waiting():
    """Whatever waits in a test is gone once its objects are."""
    with nothing_is_left_waiting():
        yield


class TestAddSlot:
    def test_a_slot_is_of_the_shape_and_dtype_of_its_variable(self):
        """Words and callables make a slot like the variable; it is not trainable."""
        w, optimizer = ckpt.Variable(np.ones((2, 3), np.float16), name="w"), Optimizer()
        zeros, ones = optimizer.add_slot(w, "m"), optimizer.add_slot(w, "v", "ones")
        random = optimizer.add_slot(w, "r", lambda shape, dtype: np.full(shape, 2, dtype))
        assert ["m", "v", "r"] == optimizer.get_slot_names()
        assert [((2, 3), np.float16)] * 3 == [(s.shape, s.dtype) for s in (zeros, ones, random)]
        assert [0, 6, 12] == [s.value.sum() for s in (zeros, ones, random)]
        assert ("w/m", False) == (zeros.name, zeros.trainable)

    def test_an_array_gives_its_own_shape_and_dtype(self):
        """So a half-precision variable can have a slot of full precision."""
        w, optimizer = ckpt.Variable(np.ones(2, np.float16)), Optimizer()
        assert np.float32 == optimizer.add_slot(w, "m", np.zeros(2, np.float32)).dtype
        assert () == optimizer.add_slot(w, "n", np.int64(3)).shape
        assert np.float16 == optimizer.add_slot(w, "l", [1.0, 2.0]).dtype

    def test_adding_a_slot_again_returns_it(self):
        """The initializer is not looked at then."""
        w, optimizer = variable(1), Optimizer()
        slot = optimizer.add_slot(w, "m", "ones")
        slot.assign([5])
        assert slot is optimizer.add_slot(w, "m", never)
        assert slot is optimizer.get_slot(w, "m")
        assert 5 == slot[0]

    def test_a_slot_of_another_shape_or_dtype_is_refused(self):
        """What exists is never replaced in silence."""
        w, optimizer = variable(1), Optimizer()
        optimizer.add_slot(w, "m")
        with pytest.raises(ValueError, match=r"'m' is float64 \(1,\).*float64 \(2,\) is asked"):
            optimizer.add_slot(w, "m", np.zeros(2))
        with pytest.raises(ValueError, match="float32"):
            optimizer.add_slot(w, "m", np.zeros(1, np.float32))

    def test_slots_are_kept_apart_by_identity(self):
        """Two equal variables have slots of their own; one without a slot gives None."""
        a, b, c, optimizer = variable(1), variable(1), variable(1), Optimizer()
        slots = optimizer.add_slot(a, "m"), optimizer.add_slot(b, "m")
        assert slots[0] is not slots[1]
        assert optimizer.get_slot(c, "m") is None
        assert optimizer.get_slot(a, "n") is None

    @pytest.mark.parametrize(("of", "name"), [([1.0], "m"), (ckpt.Variable(1.0), 3)])
    def test_wrong_arguments_are_refused(self, of, name):
        """A slot belongs to a Variable, under a name."""
        with pytest.raises(TypeError, match="expected a"):
            Optimizer().add_slot(of, name)

    def test_slots_go_with_their_variable(self):
        """What was kept for a variable is freed with it, by counting references."""
        w, optimizer = variable(1), Optimizer()
        slot = weakref.ref(optimizer.add_slot(w, "m"))
        gc.disable()
        try:
            del w
            assert slot() is None
        finally:
            gc.enable()

    @pytest.mark.parametrize(
        "copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))], ids=["deep", "pickle"]
    )
    def test_copies_keep_slots_for_copied_variables(self, copied):
        """The copy of an optimizer keeps copies of the slots, for the copies of the variables."""
        model, optimizer = trained()
        twin = copied(Node(model=model, optimizer=optimizer))
        slot = twin.optimizer.get_slot(twin.model.w, "momentum")
        slot.assign([0, 0])
        assert twin.optimizer.get_slot(model.w, "momentum") is None
        assert [4, 5] == optimizer.get_slot(model.w, "momentum").value.tolist()

    def test_a_shallow_copy_shares_the_slots(self):
        """It begins with the same slots; what is added later is its own."""
        model, optimizer = trained()
        twin = copy.copy(optimizer)
        assert twin.get_slot(model.w, "momentum") is optimizer.get_slot(model.w, "momentum")
        twin.add_slot(model.w, "more")
        assert optimizer.get_slot(model.w, "more") is None


class TestSaving:
    def test_the_keys_are_those_of_tensorflow(self, path):
        """The variable's path, then the optimizer's, then the name of the slot."""
        slots = [key for key, _ in ckpt.list_variables(path) if ".OPTIMIZER_SLOT" in key]
        assert [
            "model/b/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE",
            "model/w/.OPTIMIZER_SLOT/optimizer/count/.ATTRIBUTES/VARIABLE_VALUE",
            "model/w/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE",
        ] == slots

    def test_names_are_escaped_once(self, tmp_path):
        """The name of a slot is a local name; the optimizer's path is one already."""
        w, optimizer = variable(1), Optimizer()
        optimizer.add_slot(w, "a/b.c")
        path = ckpt.Checkpoint(w=w, parts={"x/y": optimizer}).write(tmp_path / "m")
        key = "w/.OPTIMIZER_SLOT/parts/x.Sy/a.Sb..c/.ATTRIBUTES/VARIABLE_VALUE"
        assert key in dict(ckpt.list_variables(path))
        assert [0] == ckpt.load_variable(path, key).tolist()

    @pytest.mark.parametrize("left_out", ["model", "optimizer"])
    def test_slots_are_saved_only_if_both_can_be_reached(self, tmp_path, left_out):
        """Neither a variable without its optimizer nor an optimizer without it has slots."""
        model, optimizer = trained()
        parts = {"model": model, "optimizer": optimizer}
        del parts[left_out]
        path = ckpt.Checkpoint(**parts).write(tmp_path / "part")
        with ckpt.load_checkpoint(path) as reader:
            assert [] == reader.graph.slot_variables()
            assert not any(".OPTIMIZER_SLOT" in key for key, _ in ckpt.list_variables(path))

    def test_slot_nodes_come_last_by_optimizer_name_and_variable(self, tmp_path):
        """The order of nodes is that of optimizers, then of slot names, then of variables."""
        model, first = trained()
        second = Optimizer()
        second.add_slot(model.b, "momentum")
        path = ckpt.Checkpoint(a=first, m=model, z=second).write(tmp_path / "m")
        with ckpt.load_checkpoint(path) as reader:
            slots = reader.graph.slot_variables()
            w, b = (dict(reader.graph.children(2))[name] for name in "wb")
        rows = [(1, w, "momentum"), (1, b, "momentum"), (1, w, "count"), (3, b, "momentum")]
        assert rows == [(s.optimizer, s.variable, s.slot_name) for s in slots]
        assert [8, 9, 10, 11] == [s.slot_variable for s in slots]
        assert [] == ckpt.verify(path)

    def test_a_slot_that_is_also_an_attribute_is_one_node(self, tmp_path):
        """It has the key of the shortest way to it, and comes back as one object."""
        w, optimizer = variable(1), Optimizer()
        optimizer.slot = optimizer.add_slot(w, "m", "ones")
        path = ckpt.Checkpoint(w=w, optimizer=optimizer).write(tmp_path / "m")
        assert "optimizer/slot/.ATTRIBUTES/VARIABLE_VALUE" in dict(ckpt.list_variables(path))
        live_w, live = variable(0), Optimizer()
        live.slot = live.add_slot(live_w, "m")
        ckpt.Checkpoint(w=live_w, optimizer=live).restore(path).assert_consumed()
        assert live.slot is live.get_slot(live_w, "m")
        assert 1 == live.slot[0]

    def test_load_shows_slots_at_their_optimizer(self, path):
        """By the name of the slot, then by the path of the variable."""
        tree = ckpt.load(path)["optimizer"]
        assert 7 == tree["step"]
        slots = tree[".OPTIMIZER_SLOT"]
        assert {"momentum": {"model/w", "model/b"}, "count": {"model/w"}} == {
            name: set(by_variable) for name, by_variable in slots.items()
        }
        assert [4, 5] == slots["momentum"]["model/w"].tolist()

    def test_an_uninitialised_slot_variable_is_named(self, tmp_path):
        """A missing value is refused with the path of the slot."""
        model, optimizer = trained()
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        optimizer.add_slot(model.b, "count", np.ones(1)).__init__(shape=(1,))
        with pytest.raises(ckpt.NotCheckpointableError, match=r"OPTIMIZER_SLOT/optimizer/count"):
            live.write(tmp_path / "m")


class TestRestoring:
    @pytest.mark.parametrize(
        "steps",
        [*itertools.permutations(["restore", "variable", "optimizer", "slot"])],
        ids="-".join,
    )
    def test_the_order_of_creation_does_not_matter(self, path, steps):
        """Variable, optimizer, slot and restore may come in any order (R-27)."""
        model, optimizer = Node(b=variable(0)), Optimizer()
        w = variable(0, 0)
        live = ckpt.Checkpoint(model=model)
        for step in steps:
            if step == "restore":
                status = live.read(path)
            elif step == "variable":
                model.w = w
            elif step == "optimizer":
                live.optimizer = optimizer
            else:
                slot = optimizer.add_slot(w, "momentum")
        assert slot is optimizer.get_slot(w, "momentum")
        assert [4, 5] == slot.value.tolist()
        assert 8 == optimizer.get_slot(w, "count").value
        assert [6] == optimizer.get_slot(model.b, "momentum").value.tolist()
        assert 7 == optimizer.step
        status.assert_consumed()

    def test_slots_are_created_with_the_stored_value(self, path):
        """They are there right after the restore; no initializer ever runs."""
        model, optimizer = Node(w=variable(0, 0), b=variable(0)), Optimizer()
        ckpt.Checkpoint(model=model, optimizer=optimizer).restore(path).assert_consumed()
        assert ["momentum", "count"] == optimizer.get_slot_names()
        assert [4, 5] == optimizer.add_slot(model.w, "momentum", never).value.tolist()
        assert np.int32 == optimizer.get_slot(model.w, "count").dtype

    def test_slots_that_exist_are_restored_in_place(self, path):
        """The array of a slot stays the same array."""
        model, optimizer = trained()
        slot = optimizer.get_slot(model.w, "momentum")
        array = slot.value
        slot.assign([0, 0])
        ckpt.Checkpoint(model=model, optimizer=optimizer).restore(path).assert_consumed()
        assert slot.value is array
        assert [4, 5] == array.tolist()

    def test_a_variable_in_a_plain_list_is_noticed_by_add_slot(self, tmp_path):
        """Adding a slot lets waiting values come in first."""
        w, optimizer = variable(1), Optimizer()
        optimizer.add_slot(w, "m", "ones")
        path = ckpt.Checkpoint(model=Node(ws=[w]), optimizer=optimizer).write(tmp_path / "m")
        model, live = Node(ws=[]), Optimizer()
        holder = ckpt.Checkpoint(model=model, optimizer=live)
        status = holder.restore(path)
        model.ws.append(variable(0))
        assert 1 == live.add_slot(model.ws[0], "m", never)[0]
        status.assert_consumed()

    def test_slots_wait_for_their_optimizer(self, path):
        """Until it comes they are pending under their own paths."""
        live = ckpt.Checkpoint(model=Node(w=variable(0, 0), b=variable(0)))
        status = live.restore(path)
        assert {
            "model/w/.OPTIMIZER_SLOT/optimizer/momentum",
            "model/w/.OPTIMIZER_SLOT/optimizer/count",
            "model/b/.OPTIMIZER_SLOT/optimizer/momentum",
            "optimizer/step",
        } == {entry.path for entry in status.report().pending}
        status.assert_existing_objects_matched()
        with pytest.raises(ckpt.UnmatchedError, match="OPTIMIZER_SLOT"):
            status.assert_consumed()
        live.optimizer = Optimizer()
        status.assert_consumed()

    def test_waiting_slots_survive_the_deletion_of_the_files(self, path):
        """The checkpoint stays open for them."""
        model, optimizer = Node(b=variable(0)), Optimizer()
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        status = live.restore(path)
        for file in os.listdir(os.path.dirname(path)):
            os.remove(os.path.join(os.path.dirname(path), file))
        model.w = variable(0, 0)
        assert [4, 5] == optimizer.get_slot(model.w, "momentum").value.tolist()
        status.assert_consumed()

    def test_a_live_slot_that_is_not_stored_is_missing(self, path):
        """Both assertions name it."""
        model, optimizer = trained()
        optimizer.add_slot(model.b, "count")
        status = ckpt.Checkpoint(model=model, optimizer=optimizer).restore(path)
        missing = [entry.path for entry in status.report().missing]
        assert ["model/b/.OPTIMIZER_SLOT/optimizer/count"] == missing
        with pytest.raises(ckpt.UnmatchedError, match="optimizer/count"):
            status.assert_existing_objects_matched()

    def test_an_optimizer_without_slots_leaves_them_unused(self, path):
        """Reading only the step with some other object says why the slots found no place."""
        model = Node(w=variable(0, 0), b=variable(0))
        status = ckpt.Checkpoint(model=model, optimizer=ckpt.Checkpoint(step=0)).restore(path)
        unused = status.report().unused
        assert 3 == len(unused)
        assert "no SlotTrackable" in unused[0].reason
        with pytest.raises(ckpt.UnmatchedError, match="no SlotTrackable"):
            status.assert_consumed()

    def test_slots_of_a_variable_that_is_no_more_are_unused(self, path):
        """What can never be claimed fails assert_consumed."""
        status = ckpt.Checkpoint(model=Node(b=variable(0), w=5), optimizer=Optimizer()).restore(
            path
        )
        with pytest.raises(ckpt.UnmatchedError, match=r"w/\.OPTIMIZER_SLOT"):
            status.assert_consumed()

    def test_a_slot_of_another_shape_is_a_mismatch_before_anything_is_assigned(self, path):
        """It is named by its path, and the model keeps its values."""
        model, optimizer = Node(w=variable(0, 0), b=variable(0)), Optimizer()
        optimizer.add_slot(model.w, "momentum", np.zeros(3))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="OPTIMIZER_SLOT/optimizer/mom"):
            ckpt.Checkpoint(model=model, optimizer=optimizer).restore(path)
        assert [0, 0] == model.w.value.tolist()
        assert ["momentum"] == optimizer.get_slot_names()

    def test_a_cast_that_is_allowed_makes_a_slot_like_its_variable(self, path):
        """Without leave to cast, a created slot has the stored dtype."""
        model = Node(w=ckpt.Variable(np.zeros(2, np.float32)), b=ckpt.Variable(np.zeros(1, "f4")))
        optimizer = Optimizer()
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        status = live.restore(path, casting="same_kind")
        slot = optimizer.get_slot(model.w, "momentum")
        assert (np.float32, [4, 5]) == (slot.dtype, slot.value.tolist())
        assert "model/w/.OPTIMIZER_SLOT/optimizer/momentum" in {
            e.path for e in status.report().cast
        }
        status.assert_consumed()

    def test_damage_creates_no_slot(self, path):
        """If the values cannot be read, the optimizer is left as it was."""
        shard = next(f for f in os.listdir(os.path.dirname(path)) if ".data-" in f)
        with open(os.path.join(os.path.dirname(path), shard), "r+b") as file:
            file.seek(8)
            file.write(b"\xff\xff\xff")
        model, optimizer = Node(w=variable(0, 0), b=variable(0)), Optimizer()
        with pytest.raises(ckpt.CorruptCheckpointError):
            ckpt.Checkpoint(model=model, optimizer=optimizer).restore(path)
        assert [] == optimizer.get_slot_names()

    def test_two_optimizers_keep_slots_for_one_variable(self, tmp_path):
        """Each finds its own again."""
        w, a, b = variable(1), Optimizer(), Optimizer()
        a.add_slot(w, "m", "ones")
        b.add_slot(w, "m", np.array([2.0]))
        path = ckpt.Checkpoint(w=w, a=a, b=b).write(tmp_path / "m")
        w, a, b = variable(0), Optimizer(), Optimizer()
        ckpt.Checkpoint(w=w, a=a, b=b).restore(path).assert_consumed()
        assert (1, 2) == (a.get_slot(w, "m")[0], b.get_slot(w, "m")[0])

    def test_one_stored_variable_in_two_live_ones_gives_both_their_slots(self, path):
        """It is split, and so are its slots; assert_consumed raises."""
        model, optimizer = Node(w=variable(0, 0), b=variable(0)), Optimizer()
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        other = variable(0, 0)
        live.extra = other
        status = live.restore(path, rename={"extra": "model/w"})
        assert [4, 5] == optimizer.get_slot(model.w, "momentum").value.tolist()
        assert [4, 5] == optimizer.get_slot(other, "momentum").value.tolist()
        with pytest.raises(ckpt.UnmatchedError, match="more than one object"):
            status.assert_consumed()


class TestSeveralRestores:
    def test_each_checkpoint_gives_what_the_newer_one_lacks(self, tmp_path):
        """A newer restore without slots gives the variable, the older one its slot."""
        w, optimizer = variable(1), Optimizer()
        optimizer.add_slot(w, "m", np.array([14.0]))
        with_slots = ckpt.Checkpoint(w=w, optimizer=optimizer).write(tmp_path / "with")
        w.assign([2])
        without = ckpt.Checkpoint(w=w).write(tmp_path / "without")
        live = ckpt.Checkpoint()
        first, second = live.read(with_slots), live.read(without)
        live.w = variable(0)
        assert 2 == live.w[0]
        second.assert_consumed()
        live.optimizer = Optimizer()
        assert 14 == live.optimizer.get_slot(live.w, "m")[0]
        first.assert_consumed()

    def test_the_latest_restore_wins_for_slots_too(self, tmp_path):
        """Whatever the order in which the objects come."""
        paths = []
        for number in (1.0, 2.0):
            w, optimizer = variable(number), Optimizer()
            optimizer.add_slot(w, "m", np.array([10 * number]))
            paths.append(ckpt.Checkpoint(w=w, optimizer=optimizer).write(tmp_path / str(number)))
        live = ckpt.Checkpoint()
        statuses = [live.read(path) for path in paths]
        live.optimizer = Optimizer()
        live.w = variable(0)
        assert 20 == live.optimizer.get_slot(live.w, "m")[0]
        for status in statuses:
            status.assert_consumed()

    def test_restoring_again_and_again_keeps_no_more_files_open(self, path):
        """An older restore whose slots a newer one waits for too is let go of."""
        live = ckpt.Checkpoint(model=Node(w=variable(0, 0), b=variable(0)))
        live.read(path)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            live.read(path)
        assert before == len(os.listdir("/proc/self/fd"))
        live.optimizer = Optimizer()
        assert [4, 5] == live.optimizer.get_slot(live.model.w, "momentum").value.tolist()


class TestOptions:
    def test_slots_false_restores_and_requires_none(self, path):
        """They are listed as skipped and fail no assertion, whether they exist or not (R-16)."""
        model, optimizer = Node(w=variable(0, 0), b=variable(0)), Optimizer()
        slot = optimizer.add_slot(model.w, "momentum")
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        status = live.restore(path, slots=False).assert_consumed()
        assert ([1, 2], 7) == (model.w.value.tolist(), optimizer.step)
        assert [0, 0] == slot.value.tolist()
        assert ["momentum"] == optimizer.get_slot_names()
        assert [
            "model/b/.OPTIMIZER_SLOT/optimizer/momentum",
            "model/w/.OPTIMIZER_SLOT/optimizer/count",
            "model/w/.OPTIMIZER_SLOT/optimizer/momentum",
        ] == sorted(entry.path for entry in status.report().skipped)

    def test_a_slot_that_is_created_is_like_its_variable(self, tmp_path):
        """If it was when it was saved; others keep their dtype and shape, whatever is cast."""
        w, optimizer = variable(1, 2), Optimizer()
        optimizer.add_slot(w, "m", "ones")
        optimizer.add_slot(w, "count", np.int32(8))
        optimizer.add_slot(w, "half", np.ones(2, np.float16))
        path = ckpt.Checkpoint(w=w, optimizer=optimizer).write(tmp_path / "m")
        live, optimizer = ckpt.Variable(np.zeros((2, 1), np.float32)), Optimizer()
        status = ckpt.Checkpoint(w=live, optimizer=optimizer).restore(
            path, casting="same_kind", shapes="reshape"
        )
        status.assert_consumed()
        assert [[1], [1]] == optimizer.add_slot(live, "m", never).value.tolist()
        assert 8 == optimizer.add_slot(live, "count", np.int32(0)).value
        assert np.float16 == optimizer.add_slot(live, "half", np.ones((2, 1), np.float16)).dtype

    def test_a_variable_of_another_shape_is_skipped_with_its_slots(self, path):
        """Its optimizer makes new ones; a slot of the old shape would be of no use (R-18)."""
        model, optimizer = Node(w=variable(0, 0, 0), b=variable(0)), Optimizer()
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        status = live.restore(path, shapes="skip").assert_consumed()
        assert {"model/w", "model/w/.OPTIMIZER_SLOT/optimizer/momentum"} == {
            entry.path for entry in status.report().skipped
        }
        assert optimizer.get_slot(model.w, "momentum") is None
        assert [0, 0, 0] == optimizer.add_slot(model.w, "momentum").value.tolist()

    def test_slots_false_draws_no_warning_at_the_next_save(self, path, tmp_path):
        """What is left out does not wait."""
        live = ckpt.Checkpoint(model=Node(w=variable(0, 0), b=variable(0)), optimizer=Optimizer())
        live.restore(path, slots=False)
        live.write(tmp_path / "next")

    @pytest.mark.parametrize(
        "options", [{"only": "model"}, {"skip": "optimizer"}, {"only": ("model/w", "model/b")}]
    )
    def test_a_selection_holds_for_slots_whose_optimizer_it_leaves_out(self, path, options):
        """A slot is restored if both its variable and its optimizer are (R-14)."""
        model, optimizer = trained()
        slot = optimizer.get_slot(model.w, "momentum")
        slot.assign([0, 0])
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        status = live.restore(path, **options).assert_consumed()
        assert [0, 0] == slot.value.tolist()
        assert "model/w/.OPTIMIZER_SLOT/optimizer/momentum" in {
            entry.path for entry in status.report().skipped
        }

    def test_a_selection_may_leave_out_one_variable_with_its_slots(self, path):
        """The slots of the others are restored."""
        model, optimizer = Node(w=variable(0, 0), b=variable(0)), Optimizer()
        live = ckpt.Checkpoint(model=model, optimizer=optimizer)
        live.restore(path, skip="model/w").assert_consumed()
        assert optimizer.get_slot(model.w, "momentum") is None
        assert [6] == optimizer.get_slot(model.b, "momentum").value.tolist()

    def test_a_part_is_restored_with_its_slots(self, path):
        """With `at`, slots whose optimizer lies elsewhere have no place and no claim."""
        model = Node(w=variable(0, 0), b=variable(0))
        ckpt.Checkpoint(model).restore(path, at="model").assert_consumed()
        assert [1, 2] == model.w.value.tolist()

    def test_defer_false_demands_the_slots(self, path):
        """A missing optimizer fails the restore before anything is assigned (R-19)."""
        model = Node(w=variable(0, 0), b=variable(0))
        with pytest.raises(ckpt.UnmatchedError, match="OPTIMIZER_SLOT"):
            ckpt.Checkpoint(model=model).restore(path, defer=False)
        assert [0, 0] == model.w.value.tolist()
        live = ckpt.Checkpoint(model=model, optimizer=Optimizer())
        live.restore(path, defer=False).assert_consumed()


def test_a_save_warns_of_slots_that_still_wait(tmp_path):
    """An optimizer that would bring nothing but slots is named too; none after expect_partial()."""
    w, optimizer = variable(1), ckpt.SlotTrackable()
    optimizer.add_slot(w, "m")
    path = ckpt.Checkpoint(w=w, optimizer=optimizer).write(tmp_path / "m")
    live = ckpt.Checkpoint(w=variable(0))
    status = live.restore(path)
    with pytest.warns(ckpt.CheckpointWarning, match="wait for their objects: optimizer"):
        live.write(tmp_path / "next")
    status.expect_partial()
    live.write(tmp_path / "next")


def test_the_view_shows_slot_variables(path):
    """They are the last of the descendants, and children of nobody."""
    model, optimizer = trained()
    view = ckpt.TrackableView(ckpt.Checkpoint(model=model, optimizer=optimizer))
    slots = [optimizer.get_slot(model.w, "momentum"), optimizer.get_slot(model.b, "momentum")]
    slots.append(optimizer.get_slot(model.w, "count"))
    assert list(map(id, slots)) == list(map(id, view.descendants()[-3:]))
    assert {"step": 7} == view.children(optimizer)
