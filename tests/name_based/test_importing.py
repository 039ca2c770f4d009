"""Importing a meta graph: variables, parts, collections and saver come back, or nothing does."""

from __future__ import annotations

import pathlib
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.name_based.importing import import_graph
from checkpointable.name_based.meta_graph import MetaGraphDef, VariableDef, VariableReference
from checkpointable.name_based.saver_def import SaverDef
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
        saver_def = SaverDef("", "", "", 3, True, 0.5, SaverDef.V1)

        _, saver = imported(described(saver_def=saver_def))
        _, other = imported(described(saver_def=saver_def), max_to_keep=7, name="mine")

        expected = StandInSaver(saver.var_list, None, 3, True, 0.5, SaverDef.V1)
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
        assert scope == saver.name

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
