"""Importing a meta graph: variables, parts, collections and saver come back, or nothing does."""

from __future__ import annotations

import pathlib
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.format import dtypes
from checkpointable.name_based.importing import import_graph
from checkpointable.name_based.meta_graph import MetaGraphDef, VariableDef, VariableReference
from checkpointable.name_based.meta_graph_file import read_meta_graph
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.storage.local import LOCAL
from tests.name_based.graphs import ITEMS, OTHER, OWN, WHEN, StandInSaver, build


def described(**arguments: Any) -> MetaGraphDef:
    """Describe the graph of `graphs.py` with its saver."""
    return ckpt.export_meta_graph(
        **{"graph": build(), "saver_def": OWN, "items": ITEMS, **arguments}
    )


def imported(
    meta: Any = None,
    graph: ckpt.Graph | None = None,
    clear_devices: bool = False,
    import_scope: str | None = None,
    **settings: Any,
) -> tuple[ckpt.Graph, StandInSaver | None]:
    """Import a meta graph, by default that of `graphs.py`, into a graph, by default a new one."""
    graph = ckpt.Graph() if graph is None else graph
    meta = described() if meta is None else meta
    with graph.as_default():
        saver = import_graph(StandInSaver, meta, clear_devices, import_scope, settings)
    return graph, saver


def names(held: list[Any]) -> list[str]:
    """Return the names of variables."""
    return [variable.name for variable in held]


class TestRebuilding:
    def test_a_rebuilt_graph_has_the_same_description(self):
        """Variables, parts, devices, collections: all that is described is there again."""
        meta = described()

        again, saver = imported(meta)

        found = ckpt.export_meta_graph(graph=again, saver_def=OWN, items=ITEMS)
        # The stand-in describes itself as another saver, and stands where the first one did.
        assert (OTHER, OTHER) == found.collections["savers"]
        assert saver is again.get_collection("savers")[0]
        restored = {**found.collections, "savers": meta.collections["savers"]}
        assert meta == attrs.evolve(found, collections=restored, left_out=meta.left_out)

    def test_variables_begin_at_zero(self):
        """A file of a meta graph holds no values; the initializers give zeros."""
        graph, _ = imported()
        variables = graph.get_collection("variables")

        with ckpt.Session(graph) as session:
            session.run([variable.initializer for variable in variables])
            values = session.run(variables)

        assert [(), (2, 3), (2, 2), (1, 2)] == [value.shape for value in values]
        assert not any(value.any() for value in values)

    def test_the_same_names_and_operations(self):
        """A program that asks for an operation of a variable by its name finds it."""
        graph, _ = imported()

        for variable in graph.get_collection("variables"):
            name = f"{variable.name}/initialize"
            assert graph.get_operation_by_name(name) is variable.initializer

    def test_dtypes_come_back(self):
        """Whatever a variable can be of."""
        dtypes = [np.dtype("M8[ms]"), np.dtype("U7"), np.dtypes.StringDType(), np.dtype(bool)]
        with ckpt.Graph().as_default() as graph:
            for dtype in dtypes:
                ckpt.Variable(shape=(2,), dtype=dtype, name="v")

        again, _ = imported(ckpt.export_meta_graph(graph=graph))

        assert dtypes == [variable.dtype for variable in again.get_collection("variables")]

    def test_collections_hold_copies(self):
        """Two graphs that are rebuilt from one record share nothing that can change."""
        meta = described()
        [one], [two] = (
            [v for v in imported(meta)[0].get_collection("plain") if isinstance(v, dict)]
            for _ in range(2)
        )

        assert {"four": WHEN} == one == two
        assert one is not two

    def test_any_variable_may_have_been_collected_as_trainable(self):
        """What a graph does not collect by itself comes from the description."""
        with ckpt.Graph().as_default() as graph:
            step = ckpt.Variable(0, name="step", trainable=False)
            ckpt.Variable(0, name="w")
            graph.add_to_collection("trainable_variables", step)

        again, _ = imported(ckpt.export_meta_graph(graph=graph))

        assert ["w", "step"] == names(again.get_collection("trainable_variables"))
        assert ["step", "w"] == names(again.get_collection("variables"))

    def test_files_of_both_forms_are_imported(self, tmp_path):
        """Recognised by their content; a path may be text or path-like."""
        for as_text, path in ((True, tmp_path / "a"), (False, str(tmp_path / "b"))):
            described(filename=path, as_text=as_text)
            assert 4 == len(imported(path)[0].get_collection("variables"))


