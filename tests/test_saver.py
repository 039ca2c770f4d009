"""`CheckpointableSaver`: names that the caller chooses, and no bookkeeping of its own."""

import gc
import os
import weakref
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt


class Node(ckpt.Trackable):
    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


def model(value: float) -> Node:
    """A model of two levels, with one Variable."""
    return Node(layer=Node(w=ckpt.Variable(value)))


class TestNames:
    def test_without_a_number_the_prefix_is_the_name(self, tmp_path):
        """Exactly the prefix, missing directories made, and neither state file nor counter."""
        path = ckpt.CheckpointableSaver(model(1.0)).save(tmp_path / "a" / "ckpt")
        assert str(tmp_path / "a" / "ckpt") == path
        assert {"layer": {"w": 1.0}} == ckpt.load(path)
        assert [] == [n for n in os.listdir(tmp_path / "a") if not n.startswith("ckpt.")]

    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (0, "ckpt-0"),
            (7, "ckpt-7"),
            (10**12, "ckpt-1000000000000"),
            (np.int64(3), "ckpt-3"),
            (np.uint8(4), "ckpt-4"),
            (np.array(5, np.int16), "ckpt-5"),
            (ckpt.Variable(6), "ckpt-6"),
            (ckpt.Variable(np.uint32(0)), "ckpt-0"),
        ],
        ids=repr,
    )
    def test_a_number_is_added(self, tmp_path, number, expected):
        """An integer, a numpy integer or a Variable of one; 0 counts."""
        path = ckpt.CheckpointableSaver(model(1.0)).save(tmp_path / "ckpt", number)
        assert expected == os.path.basename(path)
        assert ckpt.checkpoint_exists(path)

    @pytest.mark.parametrize(
        ("number", "error"),
        [
            (True, TypeError),
            (np.bool_(True), TypeError),
            (1.0, TypeError),
            (np.float64(1), TypeError),
            ("1", TypeError),
            ([1], TypeError),
            (np.array([1]), TypeError),
            (ckpt.Variable(1.0), TypeError),
            (ckpt.Variable([1]), TypeError),
            (ckpt.Variable(True), TypeError),
            (-1, ValueError),
            (np.int8(-3), ValueError),
            (ckpt.Variable(-1), ValueError),
        ],
        ids=repr,
    )
    def test_what_is_no_number_is_refused(self, tmp_path, number, error):
        """The error says what was expected; nothing is written."""
        with pytest.raises(error, match=r"checkpoint_number is .*, expected"):
            ckpt.CheckpointableSaver(model(1.0)).save(tmp_path / "ckpt", checkpoint_number=number)
        assert [] == os.listdir(tmp_path)

    def test_a_number_without_a_value_is_named(self, tmp_path):
        """The error says which argument it was, in both modes, and nothing is written."""
        number = ckpt.Variable(shape=(), dtype=int)
        with pytest.raises(RuntimeError, match=r"checkpoint_number: .* has no value yet"):
            ckpt.CheckpointableSaver(model(1.0)).save(tmp_path / "ckpt", number)
        with ckpt.Graph().as_default(), ckpt.Session():
            number = ckpt.Variable(3, name="step")
            with pytest.raises(RuntimeError, match="checkpoint_number: Variable 'step' has no"):
                ckpt.CheckpointableSaver(Node(step=number)).save(tmp_path / "ckpt", number)
        assert [] == os.listdir(tmp_path)

    def test_a_number_may_be_the_result_of_an_operation(self, tmp_path):
        """It is run in the session that is saved, before the values are read."""
        with ckpt.Graph().as_default():
            live = Node(step=ckpt.Variable(3))
            saver, session = ckpt.CheckpointableSaver(live), ckpt.Session()
            session.run(live.step.initializer)
            increment = live.step.assign_add(1)
            with pytest.raises(RuntimeError, match=r"with Session\(\) as session"):
                saver.save(tmp_path / "ckpt", increment)
            assert "ckpt-4" == os.path.basename(saver.save(tmp_path / "ckpt", increment, session))
        assert 4 == ckpt.load(tmp_path / "ckpt-4")["step"]

    def test_a_number_may_be_a_variable_of_the_model(self, tmp_path):
        """It is saved with all others, and numbers the files."""
        live = Node(step=ckpt.Variable(0))
        saver = ckpt.CheckpointableSaver(live)
        for _ in range(3):
            saver.save(tmp_path / "ckpt", checkpoint_number=live.step)
            live.step.assign_add(1)
        assert [0, 1, 2] == [ckpt.load(tmp_path / f"ckpt-{n}")["step"] for n in range(3)]

    def test_the_same_name_is_replaced(self, tmp_path):
        """Each call replaces what stands there, whole; other numbers stay."""
        live = model(1.0)
        saver = ckpt.CheckpointableSaver(live)
        for value in (1.0, 2.0):
            live.layer.w.assign(value)
            saver.save(tmp_path / "ckpt", 1)
            saver.save(tmp_path / "ckpt")
        assert [2.0, 2.0] == [ckpt.load(tmp_path / n)["layer"]["w"] for n in ("ckpt", "ckpt-1")]
        assert 4 == len(os.listdir(tmp_path))

    def test_overwrite_false_refuses(self, tmp_path):
        """Then what stands there stays."""
        saver = ckpt.CheckpointableSaver(model(1.0))
        saver.save(tmp_path / "ckpt", 1)
        with pytest.raises(ckpt.CheckpointExistsError, match="ckpt-1"):
            saver.save(tmp_path / "ckpt", 1, options=ckpt.SaveOptions(overwrite=False))

    def test_options_are_those_of_every_save_and_restore(self, tmp_path):
        """One file, metadata, casts: each option does what it does elsewhere."""
        saver = ckpt.CheckpointableSaver(model(1.0))
        options = ckpt.SaveOptions(single_file=True, metadata={"run": 7})
        path = saver.save(str(tmp_path / "m"), options=options)
        assert ["m"] == os.listdir(tmp_path)
        with ckpt.load_checkpoint(path) as reader:
            assert 7 == reader.metadata["run"]
        live = Node(layer=Node(w=ckpt.Variable(np.float32(0))))
        casting = ckpt.RestoreOptions(casting="same_kind")
        ckpt.CheckpointableSaver(live).restore(path, casting).assert_consumed()
        assert 1.0 == live.layer.w.value
        with pytest.raises(TypeError, match="options is a dict"):
            saver.save(tmp_path / "m", options={})

    def test_options_in_the_place_of_the_session_are_not_ignored(self, tmp_path):
        """They would have no effect, so they are refused, with how to give them."""
        saver = ckpt.CheckpointableSaver(model(1.0))
        with pytest.raises(TypeError, match="options=SaveOptions"):
            saver.save(tmp_path / "m", 1, ckpt.SaveOptions(single_file=True))
        assert [] == os.listdir(tmp_path)


