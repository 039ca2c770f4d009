"""What a `Saver` records in a graph, how it is written down, and what builders may change."""

import os
import threading

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.bundle.reader import BundleSource


def two_variables(session=None):
    """Make two Variables, with values in the session that is given."""
    variables = [ckpt.Variable([1.0, 2.0], name="w"), ckpt.Variable(3.0, name="b")]
    if session is not None:
        session.run([variable.initializer for variable in variables])
    return variables


class TestRecording:
    def test_three_operations_are_recorded(self):
        """Under the scope `save`, made unique, or the one that is asked for."""
        with ckpt.Graph().as_default() as graph:
            two_variables()
            before = len(graph.get_operations())
            ckpt.Saver()
            ckpt.Saver()
            ckpt.Saver(name="mine")
            with graph.name_scope("outer"):
                saver = ckpt.Saver(name="inner")
        names = [operation.name for operation in graph.get_operations()[before:]]
        scopes = ("save", "save_1", "mine", "outer/inner")
        endings = ("Const", "control_dependency", "restore_all")
        assert [f"{scope}/{ending}" for scope in scopes for ending in endings] == names
        expected = (
            "outer/inner/Const:0",
            "outer/inner/control_dependency:0",
            "outer/inner/restore_all",
        )
        assert expected == saver.as_saver_def().operation_names

    @pytest.mark.parametrize(
        ("filename", "expected"), [(None, "model"), ("run/first", "run/first")]
    )
    def test_a_session_runs_them_by_themselves(self, tmp_path, monkeypatch, filename, expected):
        """They save to `filename` and restore from it, without any bookkeeping."""
        monkeypatch.chdir(tmp_path)
        with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
            w, _ = two_variables(session)
            saver = ckpt.Saver(filename=filename)
            name, save, restore = map(
                graph.get_operation_by_name, saver.as_saver_def().operation_names
            )
            assert [expected, expected] == session.run([name, save])
            session.run(w.assign([0.0, 0.0]))
            session.run(restore)
            assert [1.0, 2.0] == session.run(w).tolist()
        assert [1.0, 2.0] == ckpt.load(expected)["w"].tolist()
        assert [] == saver.last_checkpoints
        assert "checkpoint" not in os.listdir(os.path.dirname(expected) or ".")

    def test_saving_and_restoring_again_records_nothing(self, tmp_path):
        """Fifty times over, in operations, names and collections; also in a finalized graph."""
        with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
            two_variables(session)
            saver = ckpt.Saver(options=ckpt.SaveOptions(durable=False))
            graph.finalize()
            before = graph.get_operations(), graph.get_all_collection_keys()
            for step in range(50):
                path = saver.save(session, tmp_path / "m", step, write_meta_graph=False)
                saver.restore(session, path)
            saver.save(session, tmp_path / "m")
            assert before == (graph.get_operations(), graph.get_all_collection_keys())

    def test_nothing_can_be_built_once_the_graph_is_finalized(self):
        """A deferred build comes before that."""
        with ckpt.Graph().as_default() as graph:
            two_variables()
            saver = ckpt.Saver(defer_build=True)
            graph.finalize()
            for build in (saver.build, ckpt.Saver):
                with pytest.raises(RuntimeError, match="the graph is finalized"):
                    build()


class TestDeferredBuild:
    def test_a_saver_can_be_built_later(self, tmp_path):
        """It then saves what the graph has collected by that time; a second call does nothing."""
        with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
            saver = ckpt.Saver(defer_build=True)
            assert [] == graph.get_operations()
            two_variables(session)
            saver.build()
            recorded = graph.get_operations()
            saver.build()
            assert recorded == graph.get_operations()
            path = saver.save(session, tmp_path / "m")
        assert ["b", "w"] == sorted(ckpt.load(path))

    def test_before_that_it_cannot_be_used(self, tmp_path):
        """Saving, restoring and writing it down raise; the error says to call build()."""
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            two_variables(session)
            saver = ckpt.Saver(defer_build=True)
            for use in (
                lambda: saver.save(session, tmp_path / "m"),
                lambda: saver.restore(session, tmp_path / "m"),
                saver.as_saver_def,
                saver.to_proto,
            ):
                with pytest.raises(RuntimeError, match=r"defer_build=True. Call build\(\)"):
                    use()
        assert [] == os.listdir(tmp_path)

    def test_it_finds_by_itself_what_there_is_to_save(self):
        """So a list cannot be given too; with nothing there it is as any other saver."""
        with ckpt.Graph().as_default(), pytest.raises(ValueError, match="defer_build=True"):
            ckpt.Saver(two_variables(), defer_build=True)
        with ckpt.Graph().as_default(), pytest.raises(ValueError, match="nothing to save"):
            ckpt.Saver(defer_build=True).build()

    def test_in_eager_execution_there_is_nothing_to_build(self):
        """The error says what to use."""
        saver = ckpt.Saver(two_variables())
        with pytest.raises(RuntimeError, match=r"nothing to build. Use save\(\)"):
            saver.build()
        with pytest.raises(RuntimeError, match="none is the default"):
            ckpt.SaverBuilder().build(two_variables())


