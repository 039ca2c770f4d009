"""The verbs: numbers, the counter, the state file, prefixes and what they refuse."""

import copy
import gc
import os
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt


class Node(ckpt.Trackable):
    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class TestNumbers:
    def test_saves_count_from_one(self, tmp_path):
        """Each save takes the next number, and the file holds the new counter."""
        checkpoint = ckpt.Checkpoint(x=1)
        first = checkpoint.save(tmp_path / "ckpt")
        second = checkpoint.save(tmp_path / "ckpt")
        assert [str(tmp_path / "ckpt-1"), str(tmp_path / "ckpt-2")] == [first, second]
        assert 2 == ckpt.load_variable(second, "save_counter")
        assert 2 == checkpoint.save_counter.value

    def test_numbering_goes_on_after_a_restore(self, tmp_path):
        """A restored program saves the next number."""
        ckpt.Checkpoint(x=1).save(tmp_path / "ckpt")
        again = ckpt.Checkpoint(x=1)
        again.restore(tmp_path)
        assert again.save(tmp_path / "ckpt").endswith("ckpt-2")

    def test_a_program_that_restored_nothing_overwrites_nothing(self, tmp_path):
        """The number is above the highest present, with one warning that numbers are skipped."""
        ckpt.Checkpoint(x=1).save(tmp_path / "ckpt")
        fresh = ckpt.Checkpoint(x=2)
        with pytest.warns(ckpt.CheckpointWarning, match="ckpt-2"):
            path = fresh.save(tmp_path / "ckpt")
        assert path.endswith("ckpt-2")
        assert {"x": 1} == ckpt.load(tmp_path / "ckpt-1")

    def test_a_failed_save_moves_no_counter(self, tmp_path):
        """What cannot be saved leaves the counter, the files and the state file as they were."""
        checkpoint = ckpt.Checkpoint(m=Node())
        checkpoint.save(tmp_path / "ckpt")
        checkpoint.m.track("bad", [1])
        checkpoint.m.trackable_children()["bad"].append(object())
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(ckpt.NotCheckpointableError, match="m/bad/1 is a object"):
            checkpoint.save(tmp_path / "ckpt")
        assert before == sorted(os.listdir(tmp_path))
        assert 1 == checkpoint.save_counter.value

    @pytest.mark.filterwarnings("ignore::checkpointable.CheckpointWarning")
    def test_eight_threads_save_eight_numbers(self, tmp_path):
        """Saves of several threads take turns; each is complete under a number of its own."""
        checkpoint = ckpt.Checkpoint(x=np.arange(1000))
        paths: list[str] = []

        def save():
            paths.append(checkpoint.save(tmp_path / "ckpt", durable=False))

        threads = [threading.Thread(target=save) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 8 == len(set(paths))
        assert [[]] * 8 == [ckpt.verify(path) for path in paths]


class TestWrite:
    def test_write_uses_the_very_prefix_and_no_counter(self, tmp_path):
        """No number, no state file, and a file without a counter."""
        path = ckpt.Checkpoint(x=1).write(tmp_path / "model")
        assert str(tmp_path / "model") == path
        assert not (tmp_path / "checkpoint").exists()
        assert [] == ckpt.list_variables(path)

    def test_write_replaces_what_stands_there(self, tmp_path):
        """The new values are found, and none of the old files is left."""
        checkpoint = ckpt.Checkpoint(x=np.zeros(100))
        checkpoint.write(tmp_path / "model", max_shard_bytes=100)
        checkpoint.x = np.ones(50)
        path = checkpoint.write(tmp_path / "model")
        assert 50 == ckpt.load(path)["x"].sum()
        assert 2 == len(os.listdir(tmp_path))

    def test_overwrite_false_refuses(self, tmp_path):
        """The old checkpoint stays."""
        checkpoint = ckpt.Checkpoint(x=1)
        path = checkpoint.write(tmp_path / "model")
        checkpoint.x = 2
        with pytest.raises(ckpt.CheckpointExistsError, match="model"):
            checkpoint.write(path, overwrite=False)
        assert {"x": 1} == ckpt.load(path)

    def test_the_one_file_form_is_one_file(self, tmp_path):
        """A checkpoint can be a single file called exactly as the prefix."""
        path = ckpt.Checkpoint(x=np.arange(9), y="text").write(tmp_path / "m", single_file=True)
        assert ["m"] == os.listdir(tmp_path)
        assert "text" == ckpt.load(path)["y"]
        assert [] == ckpt.verify(path)

    def test_shards_are_limited(self, tmp_path):
        """No shard grows beyond max_shard_bytes unless one tensor does."""
        values = {f"x{i}": np.full(100, i) for i in range(10)}
        path = ckpt.Checkpoint(**values).write(tmp_path / "m", max_shard_bytes=2000)
        shards = [p for p in tmp_path.iterdir() if ".data-" in p.name]
        assert 5 == len(shards)
        assert max(p.stat().st_size for p in shards) <= 2000
        assert [100 * i for i in range(10)] == [ckpt.load(path)[f"x{i}"].sum() for i in range(10)]

    def test_metadata_comes_back(self, tmp_path):
        """Names and plain values are stored beside the graph."""
        path = ckpt.Checkpoint(x=1).write(tmp_path / "m", metadata={"loss": 0.5, "tags": ["a"]})
        with ckpt.load_checkpoint(path) as reader:
            assert {"loss": 0.5, "tags": ["a"]} == dict(reader.metadata)

    def test_missing_directories_are_made(self, tmp_path):
        """The prefix may lead into directories that do not exist yet."""
        path = ckpt.Checkpoint(x=1).write(tmp_path / "a" / "b" / "m")
        assert {"x": 1} == ckpt.load(path)


class TestRoot:
    def test_the_keys_begin_at_the_children_of_the_root(self, tmp_path):
        """Neither the Checkpoint nor the root is part of a path."""
        root = Node(w=ckpt.Variable(1.0))
        path = ckpt.Checkpoint(root, step=3).write(tmp_path / "m")
        assert ["w/.ATTRIBUTES/VARIABLE_VALUE"] == [key for key, _ in ckpt.list_variables(path)]
        assert 3 == ckpt.load(path)["step"]

    @pytest.mark.parametrize("weak", [False, True])
    def test_a_root_is_restored(self, tmp_path, weak):
        """A Trackable root, or a weak reference to it, with further named values."""
        path = ckpt.Checkpoint(Node(w=ckpt.Variable(1.0)), step=3).write(tmp_path / "m")
        root = Node(w=ckpt.Variable(0.0))
        checkpoint = ckpt.Checkpoint(weakref.ref(root) if weak else root, step=0)
        checkpoint.restore(path).assert_consumed()
        assert (1.0, 3) == (root.w.value, checkpoint.step)

    def test_a_root_may_be_a_list_or_a_dict(self, tmp_path):
        """Items that a root container lacks are noticed when they come."""
        path = ckpt.Checkpoint([Node(w=ckpt.Variable(1.0)), Node(w=ckpt.Variable(2.0))]).save(
            tmp_path / "m"
        )
        root = [Node(w=ckpt.Variable(0.0))]
        checkpoint = ckpt.Checkpoint(root)
        status = checkpoint.restore(path)
        root.append(Node(w=ckpt.Variable(0.0)))
        status.assert_consumed()
        assert [1.0, 2.0] == [node.w.value for node in root]

    def test_values_of_a_rooted_checkpoint_may_come_later(self, tmp_path):
        """What waits at the root's node comes to the root or to the Checkpoint."""
        path = ckpt.Checkpoint(Node(w=ckpt.Variable(1.0)), step=3).write(tmp_path / "m")
        root = Node()
        checkpoint = ckpt.Checkpoint(root)
        status = checkpoint.restore(path)
        checkpoint.step = 0
        root.w = ckpt.Variable(0.0)
        assert (3, 1.0) == (checkpoint.step, root.w.value)
        status.assert_consumed()

    def test_a_cycle_may_lead_back_to_the_root(self, tmp_path):
        """A child that refers to the root is one node with it."""
        root = Node(child=Node(w=ckpt.Variable(1.0)))
        root.child.parent = root
        path = ckpt.Checkpoint(root).write(tmp_path / "m")
        assert 1 == len(ckpt.list_variables(path))
        live = Node(child=Node(w=ckpt.Variable(0.0)))
        live.child.parent = live
        ckpt.Checkpoint(live).restore(path).assert_consumed()
        assert 1.0 == live.child.w.value

    def test_a_name_that_the_root_uses_is_refused(self):
        """A dependency may not hide a child of the root."""
        root = Node(w=ckpt.Variable(1.0))
        with pytest.raises(ValueError, match="'w'"):
            ckpt.Checkpoint(root, w=ckpt.Variable(2.0))
        ckpt.Checkpoint(root, w=root.w)

    def test_a_root_may_not_use_the_name_of_the_counter(self):
        """A child of the root called save_counter would hide the library's own."""
        with pytest.raises(ValueError, match="save_counter"):
            ckpt.Checkpoint(Node(save_counter=ckpt.Variable(1)))

    def test_a_checkpoint_with_a_root_may_be_part_of_another(self, tmp_path):
        """The inner root is saved with the inner Checkpoint."""
        inner = ckpt.Checkpoint(Node(w=ckpt.Variable(1.0)), step=3)
        path = ckpt.Checkpoint(inner=inner).write(tmp_path / "m")
        live = ckpt.Checkpoint(Node(w=ckpt.Variable(0.0)), step=0)
        ckpt.Checkpoint(inner=live).restore(path).assert_consumed()
        assert (1.0, 3) == (live.root.w.value, live.step)

    def test_what_cannot_be_a_root_is_refused(self):
        """A number is no graph, and what is held weakly is looked at too."""
        with pytest.raises(ckpt.NotCheckpointableError, match="root is a int"):
            ckpt.Checkpoint(5)
        numbers = {1}
        with pytest.raises(ckpt.NotCheckpointableError, match="root is a set"):
            ckpt.Checkpoint(weakref.ref(numbers))

    def test_a_name_of_a_container_is_that_of_its_item(self):
        """Integer keys and positions are names too."""
        for root in ({1: Node()}, [Node(), Node()], {"1": Node()}):
            with pytest.raises(ValueError, match="the name '1'"):
                ckpt.Checkpoint(root, **{"1": Node()})

    def test_a_name_that_the_root_takes_later_is_refused_at_the_save(self, tmp_path):
        """Nothing is written then; the same object under one name is no conflict."""
        root = Node()
        checkpoint = ckpt.Checkpoint(root, w=ckpt.Variable(1.0))
        root.w = checkpoint.w
        checkpoint.write(tmp_path / "m")
        root.w = ckpt.Variable(2.0)
        with pytest.raises(ValueError, match="w: the root has"):
            checkpoint.write(tmp_path / "n")
        assert not (tmp_path / "n.index").exists()

    def test_a_weak_root_may_not_be_gone(self, tmp_path):
        """Saving and restoring say that the root is gone, and restoring nothing does too."""
        root = Node(w=ckpt.Variable(1.0))
        checkpoint = ckpt.Checkpoint(weakref.ref(root), step=1)
        path = checkpoint.save(tmp_path / "m")
        del root
        for use in (checkpoint.save, checkpoint.restore):
            with pytest.raises(ckpt.CheckpointError, match="Keep the root alive"):
                use(path)
        with pytest.raises(ckpt.CheckpointError, match="Keep the root alive"):
            checkpoint.restore(None)


class TestDependencies:
    def test_names_of_methods_are_refused(self):
        """A value under the name of a method could never be read back."""
        for name in ("save", "restore", "save_counter", "track"):
            with pytest.raises(ValueError, match=name):
                ckpt.Checkpoint(**{name: 1})

    @pytest.mark.parametrize("value", [object(), lambda: 0, np.array([object()]), [object()]])
    def test_what_cannot_be_saved_is_refused_at_once(self, value):
        """The error names the attribute, the type and the remedy."""
        with pytest.raises(ckpt.NotCheckpointableError, match="thing"):
            ckpt.Checkpoint(thing=value)

    def test_the_order_of_keywords_does_not_matter(self, tmp_path):
        """Matching goes by name."""
        path = ckpt.Checkpoint(a=1, b=2).write(tmp_path / "m")
        live = ckpt.Checkpoint(b=0, a=0)
        live.restore(path).assert_consumed()
        assert (1, 2) == (live.a, live.b)

    def test_attributes_may_be_replaced_and_deleted(self, tmp_path):
        """A save holds what is there now, nothing stale."""
        checkpoint = ckpt.Checkpoint(a=1, b=Node(w=ckpt.Variable(1.0)))
        del checkpoint.a
        checkpoint.b = 5
        assert {"b": 5} == ckpt.load(checkpoint.write(tmp_path / "m"))

    def test_a_checkpoint_may_be_part_of_another(self, tmp_path):
        """A Checkpoint is a Trackable like any other."""
        path = ckpt.Checkpoint(inner=ckpt.Checkpoint(x=4)).write(tmp_path / "m")
        live = ckpt.Checkpoint(inner=ckpt.Checkpoint(x=0))
        live.restore(path).assert_consumed()
        assert 4 == live.inner.x

    def test_subclasses_may_add_attributes_and_methods(self, tmp_path):
        """Attributes of a subclass are state."""

        class Run(ckpt.Checkpoint):
            def __init__(self):
                super().__init__(step=1)
                self.more = [1, 2]

        path = Run().write(tmp_path / "m")
        assert {"step": 1, "more": [1, 2]} == ckpt.load(path)


class TestCopies:
    @pytest.mark.parametrize("root", ["none", "held", "weak", "container"])
    def test_a_deep_copy_is_independent(self, tmp_path, root):
        """It has a root, dependencies and a counter of its own; both go on as before."""
        model = Node(w=ckpt.Variable(1.0))
        roots = {"none": None, "held": model, "weak": weakref.ref(model), "container": [model]}
        checkpoint = ckpt.Checkpoint(roots[root], model=model, x=[1], v=ckpt.Variable(2.0))
        checkpoint.save(tmp_path / "a")
        twin = copy.deepcopy(checkpoint)
        twin.model.w.assign(5.0)
        twin.x.append(2)
        twin.v.assign(6.0)
        assert (1.0, [1], 2.0) == (model.w.value, checkpoint.x, checkpoint.v.value)
        path = twin.save(tmp_path / "a")
        assert path.endswith("a-2")
        assert (1, 2) == (checkpoint.save_counter.value, twin.save_counter.value)
        if root == "container":
            assert twin.root[0] is twin.model
        checkpoint.restore(path).assert_consumed()
        assert (5.0, [1, 2], 6.0) == (model.w.value, checkpoint.x, checkpoint.v.value)
        twin.restore(tmp_path / "a-1").assert_consumed()
        assert (1.0, 5.0) == (twin.model.w.value, model.w.value)

    def test_a_copy_of_a_root_that_has_its_own_checkpoint(self, tmp_path):
        """The copied Checkpoint refers to the copied root, weakly again."""
        root = Node(w=ckpt.Variable(1.0))
        root.checkpoint = ckpt.NoDependency(ckpt.Checkpoint(weakref.ref(root), step=3))
        twin = copy.deepcopy(root)
        assert twin is twin.checkpoint.root
        twin.w.assign(5.0)
        assert {"w": 5.0, "step": 3} == ckpt.load(twin.checkpoint.write(tmp_path / "m"))
        dead = weakref.ref(twin)
        gc.disable()
        try:
            del twin
            assert dead() is None
        finally:
            gc.enable()

    def test_a_copy_of_a_subclass_is_of_that_class(self, tmp_path):
        """With all its attributes, private ones included."""

        class Run(ckpt.Checkpoint):
            def __init__(self, root):
                super().__init__(root, step=1)
                self._private = [1]

        run = Run(weakref.ref(root := Node(w=ckpt.Variable(1.0))))
        twin = copy.deepcopy(run)
        assert (Run, [1], 1) == (type(twin), twin._private, twin.step)
        assert twin._private is not run._private
        assert {"w": 1.0, "step": 1} == ckpt.load(twin.write(tmp_path / "m"))
        assert root is run.root


class TestLongChains:
    def test_a_chain_of_100_000_objects_saves_restores_and_reports(self, tmp_path):
        """Nothing recurses, and no path of such a depth is ever held in full."""

        def chain(value):
            first = node = Node(w=ckpt.Variable(np.int32(value)))
            for i in range(1, 100_000):
                node.next = Node(w=ckpt.Variable(np.int32(value and value + i)))
                node = node.next
            return first

        path = ckpt.Checkpoint(chain(1)).write(tmp_path / "m", durable=False)
        live = chain(0)
        report = ckpt.Checkpoint(live).restore(path).report()
        assert 100_000 == len(report.restored)
        assert [] == [*report.pending, *report.missing, *report.unused]
        assert max(len(entry.path) for entry in report.restored) <= 200
        node = live
        for expected in range(1, 100_001):
            assert expected == node.w.value
            node = getattr(node, "next", None)

    def test_dropping_everything_frees_everything(self, tmp_path):
        """No reference cycle keeps a model alive after save, restore and report."""
        model = Node(layers=[Node(w=ckpt.Variable(1.0))], x=Node())
        checkpoint = ckpt.Checkpoint(model=model)
        gc.collect()
        gc.disable()
        try:
            status = checkpoint.restore(checkpoint.save(tmp_path / "m"))
            status.report()
            dead = weakref.ref(model)
            del model, checkpoint, status
            assert dead() is None
        finally:
            gc.enable()