class TestRoots:
    def test_a_restore_may_come_before_the_objects(self, tmp_path):
        """Values wait for objects, as in every restore."""
        path = ckpt.CheckpointableSaver(model(1.0)).save(tmp_path / "m")
        live = Node()
        status = ckpt.CheckpointableSaver(live).restore(path)
        live.layer = Node(w=ckpt.Variable(0.0))
        status.assert_consumed()
        assert 1.0 == live.layer.w.value

    def test_a_weak_root_is_not_kept_alive(self, tmp_path):
        """It is saved and restored as long as it lives; afterwards the error says so."""
        root = model(1.0)
        saver = ckpt.CheckpointableSaver(weakref.ref(root))
        path = saver.save(tmp_path / "m")
        root.layer.w.assign(0.0)
        saver.restore(path).assert_consumed()
        assert 1.0 == root.layer.w.value
        gc.disable()
        try:
            dead = weakref.ref(root)
            del root
            assert dead() is None
        finally:
            gc.enable()
        for use in (saver.save, saver.restore):
            with pytest.raises(ckpt.CheckpointError, match="Keep the root alive"):
                use(path)

    def test_lists_and_dicts_are_roots_too(self, tmp_path):
        """Paths begin at their items."""
        path = ckpt.CheckpointableSaver({"a": model(1.0), "b": [model(2.0)]}).save(tmp_path / "m")
        live = {"a": model(0.0), "b": [model(0.0)]}
        ckpt.CheckpointableSaver(live).restore(path).assert_consumed()
        assert (1.0, 2.0) == (live["a"].layer.w.value, live["b"][0].layer.w.value)

    @pytest.mark.parametrize("root", [None, 5, "model", object()])
    def test_other_roots_are_refused(self, root):
        """What is no object graph is refused at once."""
        with pytest.raises(ckpt.NotCheckpointableError):
            ckpt.CheckpointableSaver(root)

    def test_files_of_a_checkpoint_can_be_restored(self, tmp_path):
        """What `Checkpoint(root)` saved restores into the root; its counter is nobody's."""
        path = ckpt.Checkpoint(model(1.0)).save(tmp_path / "m")
        live = model(0.0)
        ckpt.CheckpointableSaver(live).restore(path).assert_consumed()
        assert 1.0 == live.layer.w.value
        assert ["layer"] == list(ckpt.load(ckpt.CheckpointableSaver(live).save(tmp_path / "n")))

    @pytest.mark.parametrize("weak", [False, True])
    def test_a_checkpoint_as_the_root_keeps_its_meaning(self, tmp_path, weak):
        """Its own root, dependencies and counter are saved and restored as by itself."""
        saved = ckpt.Checkpoint(model(1.0), step=3)
        saved.save(tmp_path / "ckpt")
        path = ckpt.CheckpointableSaver(weakref.ref(saved) if weak else saved).save(tmp_path / "m")
        live = ckpt.Checkpoint(model(0.0), step=0)
        ckpt.CheckpointableSaver(weakref.ref(live) if weak else live).restore(path)
        assert (1.0, 3, 1) == (live.root.layer.w.value, live.step, live.save_counter.value)

    def test_what_was_saved_from_another_root_is_recognized(self, tmp_path):
        """The failing assertion says how to restore a part, and how to restore into one."""
        live = model(0.0)
        whole = ckpt.Checkpoint(model=model(1.0)).write(tmp_path / "whole")
        status = ckpt.CheckpointableSaver(live).restore(whole)
        with pytest.raises(ckpt.UnmatchedError, match=r"RestoreOptions\(at='model'\)"):
            status.assert_existing_objects_matched()
        ckpt.CheckpointableSaver(live).restore(whole, ckpt.RestoreOptions(at="model"))
        assert 1.0 == live.layer.w.value
        part = ckpt.CheckpointableSaver(model(1.0)).save(tmp_path / "part")
        status = ckpt.Checkpoint(model=model(0.0)).restore(part)
        with pytest.raises(ckpt.UnmatchedError, match=r"the root: Checkpoint\(model\)"):
            status.assert_existing_objects_matched()

    def test_the_root_that_is_gone_needs_a_live_reference(self):
        """A weak reference that is dead already is refused at once."""
        root = model(1.0)
        reference = weakref.ref(root)
        del root
        with pytest.raises(ckpt.CheckpointError, match="is gone"):
            ckpt.CheckpointableSaver(reference)