class TestSaverDef:
    def test_it_holds_the_settings(self):
        """In eager execution without names."""
        settings = {"max_to_keep": 3, "sharded": True, "keep_checkpoint_every_n_hours": 2.5}
        eager = ckpt.Saver(two_variables(), **settings, write_version=ckpt.SaverDef.V1)
        assert ckpt.SaverDef(**settings, version=1) == eager.as_saver_def() == eager.to_proto()
        with ckpt.Graph().as_default():
            recorded = ckpt.Saver(two_variables(), **settings).as_saver_def()
        names = ("save/Const:0", "save/control_dependency:0", "save/restore_all")
        assert ckpt.SaverDef(*names, **settings) == recorded
        assert 0 == ckpt.Saver(two_variables(), max_to_keep=None).as_saver_def().max_to_keep

    def test_its_numbers_are_plain_ones(self):
        """Whatever the caller counts with, so that a meta graph can hold them."""
        with ckpt.Graph().as_default():
            saver = ckpt.Saver(
                two_variables(),
                max_to_keep=np.int64(3),
                keep_checkpoint_every_n_hours=np.float32(2.5),
                sharded=1,
            )
            described = saver.export_meta_graph().saver_def
        expected = ckpt.SaverDef(
            *saver.as_saver_def().operation_names,
            max_to_keep=3,
            sharded=True,
            keep_checkpoint_every_n_hours=2.5,
        )
        assert expected == described
        assert [int, float, bool] == [
            type(described.max_to_keep),
            type(described.keep_checkpoint_every_n_hours),
            type(described.sharded),
        ]

    def test_a_saver_is_recreated_from_it(self, tmp_path):
        """From the operations that are in the graph; nothing is recorded, and settings hold."""
        with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
            w, _ = two_variables(session)
            first = ckpt.Saver(max_to_keep=1, sharded=True, reshape=True)
            before = graph.get_operations()
            graph.finalize()
            for saver in (
                ckpt.Saver(saver_def=first.as_saver_def()),
                ckpt.Saver.from_proto(first.to_proto()),
            ):
                paths = [saver.save(session, tmp_path / "m", n) for n in range(2)]
                assert paths[1].endswith("m-1-?????-of-00001")
                assert paths[1:] == saver.last_checkpoints
                session.run(w.initializer)
                saver.restore(session, paths[1])
                assert first.as_saver_def() == saver.as_saver_def()
            assert before == graph.get_operations()

    def test_scopes_are_put_before_names_and_taken_off(self):
        """`to_proto` takes one off, `from_proto` puts one before; outside of it there is None."""
        with ckpt.Graph().as_default() as graph:
            two_variables()
            with graph.name_scope("part"):
                saver = ckpt.Saver()
            inner = saver.to_proto(export_scope="part")
            assert "save/restore_all" == inner.restore_op_name
            assert inner == saver.to_proto("part/")
            assert saver.to_proto("other") is None
            assert saver.to_proto() == saver.as_saver_def()
            again = ckpt.Saver.from_proto(inner, import_scope="part")
            assert saver.as_saver_def() == again.as_saver_def()

    def test_operations_that_are_missing_are_named(self):
        """And other things than a SaverDef are refused."""
        with ckpt.Graph().as_default() as graph:
            two_variables()
            saver_def = ckpt.Saver().as_saver_def()
            for name in saver_def.operation_names:
                graph.add_operation(f"x/{name.removesuffix(':0').partition('/')[2]}", print)
        with ckpt.Graph().as_default():
            with pytest.raises(ValueError, match="no operation 'save/Const:0'"):
                ckpt.Saver(saver_def=saver_def)
            with pytest.raises(ValueError, match="does not name the operations"):
                ckpt.Saver(saver_def=ckpt.SaverDef())
            for other in ({}, "save", 5):
                with pytest.raises(ValueError, match=r"saver_def is a .*, expected a SaverDef"):
                    ckpt.Saver(saver_def=other)
        with graph.as_default(), pytest.raises(ValueError, match="not those of a saver"):
            ckpt.Saver(saver_def=ckpt.SaverDef("x/Const", "x/control_dependency", "x/restore_all"))

    def test_eagerly_its_settings_hold(self, tmp_path):
        """There are no operations to be found; what is saved must be said."""
        saver_def = ckpt.SaverDef("a", "b", "c", max_to_keep=1, sharded=True)
        saver = ckpt.Saver(two_variables(), saver_def=saver_def)
        for step in range(3):
            path = saver.save(None, tmp_path / "m", step)
        assert ([path], True) == (saver.last_checkpoints, path.endswith("-?????-of-00001"))


