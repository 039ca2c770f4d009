"""`Saver`: what its document says of saving and restoring, in both modes of execution."""

import inspect
import itertools
import os
import threading
import warnings

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.storage.memory import MemoryStorage
from tests.harness.faults import Fault, FaultyStorage


def listing(directory) -> list[str]:
    """The names in a directory, without the tokens of shards."""
    return sorted({name.partition(".data-")[0] for name in os.listdir(directory)})


def test_the_arguments_are_those_of_the_document():
    """Names, order and defaults; what is beyond is given by keyword."""
    expected = {
        ckpt.Saver: "var_list=None, reshape=False, sharded=False, max_to_keep=5,"
        " keep_checkpoint_every_n_hours=10000.0, name=None, restore_sequentially=False,"
        " saver_def=None, builder=None, defer_build=False, allow_empty=False, write_version=2,"
        " pad_step_number=False, save_relative_paths=False, filename=None, *",
        ckpt.Saver.save: "self, sess, save_path, global_step=None, latest_filename=None,"
        " meta_graph_suffix='meta', write_meta_graph=True, write_state=True,"
        " strip_default_attrs=False, save_debug_info=False",
        ckpt.Saver.restore: "self, sess, save_path",
    }
    for function, arguments in expected.items():
        parameters = inspect.signature(function).parameters.values()
        plain = [p.replace(annotation=p.empty) for p in parameters]
        found = ", ".join(map(str, (p for p in plain if p.kind is not p.KEYWORD_ONLY)))
        assert arguments.removesuffix(", *") == found