class TestSessions:
    def test_the_session_that_is_given_is_read(self, tmp_path):
        """Not the default one; the number, if it is a Variable, is read there too."""
        graph = ckpt.Graph()
        with graph.as_default():
            live = Node(w=ckpt.Variable([0.0]), step=ckpt.Variable(0))
            saver = ckpt.CheckpointableSaver(live)
            one, two = ckpt.Session(), ckpt.Session()
            one.run([live.w.assign([1.0]), live.step.assign(1)])
            two.run([live.w.assign([2.0]), live.step.assign(2)])
            with two.as_default():
                paths = [saver.save(tmp_path / "ckpt", live.step, session=s) for s in (one, None)]
        assert ["ckpt-1", "ckpt-2"] == [os.path.basename(path) for path in paths]
        assert [[1.0], [2.0]] == [ckpt.load(path)["w"].tolist() for path in paths]

    def test_without_a_session_the_error_says_what_to_create(self, tmp_path):
        """While a graph is built, and where Variables of one are reached from outside."""
        with ckpt.Graph().as_default():
            live = Node(w=ckpt.Variable([0.0]), step=ckpt.Variable(0))
            saver = ckpt.CheckpointableSaver(live)
            eager = ckpt.CheckpointableSaver(Node())
            for save in (saver.save, eager.save):
                with pytest.raises(RuntimeError, match=r"with Session\(\) as session"):
                    save(tmp_path / "m")
        for number in (None, live.step):
            with pytest.raises(RuntimeError, match=r"with Session\(\) as session"):
                saver.save(tmp_path / "m", number)
        assert [] == os.listdir(tmp_path)

    def test_the_session_is_ignored_in_eager_execution(self, tmp_path):
        """As documented, whatever it is; while a graph is built it must be a session."""
        saver = ckpt.CheckpointableSaver(model(1.0))
        for session in (None, ckpt.Session(ckpt.Graph()), "session"):
            saver.save(tmp_path / "m", session=session)
        with ckpt.Graph().as_default(), pytest.raises(TypeError, match="session is a str"):
            saver.save(tmp_path / "m", session="session")

    def test_the_documented_way(self, tmp_path):
        """Restore while building, assert that all is recorded, run it in a session."""
        with ckpt.Session(ckpt.Graph()) as session:
            root = Node(w=ckpt.Variable([1.0, 2.0]))
            session.run(root.w.initializer)
            path = ckpt.CheckpointableSaver(root).save(tmp_path / "ckpt", 0)
        with ckpt.Graph().as_default():
            root = Node(w=ckpt.Variable([0.0, 0.0]))
            status = ckpt.CheckpointableSaver(root).restore(path).assert_consumed()
            with ckpt.Session() as session:
                status.run_restore_ops(session)
                assert [1.0, 2.0] == session.run(root.w).tolist()