class TestSavers:
    def test_the_saver_saves_under_the_stored_names(self):
        """Each name in the checkpoint has its variable, a partitioned one its parts."""
        graph, saver = imported()
        step, kernel, *parts = graph.get_collection("variables")

        assert ["step", "old/kernel", "layer/table"] == list(saver.var_list)
        assert saver.var_list["step"] is step
        assert saver.var_list["old/kernel"] is kernel
        assert [True, True] == [
            a is b for a, b in zip(saver.var_list["layer/table"], parts, strict=True)
        ]

    def test_the_saver_is_as_it_was_described(self):
        """All its settings come back; those of the caller come before."""
        saver_def = SaverDef("", "", "a/save/restore_all", 3, True, 0.5, SaverDef.V1)

        _, saver = imported(described(saver_def=saver_def))
        _, other = imported(described(saver_def=saver_def), max_to_keep=7, name="mine")

        expected = StandInSaver(saver.var_list, "a/save", 3, True, 0.5, SaverDef.V1)
        assert expected == saver
        assert (7, "mine", True) == (other.max_to_keep, other.name, other.sharded)

    def test_without_a_saver_all_variables_are_saved(self):
        """Under their stored names, parts as one; with the settings of any Saver."""
        _, saver = imported(ckpt.export_meta_graph(graph=build()))

        assert ["step", "layer/kernel", "layer/table"] == list(saver.var_list)
        assert StandInSaver(saver.var_list) == saver

    def test_without_variables_there_is_no_saver(self):
        """The collections come all the same."""
        graph = ckpt.Graph()
        graph.add_to_collection("plain", 1)

        again, saver = imported(ckpt.export_meta_graph(graph=graph))

        assert (None, [1]) == (saver, again.get_collection("plain"))

    def test_a_saver_of_nothing_stays_one(self):
        """It is told that it may be empty."""
        _, saver = imported(described(items={}))

        assert ({}, True) == (saver.var_list, saver.allow_empty)


class TestScopes:
    @pytest.mark.parametrize("scope", ["copy", "copy/"])
    def test_names_stand_below_the_import_scope(self, scope):
        """Those of variables and of partitioned tensors; names in checkpoints stay."""
        graph, saver = imported(import_scope=scope)

        variables = graph.get_collection("variables")
        assert [
            "copy/step",
            "copy/layer/kernel",
            "copy/layer/table/part_0",
            "copy/layer/table/part_1",
        ] == names(variables)
        assert "copy/layer/table" == variables[2].save_slice.full_name
        assert ["step", "old/kernel", "layer/table"] == list(saver.var_list)

    def test_one_graph_takes_several_imports(self):
        """A scope is made unique like every other."""
        graph = ckpt.Graph()
        for _ in range(2):
            imported(graph=graph, import_scope="copy")

        assert ["copy/step", "copy_1/step"] == names(graph.get_collection("variables"))[::4]

    def test_the_scope_of_the_caller_counts(self):
        """As it does for every variable that is made in its block."""
        graph = ckpt.Graph()
        with graph.name_scope("outer"):
            imported(graph=graph)
            imported(graph=graph, import_scope="inner")

        found = names(graph.get_collection("variables"))
        assert ["outer/step", "outer/inner/step"] == found[::4]

    def test_an_exported_scope_is_imported_elsewhere(self):
        """The scope goes when exporting, another comes when importing."""
        graph, saver = imported(described(export_scope="layer"), import_scope="stack")

        variables = graph.get_collection("variables")
        assert ["stack/kernel", "stack/table/part_0", "stack/table/part_1"] == names(variables)
        assert variables[0] is saver.var_list["old/kernel"]

    def test_devices_are_kept_or_cleared(self):
        """Cleared ones take what the program says now."""
        graph = ckpt.Graph()
        with graph.device("cpu"):
            imported(graph=graph, import_scope="a")
            imported(graph=graph, import_scope="b", clear_devices=True)

        devices = [variable.device for variable in graph.get_collection("variables")]
        assert ["cpu", "gpu:0", "gpu:0", "gpu:0"] + ["cpu"] * 4 == devices