class Telling(ckpt.BulkSaverBuilder):
    """Notes what it is asked for, and leaves out what is called `b`."""

    def __init__(self, write_version=None):
        super().__init__(write_version)
        self.told = []

    def save(self, filename, saveables, write):
        self.told.append(("save", os.path.basename(filename), [s.name for s in saveables]))
        write([saveable for saveable in saveables if saveable.name != "b"])

    def restore(self, filename, saveables, read):
        self.told.append(("restore", os.path.basename(filename), [s.name for s in saveables]))
        super().restore(filename, [s for s in saveables if s.name != "b"], read)


class TestBuilders:
    def test_a_builder_may_change_what_is_written_and_read(self, tmp_path, mode):
        """Its hooks are called once for each save and restore."""
        w, b = mode.variable([1.0], "w"), mode.variable(2.0, "b")
        builder = Telling()
        saver = ckpt.Saver([w, b], builder=builder)
        path = saver.save(mode.session, tmp_path / "m", global_step=1)
        saver.restore(mode.session, path)
        assert ["w"] == list(ckpt.load(path))
        assert [("save", "m-1", ["b", "w"]), ("restore", "m-1", ["b", "w"])] == builder.told

    def test_a_builder_may_have_a_version_of_its_own(self, tmp_path, mode):
        """It goes before that of the saver; other versions are refused."""
        saver = ckpt.Saver([mode.variable(1.0, "w")], builder=Telling(ckpt.SaverDef.V1))
        saver.save(mode.session, tmp_path / "m", write_meta_graph=False)
        assert ["checkpoint", "m"] == sorted(os.listdir(tmp_path))
        assert ckpt.SaverDef.V1 == saver.as_saver_def().version
        with pytest.raises(ValueError, match="version"):
            ckpt.SaverBuilder(7)

    @pytest.mark.parametrize("times", [0, 2])
    def test_a_builder_must_write_once(self, tmp_path, mode, times):
        """Else there would be no checkpoint, or another one than the saver knows of."""

        class Wrong(ckpt.SaverBuilder):
            def save(self, filename, saveables, write):
                for _ in range(times):
                    write(saveables)

        saver = ckpt.Saver([mode.variable(1.0, "w")], builder=Wrong())
        with pytest.raises(RuntimeError, match=f"Wrong wrote {times} times"):
            saver.save(mode.session, tmp_path / "m")

    def test_a_builder_records_operations(self, tmp_path):
        """`build` takes what a saver saves, and says how the operations are called."""
        with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
            variables = two_variables(session)
            saver_def = ckpt.BulkSaverBuilder().build(
                variables, max_to_keep=None, name="mine", filename=str(tmp_path / "m")
            )
            session.run(graph.get_operation_by_name(saver_def.save_tensor_name))
        assert ("mine/restore_all", 0) == (saver_def.restore_op_name, saver_def.max_to_keep)
        assert ["b", "w"] == sorted(ckpt.load(tmp_path / "m"))

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, [(3, True)]),
            ({"builder": ckpt.BulkSaverBuilder()}, [(3, True)]),
            ({"builder": ckpt.SaverBuilder()}, [(1, False)] * 3),
            ({"restore_sequentially": True}, [(1, False)] * 3),
        ],
        ids=["default", "bulk", "one by one", "sequentially"],
    )
    def test_values_are_read_at_once_or_one_by_one(
        self, tmp_path, mode, monkeypatch, settings, expected
    ):
        """One by one means one value at a time, and in the thread that calls."""
        values = {name: mode.variable(np.zeros(50_000)) for name in "abc"}
        saver = ckpt.Saver(values, **settings)
        path = saver.save(mode.session, tmp_path / "m")
        reads, started = [], []
        read_into, start = BundleSource.read_into, threading.Thread.start

        def noted(self, numbers, targets, done=None, *, threads=True):
            reads.append((len(numbers), threads))
            return read_into(self, numbers, targets, done, threads=threads)

        def noted_start(thread):
            started.append(thread)
            return start(thread)

        monkeypatch.setattr(BundleSource, "read_into", noted)
        monkeypatch.setattr(threading.Thread, "start", noted_start)
        saver.restore(mode.session, path)
        assert expected == [read for read in reads if read[0]]
        assert len(expected) == 1 or started == []