class Mode:
    """One of the two modes of execution: how variables are read, set and restored in it."""

    def __init__(self, session: ckpt.Session | None) -> None:
        self._session = session

    def read(self, variable: ckpt.Variable) -> Any:
        """Return the value of a Variable."""
        return variable.numpy() if self._session is None else self._session.run(variable)

    def write(self, variable: ckpt.Variable, value: Any) -> None:
        """Give a Variable a value."""
        operation = variable.assign(value)
        if self._session is not None:
            self._session.run(operation)

    def start(self, saver: ckpt.CheckpointableSaver) -> None:
        """Run all initializers."""
        saver.restore(None).initialize_or_restore(self._session)


@pytest.fixture(params=["eager", "graph"])
def mode(request):
    """Each of the two modes of execution."""
    if request.param == "eager":
        yield Mode(None)
        return
    with ckpt.Graph().as_default(), ckpt.Session() as session:
        yield Mode(session)


class TestWhatIsPromised:
    """The sentences that `CheckpointableSaver` is known by, each in both modes."""

    def test_an_object_and_its_dependencies_are_saved_and_restored(self, tmp_path, mode):
        """All that the root leads to, at any depth, and nothing else of the program."""
        root = Node(w=ckpt.Variable(1.0), layers=[Node(w=ckpt.Variable([2.0]))], other=5)
        ckpt.Variable(9.0)
        saver = ckpt.CheckpointableSaver(root)
        mode.start(saver)
        path = saver.save(tmp_path / "ckpt")
        assert {"w": 1.0, "layers": [{"w": [2.0]}]} == ckpt.load(path)
        for variable in (root.w, root.layers[0].w):
            mode.write(variable, np.zeros(variable.shape))
        saver.restore(path).assert_consumed().run_restore_ops()
        assert (1.0, [2.0]) == (mode.read(root.w), mode.read(root.layers[0].w))

    def test_what_is_saved_is_what_is_there_when_save_is_called(self, tmp_path, mode):
        """Dependencies may come and go between two saves."""
        root = Node(a=ckpt.Variable(1.0))
        saver = ckpt.CheckpointableSaver(root)
        mode.start(saver)
        first = saver.save(tmp_path / "ckpt", 1)
        root.b = ckpt.Variable(2.0)
        del root.a
        mode.start(saver)
        second = saver.save(tmp_path / "ckpt", 2)
        assert [["a"], ["b"]] == [list(ckpt.load(path)) for path in (first, second)]

    def test_names_are_local_to_objects(self, tmp_path, mode):
        """Other global names, another class, another order of creation: all match."""
        root = Node(a=Node(w=ckpt.Variable(1.0, name="x")), b=Node(w=ckpt.Variable(2.0, name="y")))
        saver = ckpt.CheckpointableSaver(root)
        mode.start(saver)
        path = saver.save(tmp_path / "ckpt")

        class Renamed(Node):
            pass

        live = Renamed(b=Renamed(w=ckpt.Variable(0.0, name="x")))
        live.a = Renamed(w=ckpt.Variable(0.0, name="y"))
        ckpt.CheckpointableSaver(live).restore(path).assert_consumed().run_restore_ops()
        assert (1.0, 2.0) == (mode.read(live.a.w), mode.read(live.b.w))

    def test_variables_are_restored_when_they_are_created(self, tmp_path, mode):
        """Whatever is added to the root after the call; the restores grow with it."""
        saved = Node(layer=Node())
        saved.layer.add_variable("w", (2,), initializer="ones")
        saved.layer.add_variable("v", (), initializer=3.0)
        saver = ckpt.CheckpointableSaver(saved)
        mode.start(saver)
        path = saver.save(tmp_path / "ckpt")
        root = Node()
        status = ckpt.CheckpointableSaver(root).restore(path)
        root.layer = Node()
        w = root.layer.add_variable("w", (2,))
        with pytest.raises(ckpt.UnmatchedError, match="layer/v"):
            status.assert_consumed()
        status.run_restore_ops()
        assert [1, 1] == mode.read(w).tolist()
        v = root.layer.add_variable("v")
        status.assert_consumed().run_restore_ops()
        assert 3.0 == mode.read(v)

    def test_deferred_loading_can_be_disallowed(self, tmp_path, mode):
        """`assert_consumed` raises unless every object was matched and its variables exist."""
        saver = ckpt.CheckpointableSaver(model(1.0))
        mode.start(saver)
        path = saver.save(tmp_path / "ckpt")
        for root in (Node(), Node(layer=Node())):
            with pytest.raises(ckpt.UnmatchedError, match="layer/w"):
                ckpt.CheckpointableSaver(root).restore(path).assert_consumed()
        grown = Node(layer=Node(w=ckpt.Variable(0.0), more=ckpt.Variable(0.0)))
        with pytest.raises(ckpt.UnmatchedError, match="layer/more"):
            ckpt.CheckpointableSaver(grown).restore(path).assert_consumed()

    def test_without_a_checkpoint_initializers_can_be_run(self, tmp_path, mode):
        """`restore(None)`, as when there is no latest one, says that nothing was restored."""
        root = Node(w=ckpt.Variable(shape=2))
        status = ckpt.CheckpointableSaver(root).restore(ckpt.latest_checkpoint(tmp_path))
        assert isinstance(status, ckpt.InitializationOnlyStatus)
        with pytest.raises(ckpt.UnmatchedError, match="there was no checkpoint"):
            status.assert_consumed()
        status.initialize_or_restore()
        assert [0, 0] == mode.read(root.w).tolist()

    def test_what_latest_checkpoint_finds_can_be_restored(self, tmp_path, mode):
        """Although no state file was written: it is the highest number, and a warning says so."""
        root = Node(step=ckpt.Variable(9))
        saver = ckpt.CheckpointableSaver(root)
        mode.start(saver)
        paths = []
        for number in (9, 10):
            mode.write(root.step, number)
            paths.append(saver.save(tmp_path / "ckpt", checkpoint_number=root.step))
        mode.write(root.step, 0)
        with pytest.warns(ckpt.CheckpointWarning, match="is missing.*ckpt-10 is taken"):
            latest = ckpt.latest_checkpoint(tmp_path)
        assert paths[1] == latest
        saver.restore(latest).run_restore_ops()
        assert 10 == mode.read(root.step)

    def test_a_load_status_is_returned(self, tmp_path, mode):
        """Of this checkpoint a `CheckpointLoadStatus`, in both modes."""
        saver = ckpt.CheckpointableSaver(model(1.0))
        mode.start(saver)
        status = saver.restore(saver.save(tmp_path / "ckpt"))
        assert isinstance(status, ckpt.CheckpointLoadStatus)
        assert status.assert_existing_objects_matched().assert_nontrivial_match() is status

    def test_saving_and_restoring_again_adds_nothing_to_the_graph(self, tmp_path):
        """Fifty times over, in operations, names and collections."""
        with ckpt.Graph().as_default() as graph, ckpt.Session():
            saver = ckpt.CheckpointableSaver(model(1.0))
            saver.restore(None).initialize_or_restore()
            before = len(graph.get_operations()), len(graph.get_collection("variables"))
            for _ in range(50):
                path = saver.save(tmp_path / "ckpt", options=ckpt.SaveOptions(durable=False))
                saver.restore(path).initialize_or_restore()
            after = len(graph.get_operations()), len(graph.get_collection("variables"))
        assert before == after