class TestSavingAndRestoring:
    def test_values_come_back_by_name(self, tmp_path, mode):
        """Whatever other Variables, names are what counts; what was saved is what comes back."""
        w, b = mode.variable([1.0, 2.0], "w"), mode.variable(3, "b")
        path = ckpt.Saver([w, b]).save(mode.session, tmp_path / "model")
        mode.write(w, 0)
        other = mode.variable(0, "other")
        ckpt.Saver({"w": w, "b": other}).restore(mode.session, path)
        assert ([1.0, 2.0], 3) == (mode.read(w).tolist(), mode.read(other))

    def test_a_checkpoint_maps_names_to_values(self, tmp_path, mode):
        """It has no object graph, and everything that reads checkpoints reads it."""
        path = ckpt.Saver([mode.variable([1.0], "a/w")]).save(mode.session, tmp_path / "model")
        assert {"a/w": [1.0]} == ckpt.load(path)
        assert [("a/w", (1,))] == ckpt.list_variables(path)
        assert [1.0] == ckpt.load_variable(path, "a/w")
        assert [] == ckpt.verify(path)

    def test_arrays_are_restored_in_place(self, tmp_path, mode):
        """Given under a name in a dict; their views see it."""
        array = np.arange(4.0)
        view = array[1:3]
        saver = ckpt.Saver({"x": array, "strided": view})
        path = saver.save(mode.session, tmp_path / "model")
        array[:] = 0
        saver.restore(mode.session, path)
        assert [0.0, 1.0, 2.0, 3.0] == [0.0, *view.tolist(), array[3]]

    def test_variables_need_no_value_to_be_restored(self, tmp_path, mode):
        """Restoring initializes them."""
        path = ckpt.Saver([mode.variable([1.0], "w")]).save(mode.session, tmp_path / "model")
        empty = ckpt.Variable(shape=1, dtype=float, name="w_again")
        ckpt.Saver({"w": empty}).restore(mode.session, path)
        assert [1.0] == mode.read(empty)

    def test_variables_without_a_value_are_not_saved(self, tmp_path, mode):
        """The error names them, and nothing is written."""
        saver = ckpt.Saver(
            [
                mode.variable(1, "a"),
                ckpt.Variable(shape=1, name="b"),
                ckpt.Variable(shape=1, name="c"),
            ]
        )
        with pytest.raises(ckpt.NotCheckpointableError, match=r"2 of 3 values .*: b, c\. Assign"):
            saver.save(mode.session, tmp_path / "model")
        assert [] == os.listdir(tmp_path)

    def test_everything_is_checked_before_anything_is_assigned(self, tmp_path, mode):
        """A missing name, another shape or another dtype: nothing was changed."""
        saved = {"a": np.ones(1), "b": np.ones(1)}
        path = ckpt.Saver(saved).save(mode.session, tmp_path / "model")
        a = mode.variable([5.0])
        for other, error in (
            (("x", [5.0]), ckpt.TensorNotFoundError),
            (("b", [5.0, 6.0]), ckpt.IncompatibleCheckpointError),
            (("b", [5]), ckpt.IncompatibleCheckpointError),
        ):
            name, value = other
            with pytest.raises(error, match=name):
                ckpt.Saver({"a": a, name: mode.variable(value)}).restore(mode.session, path)
        assert [5.0] == mode.read(a)

    def test_a_missing_name_is_explained(self, tmp_path, mode):
        """The message says what is missing, what is extra, and how many matched."""
        saved = [mode.variable(1.0, "w"), mode.variable(1.0, "kernel")]
        path = ckpt.Saver(saved).save(mode.session, tmp_path / "model")
        saver = ckpt.Saver({"w": saved[0], "kernels": saved[1]})
        with pytest.raises(ckpt.TensorNotFoundError) as caught:
            saver.restore(mode.session, path)
        message = str(caught.value)
        assert "1 of 2 names are not in the checkpoint; 1 matched" in message
        assert "missing: kernels" in message
        assert "extra: kernel" in message

    def test_object_based_checkpoints_are_restored_by_global_names(self, tmp_path, mode):
        """By the names that their Variables had, whatever their paths were."""
        root = ckpt.Checkpoint(layer=[mode.variable([1.0], "w"), mode.variable([2.0], "v")])
        with mode.default():
            path = root.write(tmp_path / "model")
        live = mode.variable([0.0])
        ckpt.Saver({"v": live}).restore(mode.session, path)
        assert [2.0] == mode.read(live)
        with pytest.raises(ckpt.TensorNotFoundError, match="object-based"):
            ckpt.Saver({"x": live}).restore(mode.session, path)

    def test_damage_is_noticed(self, tmp_path, mode):
        """Every byte that is read is verified."""
        w = mode.variable(np.zeros(1000), "w")
        saver = ckpt.Saver([w])
        path = saver.save(mode.session, tmp_path / "model")
        (shard,) = [name for name in os.listdir(tmp_path) if ".data-" in name]
        data = bytearray((tmp_path / shard).read_bytes())
        data[100] ^= 1
        (tmp_path / shard).write_bytes(data)
        with pytest.raises(ckpt.CorruptCheckpointError):
            saver.restore(mode.session, path)

    def test_the_same_path_is_replaced(self, tmp_path, mode):
        """Atomically; a checkpoint of another kind too, but never another file."""
        w = mode.variable(1.0, "w")
        saver = ckpt.Saver([w])
        with mode.default():
            ckpt.Checkpoint(w=w).write(tmp_path / "model")
        saver.save(mode.session, tmp_path / "model", write_meta_graph=False)
        assert {"w": 1.0} == ckpt.load(tmp_path / "model")
        (tmp_path / "notes.index").write_text("mine")
        with pytest.raises(ckpt.CheckpointExistsError, match=r"notes\.index"):
            saver.save(mode.session, tmp_path / "notes")
        assert "mine" == (tmp_path / "notes.index").read_text()

    def test_missing_directories_are_made(self, tmp_path, mode):
        """With their parents."""
        path = ckpt.Saver([mode.variable(1.0, "w")]).save(mode.session, tmp_path / "a" / "b" / "m")
        assert str(tmp_path / "a" / "b" / "m") == path
        assert ckpt.checkpoint_exists(path)

    def test_options_are_those_of_every_save(self, tmp_path, mode):
        """Metadata, shard sizes, no overwriting."""
        options = ckpt.SaveOptions(metadata={"run": 7}, overwrite=False, max_shard_bytes=8)
        saver = ckpt.Saver({"a": mode.variable(1.0), "b": mode.variable(2.0)}, options=options)
        path = saver.save(mode.session, tmp_path / "model")
        with ckpt.load_checkpoint(path) as reader:
            assert 7 == reader.metadata["run"]
        assert 2 == sum(".data-" in name for name in os.listdir(tmp_path))
        with pytest.raises(ckpt.CheckpointExistsError):
            saver.save(mode.session, tmp_path / "model")

    def test_waiting_values_come_in_before_a_save(self, tmp_path):
        """What an object-based restore has deferred, and has come since, is saved."""
        path = ckpt.Checkpoint(layers=[ckpt.Variable(1.0)]).write(tmp_path / "old")
        root = ckpt.Checkpoint(layers=[])
        w = ckpt.Variable(0.0, name="w")
        status = root.read(path)
        root.layers.append(w)
        saved = ckpt.Saver([w]).save(None, tmp_path / "new")
        assert ({"w": 1.0}, 1.0) == (ckpt.load(saved), w.value)
        status.assert_consumed()

    def test_the_documented_way(self, tmp_path, mode):
        """Make a saver, train, save every so many steps; nothing is saved by itself."""
        w = mode.variable(0.0, "w")
        saver = ckpt.Saver() if mode.is_graph else ckpt.Saver([w])
        for step in range(100):
            mode.write(w, step)
            assert (step > 0) == bool(os.listdir(tmp_path))
            if step % 10 == 0:
                saver.save(mode.session, tmp_path / "my-model", global_step=step)
        expected = [f"my-model-{step}" for step in (50, 60, 70, 80, 90)]
        assert expected == [os.path.basename(path) for path in saver.last_checkpoints]
        assert 90.0 == ckpt.load(ckpt.latest_checkpoint(tmp_path))["w"]