class TestRealSavers:
    def test_values_are_restored_from_the_files_alone(self, tmp_path):
        """A program that knows nothing but the path has variables and values; parts too."""
        graph, path = saved(tmp_path)

        with ckpt.Graph().as_default() as again, ckpt.Session() as session:
            saver = ckpt.import_meta_graph(f"{path}.meta")
            saver.restore(session, path)
            found = session.run(again.get_collection("variables"))

        assert [7, 2, [[0, 1], [2, 3]], [[4, 5]]] == [value.tolist() for value in found]
        assert names(graph.get_collection("variables")) == names(again.get_collection("variables"))

    @pytest.mark.parametrize("scope", [None, "copy"])
    def test_the_saver_is_found_by_its_description(self, tmp_path, scope):
        """Its operations have their old names again, below the import scope."""
        graph, path = saved(tmp_path)
        with graph.as_default():
            description = ckpt.Saver(name="mine").as_saver_def()

        with graph.as_default():
            meta = ckpt.Saver.from_proto(description).export_meta_graph()
        with ckpt.Graph().as_default() as again, ckpt.Session() as session:
            saver = ckpt.import_meta_graph(meta, import_scope=scope)
            same = ckpt.Saver.from_proto(meta.saver_def, import_scope=scope)
            same.restore(session, path)
            found = session.run(again.get_collection("variables")[0])

        assert 7 == found
        assert saver.as_saver_def() == same.as_saver_def() == description.within(scope)

    def test_the_imported_saver_goes_on(self, tmp_path):
        """It saves what it restored, with the settings that it had."""
        _, path = saved(tmp_path, max_to_keep=2)

        with ckpt.Graph().as_default(), ckpt.Session() as session:
            saver = ckpt.import_meta_graph(f"{path}.meta")
            saver.restore(session, path)
            kept = [saver.save(session, tmp_path / "model", global_step=n) for n in (8, 9)]

        assert kept == saver.last_checkpoints
        assert {f"model-{n}.meta" for n in (8, 9)} == {p.name for p in tmp_path.glob("*.meta")}

    def test_another_slicing_takes_the_values(self, tmp_path):
        """The file holds one tensor, whatever its parts were."""
        _, path = saved(tmp_path)
        meta = ckpt.partitioned_variables((3, 2), (3, 1), name="any", dtype=np.int64)
        whole = ckpt.Variable(np.zeros((3, 2), np.int64))

        ckpt.Saver({"layer/table": meta}).restore(None, path)
        ckpt.Saver({"layer/table": whole}).restore(None, path)

        assert [[0, 1], [2, 3], [4, 5]] == whole.value.tolist()
        assert [[[0, 1]], [[2, 3]], [[4, 5]]] == [part.value.tolist() for part in meta]

    def test_a_save_writes_the_meta_graph(self, tmp_path):
        """Beside the checkpoint, with the suffix, the stripping and the debug file asked for."""
        graph, _ = saved(tmp_path)
        with ckpt.Session(graph) as session:
            session.run([v.initializer for v in graph.get_collection("variables")])
            saver = ckpt.Saver()
            saver.save(
                session,
                tmp_path / "m",
                meta_graph_suffix="graph",
                strip_default_attrs=True,
                save_debug_info=True,
            )
            saver.save(session, tmp_path / "n", write_meta_graph=False)

        meta = read_meta_graph(LOCAL, f"{tmp_path}/m.graph")
        assert meta.stripped_default_attrs
        assert meta == attrs.evolve(saver.export_meta_graph(), stripped_default_attrs=True)
        assert {"m.graph", "m_debug.graph"} == {p.name for p in tmp_path.glob("*.graph")}
        assert [] == list(tmp_path.glob("n*meta"))

    def test_a_meta_graph_that_cannot_be_written_is_no_failed_save(self, tmp_path):
        """The checkpoint is there, and a warning says what is not."""
        graph, _ = saved(tmp_path)
        (tmp_path / "m.meta").mkdir()
        with ckpt.Session(graph) as session:
            session.run([v.initializer for v in graph.get_collection("variables")])
            with pytest.warns(ckpt.CheckpointWarning, match="not its meta graph"):
                path = ckpt.Saver().save(session, tmp_path / "m")

        assert ckpt.checkpoint_exists(path)

    def test_what_a_saver_saves_otherwise_is_left_out(self, tmp_path):
        """Arrays, and objects that restore themselves, are listed."""
        with ckpt.Graph().as_default():
            w = ckpt.Variable(1, name="w")
            saver = ckpt.Saver({"w": w, "array": np.zeros(2)})

        found = saver.export_meta_graph()

        assert {"w": ("w",)} == found.items
        assert ("the saver's item 'array': what it saves is no variable of the graph",) == (
            found.left_out
        )

    def test_eagerly_there_is_nothing_to_export(self):
        """There is no graph that could be described; one that is the default is not meant."""
        saver = ckpt.Saver([ckpt.Variable(1, name="w")])
        with pytest.raises(RuntimeError, match="no graph to describe"):
            saver.export_meta_graph()
        with ckpt.Graph().as_default(), pytest.raises(RuntimeError, match="no graph to describe"):
            saver.export_meta_graph()

    def test_other_savers_are_left_out(self):
        """Those of the collection "savers", if asked; the own one comes back as a Saver."""
        with ckpt.Graph().as_default() as graph:
            ckpt.Variable(1, name="w")
            own, other = ckpt.Saver(), ckpt.Saver(name="other")
            for saver in (own, other):
                graph.add_to_collection("savers", saver)
        both, only = (own.export_meta_graph(clear_extraneous_savers=c) for c in (False, True))

        assert (own.as_saver_def(), other.as_saver_def()) == both.collections["savers"]
        with ckpt.Graph().as_default() as again:
            rebuilt = ckpt.import_meta_graph(only)
        assert [rebuilt] == again.get_collection("savers")
        with ckpt.Graph().as_default() as again:
            rebuilt = ckpt.import_meta_graph(both)
        assert [rebuilt, other.as_saver_def()] == again.get_collection("savers")

    def test_wrong_settings_are_refused_before_anything_is_rebuilt(self, tmp_path):
        """Whatever the Saver refuses."""
        _, path = saved(tmp_path)
        for settings in ({"max_to_keep": -1}, {"write_version": 7}, {"max": 1}):
            with (
                ckpt.Graph().as_default() as graph,
                pytest.raises((TypeError, ValueError)),
            ):
                ckpt.import_meta_graph(f"{path}.meta", **settings)
            assert [] == graph.get_collection("variables"), settings