class TestNumbers:
    def test_a_step_is_added_to_the_name(self, tmp_path, mode):
        """An integer, a numpy scalar, a Variable, or its name with or without `:0`; 0 counts."""
        step = mode.variable(7, "step")
        saver = ckpt.Saver([step])
        steps = [0, 12, np.int64(3), np.uint8(4), np.array(5), step, "step", "step:0"]
        paths = [saver.save(mode.session, tmp_path / "m", global_step=s) for s in steps]
        expected = ["m-0", "m-12", "m-3", "m-4", "m-5", "m-7", "m-7", "m-7"]
        assert expected == [os.path.basename(path) for path in paths]

    def test_steps_can_be_padded(self, tmp_path, mode):
        """To 8 digits; wider ones are not cut. The newest is found by number all the same."""
        saver = ckpt.Saver([mode.variable(7, "w")], pad_step_number=True)
        paths = [
            saver.save(mode.session, tmp_path / "m", global_step=s)
            for s in (5, 12345678, 1234567890)
        ]
        names = [os.path.basename(path) for path in paths]
        assert ["m-00000005", "m-12345678", "m-1234567890"] == names
        assert paths[-1] == ckpt.latest_checkpoint(tmp_path)

    def test_what_is_no_step_is_refused(self, tmp_path, mode):
        """With what was expected; nothing is written."""
        saver = ckpt.Saver([mode.variable(1.5, "x"), mode.variable(1, "step")])
        for step, error in (
            (1.0, TypeError),
            (True, TypeError),
            (np.array([1]), TypeError),
            ("x", TypeError),
            (-1, ValueError),
            ("stop", ValueError),
        ):
            with pytest.raises(error, match="global_step is"):
                saver.save(mode.session, tmp_path / "m", global_step=step)
        with pytest.raises(ValueError, match="the nearest: step"):
            saver.save(mode.session, tmp_path / "m", global_step="stop")
        assert [] == os.listdir(tmp_path)

    def test_a_step_may_be_an_operation(self, tmp_path):
        """It is run in the session, before the values are read; by name too."""
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            step = ckpt.Variable(3, name="step")
            session.run(step.initializer)
            increment = step.assign_add(1)
            saver = ckpt.Saver()
            saver.save(session, tmp_path / "m", global_step=increment)
            path = saver.save(session, tmp_path / "m", global_step=increment.name)
        assert (str(tmp_path / "m-5"), 5) == (path, ckpt.load(path)["step"])


class TestForms:
    @pytest.mark.parametrize("version", [ckpt.SaverDef.LEGACY, ckpt.SaverDef.V1])
    def test_version_1_writes_one_file(self, tmp_path, mode, version):
        """Called exactly as the prefix; `SaveOptions(single_file=True)` does the same."""
        w = mode.variable(1.0, "w")
        savers = (
            ckpt.Saver([w], write_version=version),
            ckpt.Saver([w], options=ckpt.SaveOptions(single_file=True)),
        )
        for number, saver in enumerate(savers):
            directory = tmp_path / str(number)
            saver.save(mode.session, directory / "m", write_meta_graph=False)
            assert ["checkpoint", "m"] == listing(directory)

    def test_version_2_writes_index_and_shards(self, tmp_path, mode):
        """It is the default."""
        saver = ckpt.Saver([mode.variable(1.0, "w")])
        saver.save(mode.session, tmp_path / "m", write_meta_graph=False)
        assert ["checkpoint", "m", "m.index"] == listing(tmp_path)
        assert ckpt.SaverDef.V2 == saver.as_saver_def().version

    def test_both_forms_are_read_whatever_the_flag(self, tmp_path, mode):
        """Either saver reads what either saver wrote, and replaces it."""
        w = mode.variable(1.0, "w")
        savers = [ckpt.Saver([w], write_version=version) for version in (1, 2)]
        for writer in savers:
            path = writer.save(mode.session, tmp_path / "m", write_meta_graph=False)
            for reader in savers:
                mode.write(w, 0)
                reader.restore(mode.session, path)
                assert 1.0 == mode.read(w)
                mode.write(w, 1)

    def test_other_versions_are_refused(self):
        """There are three."""
        with pytest.raises(ValueError, match="write_version of a Saver, is 3, expected 0 or 1, "):
            ckpt.Saver({"w": np.zeros(1)}, write_version=3)

    def test_sharded_savers_write_a_shard_for_each_device(self, tmp_path, mode):
        """And return a pattern with their number, which `restore` takes."""
        variables = [
            mode.variable([float(i)], f"v{i}", device=device)
            for i, device in enumerate(["/cpu:1", "/cpu:0", None, "/cpu:1"])
        ]
        saver = ckpt.Saver(variables, sharded=True)
        path = saver.save(mode.session, tmp_path / "m", global_step=3, write_meta_graph=False)
        assert str(tmp_path / "m-3-?????-of-00003") == path
        assert 3 == sum(".data-" in name for name in os.listdir(tmp_path))
        for variable in variables:
            mode.write(variable, 9)
        saver.restore(mode.session, path)
        assert [0.0, 1.0, 2.0, 3.0] == [mode.read(variable).item() for variable in variables]
        saver.restore(mode.session, tmp_path / "m-3")
        assert str(tmp_path / "m-3") == ckpt.latest_checkpoint(tmp_path)
        assert [path] == saver.last_checkpoints

    def test_sharded_in_tensorflows_format_returns_a_path_for_tensorflow(self, tmp_path, mode):
        """TensorFlow opens no pattern for that format, so the path is the plain one."""
        variables = [mode.variable(1.0, name, device=name) for name in "ab"]
        options = ckpt.SaveOptions(format="tensorflow")
        saver = ckpt.Saver(variables, sharded=True, options=options)
        path = saver.save(mode.session, tmp_path / "m", write_meta_graph=False)
        assert (str(tmp_path / "m"), [path]) == (path, saver.last_checkpoints)
        assert 2 == sum(".data-" in name for name in os.listdir(tmp_path))
        mode.write(variables[0], 9)
        saver.restore(mode.session, path)
        assert 1.0 == mode.read(variables[0])

    def test_a_device_can_have_several_shards(self, tmp_path, mode):
        """The number in the pattern is that of the shards really written."""
        values = {name: mode.variable(np.zeros(10)) for name in "abc"}
        options = ckpt.SaveOptions(max_shard_bytes=80)
        saver = ckpt.Saver(values, sharded=True, options=options)
        path = saver.save(mode.session, tmp_path / "m")
        assert path.endswith("m-?????-of-00003")

    def test_sharded_goes_before_one_file(self, tmp_path, mode):
        """One file has one shard, so a sharded saver never writes that form."""
        saver = ckpt.Saver([mode.variable(1.0, "w")], sharded=True, write_version=ckpt.SaverDef.V1)
        path = saver.save(mode.session, tmp_path / "m", write_meta_graph=False)
        assert path.endswith("m-?????-of-00001")
        assert ["checkpoint", "m", "m.index"] == listing(tmp_path)

    def test_reshape_lets_other_shapes_of_the_same_size_in(self, tmp_path, mode):
        """Another size is refused even then."""
        path = ckpt.Saver([mode.variable(np.arange(6.0), "w")]).save(mode.session, tmp_path / "m")
        w = mode.variable(np.zeros((2, 3)))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"\(6,\)"):
            ckpt.Saver({"w": w}).restore(mode.session, path)
        ckpt.Saver({"w": w}, reshape=True).restore(mode.session, path)
        assert [[0, 1, 2], [3, 4, 5]] == mode.read(w).tolist()
        with pytest.raises(ckpt.IncompatibleCheckpointError):
            ckpt.Saver({"w": mode.variable(np.zeros(7))}, reshape=True).restore(mode.session, path)