def saved(directory: pathlib.Path, **settings: Any) -> tuple[ckpt.Graph, str]:
    """Save a graph of a counter, a number in a scope and a table in parts."""
    with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
        step = ckpt.Variable(7, name="step", trainable=False)
        with graph.name_scope("layer"):
            ckpt.Variable(2, name="kernel")
            ckpt.partitioned_variables(
                (3, 2), (2, 1), np.arange(6).reshape(3, 2), np.int64, name="table"
            )
        session.run([variable.initializer for variable in graph.get_collection("variables")])
        path = ckpt.Saver(**settings).save(session, directory / "model", global_step=step)
    return graph, path


class TestRefusals:
    def refuse(self, error: type[Exception], message: str, **arguments: Any) -> None:
        """Check that an import is refused, and leaves a graph with one variable as it was."""
        with ckpt.Graph().as_default() as graph:
            ckpt.Variable(0, name="step")
        with pytest.raises(error, match=message):
            imported(**{"graph": graph, "import_scope": "new", **arguments})

        assert 2 == len(graph.get_operations())
        assert ["step"] == names(graph.get_collection("variables"))
        assert ["variables", "trainable_variables"] == graph.get_all_collection_keys()

    def test_eagerly_there_is_no_graph(self):
        """The error says how to make one."""
        with pytest.raises(RuntimeError, match=r"with ckpt\.Graph\(\)\.as_default\(\)"):
            import_graph(StandInSaver, described(), False, None, {})

    def test_names_that_are_taken(self):
        """A rebuilt variable never gets another name silently."""
        self.refuse(ValueError, "1 of the names .* such as step.*import_scope", import_scope=None)

    def test_files_that_are_none(self, tmp_path):
        """Missing, garbage, or a directory."""
        (tmp_path / "garbage").write_bytes(b"garbage")
        self.refuse(ckpt.CheckpointNotFoundError, "missing", meta=tmp_path / "missing")
        self.refuse(OSError, "missing", meta=tmp_path / "missing")
        self.refuse(ckpt.CorruptCheckpointError, "garbage", meta=tmp_path / "garbage")
        self.refuse(ckpt.StorageError, "is a directory", meta=pathlib.Path(tmp_path))

    @pytest.mark.parametrize("meta", [3, b"path", ["path"]])
    def test_other_arguments(self, meta):
        """A record or a path is expected."""
        self.refuse(TypeError, "expected a MetaGraphDef or the path", meta=meta)

    def test_settings_that_a_saver_does_not_have(self):
        """They are refused before a variable is rebuilt."""
        self.refuse(TypeError, "unexpected keyword argument 'max_to_kep'", max_to_kep=3)

    def test_a_scope_that_is_no_text(self):
        """As in name_scope."""
        self.refuse(TypeError, "a name in a graph is 3", import_scope=3)

    def test_a_finalized_graph(self):
        """Nothing can be added to it."""
        graph = ckpt.Graph()
        graph.finalize()
        for scope in (None, "new"):
            with pytest.raises(RuntimeError, match="the graph is finalized"):
                imported(graph=graph, import_scope=scope)
        assert ([], []) == (graph.get_operations(), graph.get_all_collection_keys())

    def test_a_dtype_that_needs_a_package(self, monkeypatch):
        """What is missing is named, and nothing was rebuilt."""
        monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
        dtypes.numpy_dtype.cache_clear()
        variables = [VariableDef("a", "float32", ()), VariableDef("b", "float8_e4m3", ())]

        self.refuse(
            ckpt.MissingDependencyError, "pip install", meta=MetaGraphDef(variables=variables)
        )

    def test_records_are_checked_when_made(self):
        """A record that no file could hold cannot be imported either."""
        w = VariableDef("w", "float32", ())
        for fields in (
            {"variables": [w, w]},
            {"variables": [w], "items": {"w": ["v"]}},
            {"variables": [w], "collections": {"c": [VariableReference("v")]}},
        ):
            with pytest.raises(ValueError, match="variable"):
                MetaGraphDef(**fields)