class TestSessions:
    def test_other_things_than_sessions_are_refused(self, tmp_path):
        """While a graph is built: for saves, restores, and empty savers too."""
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            w = ckpt.Variable(1.0, name="w")
            session.run(w.initializer)
            for saver in (ckpt.Saver([w]), ckpt.Saver([], allow_empty=True)):
                for sess in (None, "session", ckpt.Graph()):
                    with pytest.raises(TypeError, match=r"sess is a .*, expected the Session"):
                        saver.save(sess, tmp_path / "m")
                    with pytest.raises(TypeError, match=r"sess is a .*, expected the Session"):
                        saver.restore(sess, tmp_path / "m")
        assert [] == os.listdir(tmp_path)

    def test_sessions_of_other_graphs_are_refused(self, tmp_path):
        """So are closed ones."""
        with ckpt.Graph().as_default():
            saver, closed = ckpt.Saver([ckpt.Variable(1.0, name="w")]), ckpt.Session()
        closed.close()
        with pytest.raises(ValueError, match="another graph"):
            saver.save(ckpt.Session(ckpt.Graph()), tmp_path / "m")
        with pytest.raises(RuntimeError, match="closed"):
            saver.save(closed, tmp_path / "m")

    def test_the_session_is_ignored_in_eager_execution(self, tmp_path):
        """Whatever it is."""
        saver = ckpt.Saver([ckpt.Variable(1.0, name="w")])
        saver.restore(object(), saver.save("session", tmp_path / "m"))

    def test_each_session_has_its_own_values(self, tmp_path):
        """What is saved and restored is that of the session that is given."""
        with ckpt.Graph().as_default():
            w = ckpt.Variable(0.0, name="w")
            saver = ckpt.Saver()
        sessions = [ckpt.Session(w.initializer.graph) for _ in range(2)]
        for value, session in enumerate(sessions):
            session.run(w.assign(float(value)))
        paths = [saver.save(session, tmp_path / f"m{i}") for i, session in enumerate(sessions)]
        assert [0.0, 1.0] == [ckpt.load(path)["w"] for path in paths]
        saver.restore(sessions[0], paths[1])
        assert [1.0, 1.0] == [session.run(w) for session in sessions]

    def test_a_saver_belongs_to_the_graph_of_its_variables(self, tmp_path):
        """Also where that is not the default graph when the saver is made."""
        with ckpt.Graph().as_default() as graph:
            w = ckpt.Variable(1.0, name="w")
        saver, session = ckpt.Saver([w]), ckpt.Session(graph)
        session.run(w.initializer)
        assert {"w": 1.0} == ckpt.load(saver.save(session, tmp_path / "m"))


class TestRestorePaths:
    def test_none_is_refused(self, mode):
        """As `latest_checkpoint` returns it where there is none."""
        with pytest.raises(ValueError, match="save_path is None"):
            ckpt.Saver([mode.variable(1.0, "w")]).restore(mode.session, None)

    def test_what_is_no_checkpoint_is_refused(self, tmp_path, mode):
        """A missing one, another file, an empty directory: all are a `ValueError`."""
        (tmp_path / "notes").write_text("mine")
        (tmp_path / "empty").mkdir()
        saver = ckpt.Saver([mode.variable(1.0, "w")])
        for name in ("missing", "notes", "empty", "missing-?????-of-00002"):
            with pytest.raises(ValueError, match=name.partition("-")[0]):
                saver.restore(mode.session, tmp_path / name)

    def test_a_directory_means_its_newest_checkpoint(self, tmp_path, mode):
        """As in every other restore."""
        w = mode.variable(1.0, "w")
        saver = ckpt.Saver([w])
        saver.save(mode.session, tmp_path / "m", global_step=1)
        mode.write(w, 2)
        saver.save(mode.session, tmp_path / "m", global_step=2)
        mode.write(w, 0)
        saver.restore(mode.session, tmp_path)
        assert 2.0 == mode.read(w)


class TestEmptySavers:
    def test_nothing_to_save_is_refused(self, mode):
        """Unless it is allowed."""
        for nothing in ([], {}, ()):
            with pytest.raises(ValueError, match="there is nothing to save"):
                ckpt.Saver(nothing)
        if mode.is_graph:
            with pytest.raises(ValueError, match="there is nothing to save"):
                ckpt.Saver()

    def test_an_empty_saver_does_nothing(self, tmp_path, mode):
        """It returns None, writes nothing, and restores from anywhere."""
        saver = ckpt.Saver([], allow_empty=True)
        assert saver.save(mode.session, tmp_path / "m", global_step=3) is None
        saver.restore(mode.session, tmp_path / "missing")
        saver.restore(mode.session, None)
        assert ([], []) == (os.listdir(tmp_path), saver.last_checkpoints)


class TestLatestFilename:
    def test_another_state_file_can_be_named(self, tmp_path, mode):
        """Several savers in one directory keep theirs apart; `latest_checkpoint` takes the name."""
        w = mode.variable(1.0, "w")
        ckpt.Saver([w]).save(mode.session, tmp_path / "a", 1)
        ckpt.Saver([w]).save(mode.session, tmp_path / "b", 2, latest_filename="latest_b")
        assert str(tmp_path / "b-2") == ckpt.latest_checkpoint(tmp_path, "latest_b")
        assert 'model_checkpoint_path: "a-1"' in (tmp_path / "checkpoint").read_text()

    def test_path_components_are_refused(self, tmp_path, mode):
        """It stands beside the checkpoints; nothing is written."""
        saver = ckpt.Saver([mode.variable(1.0, "w")])
        for name in ("a/b", "/etc/x", "..", ".", "", "b/"):
            with pytest.raises(ValueError, match="path components"):
                saver.save(mode.session, tmp_path / "m", latest_filename=name)
        with pytest.raises(ValueError, match="ends as a file of a checkpoint"):
            saver.save(mode.session, tmp_path / "m", latest_filename="m.index")
        with pytest.raises(TypeError, match="latest_filename is 5"):
            saver.save(mode.session, tmp_path / "m", latest_filename=5)
        assert [] == os.listdir(tmp_path)

    def test_a_collision_with_the_checkpoint_is_refused(self, tmp_path, mode):
        """Of the same name; sharded savers write no file of that name."""
        w = mode.variable(1.0, "w")
        for kwargs in ({"latest_filename": "m"}, {"latest_filename": "m-1", "global_step": 1}):
            with pytest.raises(ValueError, match="collides with save_path"):
                ckpt.Saver([w]).save(mode.session, tmp_path / "m", **kwargs)
        with pytest.raises(ValueError, match="collides with save_path"):
            ckpt.Saver([w]).save(mode.session, tmp_path / "checkpoint")
        assert [] == os.listdir(tmp_path)
        ckpt.Saver([w], sharded=True).save(mode.session, tmp_path / "m", latest_filename="m")
        assert {"w": 1.0} == ckpt.load(tmp_path / "m")


class TestFailures:
    @pytest.mark.parametrize("kind", [{}, {"sticky": True}, {"interrupt": True}], ids=str)
    def test_a_failed_save_changes_nothing(self, kind):
        """Whichever operation fails: all is as before, or the save counts and the next mends it."""
        outcomes = set()
        for at in itertools.count():
            disk, fault = MemoryStorage(), Fault(at=10**9, errno=28, **kind)
            saver = ckpt.Saver(
                {"w": np.zeros(1)}, storage=FaultyStorage(disk, fault), max_to_keep=2
            )
            saver.save(None, "/run/m", 1)
            saver.save(None, "/run/m", 2)
            before = disk.image().files
            fault.at, fault.seen = at, 0
            outcome = self.outcome(saver)
            fault.at = 10**9
            if not fault.hit:
                break
            outcomes.add(outcome)
            if outcome == "failed":
                assert ["/run/m-1", "/run/m-2"] == saver.last_checkpoints
                assert before.items() <= disk.image().files.items()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ckpt.CheckpointWarning)
                saver.save(None, "/run/m", 4)
            expected = ["/run/m-2", "/run/m-4"] if outcome == "failed" else ["/run/m-3", "/run/m-4"]
            assert expected == saver.last_checkpoints
            there = {path.removesuffix(".index") for path in disk.image().files}
            indexes = there - {*disk.image().files}
            # One that failed at the very last sync may be there, and nobody lists it.
            assert {*expected} == indexes - ({"/run/m-3"} - {*expected})
        assert {"failed", "interrupted" if "interrupt" in kind else "warned"} <= outcomes

    def outcome(self, saver):
        """Save a third time, and tell what came of it."""
        known = saver.last_checkpoints
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ckpt.CheckpointWarning)
            try:
                saver.save(None, "/run/m", 3)
            except ckpt.StorageError:
                return "failed"
            except KeyboardInterrupt:
                return "failed" if known == saver.last_checkpoints else "interrupted"
        return "warned" if caught else "saved"

    def test_a_failing_state_file_is_a_warning(self, tmp_path, mode):
        """The checkpoint itself is saved and remembered."""
        (tmp_path / "checkpoint").mkdir()
        saver = ckpt.Saver([mode.variable(1.0, "w")])
        with pytest.warns(ckpt.CheckpointWarning, match="is saved, but the state file"):
            path = saver.save(mode.session, tmp_path / "m")
        assert (True, [path]) == (ckpt.checkpoint_exists(path), saver.last_checkpoints)

    def test_arguments_are_checked(self, tmp_path):
        """How many to keep, for how long, suffixes, builders: each error says what was expected."""
        w = {"w": np.zeros(1)}
        for kwargs, error in (
            ({"max_to_keep": -1}, ValueError),
            ({"max_to_keep": 1.5}, TypeError),
            ({"max_to_keep": True}, TypeError),
            ({"max_to_keep": np.zeros(2)}, TypeError),
            ({"keep_checkpoint_every_n_hours": -1}, ValueError),
            ({"keep_checkpoint_every_n_hours": float("nan")}, ValueError),
            ({"keep_checkpoint_every_n_hours": "1"}, TypeError),
            ({"builder": object()}, TypeError),
            ({"saver_def": {}}, ValueError),
            ({"filename": 5}, TypeError),
            ({"options": {}}, TypeError),
        ):
            with pytest.raises(error, match=next(iter(kwargs)).replace("filename", "path")):
                ckpt.Saver(w, **kwargs)
        for suffix, error in (
            ("", ValueError),
            ("a/b", ValueError),
            ("index", ValueError),
            (5, TypeError),
        ):
            with pytest.raises(error, match="meta_graph_suffix is"):
                ckpt.Saver(w).save(None, tmp_path / "m", meta_graph_suffix=suffix)
        assert [] == os.listdir(tmp_path)


def test_a_restore_by_the_saver_is_later_than_one_that_waits(tmp_path):
    """A value that an older object-based restore left waiting does not replace it."""
    old = ckpt.Checkpoint(root=ckpt.Checkpoint(w=ckpt.Variable(1.0))).write(tmp_path / "old")
    w = ckpt.Variable(2.0, name="w")
    new = ckpt.Saver([w]).save(None, tmp_path / "new")
    holder = ckpt.Checkpoint()
    status = ckpt.Checkpoint(root=holder).read(old)
    ckpt.Saver([w]).restore(None, new)
    holder.w = w
    assert 2.0 == w.value
    status.expect_partial()


def test_threads_may_save_with_savers_of_their_own(tmp_path):
    """Into one directory: every checkpoint is whole, and every name is kept in the state file."""

    def run(number):
        saver = ckpt.Saver({"w": np.full(100, number)}, max_to_keep=2)
        for step in range(5):
            saver.save(None, tmp_path / f"m{number}", step)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"m{number}-{step}" for number in range(4) for step in (3, 4)}
    assert expected | {"checkpoint"} == {name.removesuffix(".index") for name in listing(tmp_path)}
    state = (tmp_path / "checkpoint").read_text()
    assert [1] * 8 == [state.count(f'all_model_checkpoint_paths: "{name}"') for name in expected]
