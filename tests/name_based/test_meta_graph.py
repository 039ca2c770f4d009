"""Meta graphs: what is described, the effect of each argument, and the files (F-47)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.format.limits import LONGEST_RECORD
from checkpointable.format.record_file import encode_record_file
from checkpointable.format.record_text import encode_record_text
from checkpointable.format.values import encode_value
from checkpointable.name_based.describing import describe_graph
from checkpointable.name_based.meta_graph import MetaGraphDef, VariableDef, VariableReference
from checkpointable.name_based.meta_graph_file import (
    debug_file,
    decode_meta_graph,
    encode_meta_graph,
    read_meta_graph,
    write_meta_graph,
)
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.storage.local import LOCAL
from tests.harness.recording import RecordingStorage, Rename, Started, Sync, SyncDir
from tests.name_based.graphs import ITEMS, OTHER, OWN, WHEN, build

PARTS = ("layer/table/part_0", "layer/table/part_1")


def refs(*names: str) -> tuple[VariableReference, ...]:
    """Return what stands for variables in a collection."""
    return tuple(map(VariableReference, names))


def described(**arguments: Any) -> MetaGraphDef:
    """Describe the graph of `graphs.py` with its saver."""
    return describe_graph(build(), **{"saver_def": OWN, "items": ITEMS, **arguments})


class Unbuilt:
    """A saver that was not built."""

    def as_saver_def(self) -> SaverDef:
        """Refuse."""
        raise RuntimeError("not built")


class TestDescriptions:
    def test_variables_are_described(self):
        """Name, dtype, shape, marks and slice of each, in the order in which they were made."""
        assert (
            VariableDef("step", "int64", (), trainable=False),
            VariableDef("layer/kernel", "float32", (2, 3), device="gpu:0"),
            *(
                VariableDef(
                    f"layer/table/part_{i}",
                    "float32",
                    (2 - i, 2),
                    device="gpu:0",
                    save_slice=ckpt.SaveSlice("layer/table", (3, 2), (2 * i, 0)),
                )
                for i in (0, 1)
            ),
        ) == described().variables

    def test_the_line_that_led_to_a_variable_is_noted(self):
        """It is the line of the program, also where the library made several."""
        lines = [(v.created_at.file, v.created_at.function) for v in described().variables]

        assert [(build.__code__.co_filename, "build")] * 4 == lines
        numbers = [v.created_at.line for v in described().variables]
        assert sorted({*numbers}) == [numbers[0], numbers[1], numbers[2]]

    def test_collections_are_described(self):
        """Variables by their names, savers by their description, plain values as they are."""
        trainable = refs("layer/kernel", *PARTS)

        assert {
            "variables": (*refs("step"), *trainable),
            "trainable_variables": trainable,
            "kernels": refs("layer/kernel", "step"),
            "plain": (1, "two", [3.0, None], {"four": WHEN}, float("inf")),
            "savers": (OWN, OTHER),
        } == described().collections

    def test_what_cannot_be_described_is_listed(self):
        """Operations, objects, names of collections that are no text, and items of no variable."""
        found = described(items={"a": ["gone"], "b": [], "step": ["step"]})

        assert {
            "a collection named by a int",
            "in the collection 'train_op': the operation 'train'",
            "in the collection 'train_op': a object",
            "the saver's item 'a': 'gone' is no variable of the graph",
            "the saver's item 'b': what it saves is no variable of the graph",
        } == set(found.left_out)
        assert {"step": ("step",)} == found.items

    def test_savers_that_cannot_be_described_are_listed(self):
        """One that is not built yet has no description, and not every description is possible."""
        graph = ckpt.Graph()
        for saver in (Unbuilt(), SaverDef(max_to_keep=-1), SaverDef(filename_tensor_name=3)):
            graph.add_to_collection("savers", saver)

        found = describe_graph(graph)

        where = "in the collection 'savers': a"
        assert ({}, (f"{where} Unbuilt", f"{where} SaverDef", f"{where} SaverDef")) == (
            found.collections,
            found.left_out,
        )

    def test_later_changes_do_not_reach_it(self):
        """Plain values are copied."""
        graph, value = ckpt.Graph(), [1]
        graph.add_to_collection("plain", value)

        found = describe_graph(graph)

        value.append(2)
        assert ([1],) == found.collections["plain"]

    def test_variables_of_others_are_left_out(self):
        """Eager ones and those of another graph have no place in this one."""
        graph = ckpt.Graph()
        with ckpt.Graph().as_default():
            other = ckpt.Variable(1)
        for variable in (other, ckpt.Variable(1), object()):
            graph.add_to_collection("variables", variable)
        with graph.name_scope("scope"):
            pass

        found = describe_graph(graph, export_scope="scope")

        assert ((), {}, 3) == (found.variables, found.collections, len(found.left_out))

    def test_dtypes_have_the_names_of_the_format(self):
        """Strings of any length too."""
        dtypes = [np.dtype("M8[ms]"), np.dtype("U7"), np.dtypes.StringDType(), np.dtype(bool)]
        with ckpt.Graph().as_default() as graph:
            for dtype in dtypes:
                ckpt.Variable(shape=(), dtype=dtype)

        names = [variable.dtype for variable in describe_graph(graph).variables]

        assert ["datetime64[ms]", "U7", "string", "bool"] == names

    def test_a_saver_saves_everything_by_default(self):
        """Without a saver: all variables, the parts of a tensor as one."""
        found = describe_graph(build())

        assert (None, {}) == (found.saver_def, found.items)
        assert {
            "step": ("step",),
            "layer/kernel": ("layer/kernel",),
            "layer/table": PARTS,
        } == found.saved_items()


class TestArguments:
    def test_collection_list_limits_the_collections(self):
        """Only these are described, and the variables themselves all the same."""
        found = described(collection_list=["plain", "none of that name"])

        assert ["plain"] == list(found.collections)
        assert 4 == len(found.variables)
        assert [] == list(described(collection_list=()).collections)

    @pytest.mark.parametrize("scope", ["layer", "layer/"])
    def test_export_scope_is_taken_off_the_names(self, scope):
        """What is not under the scope is left out; names in checkpoints stay what they are."""
        found = described(export_scope=scope)

        assert ["kernel", "table/part_0", "table/part_1"] == [v.name for v in found.variables]
        assert "table" == found.variables[1].save_slice.full_name
        assert refs("kernel") == found.collections["kernels"]
        assert {
            "old/kernel": ("kernel",),
            "layer/table": ("table/part_0", "table/part_1"),
        } == found.items
        assert OWN == found.saver_def

    def test_export_scope_is_taken_off_the_saver(self):
        """A saver under the scope too; one of which nothing is under the scope is left out."""
        saver_def = attrs.evolve(OWN, restore_op_name="layer/save/restore_all")

        found = described(saver_def=saver_def, export_scope="layer")
        without = described(items={"step": ["step"]}, export_scope="layer")

        assert "save/restore_all" == found.saver_def.restore_op_name
        assert (None, {}) == (without.saver_def, without.items)

    def test_an_unknown_scope_is_refused(self):
        """A part of a name is no scope; one without variables is."""
        graph = build()
        with graph.name_scope("empty"):
            pass

        assert () == describe_graph(graph, export_scope="empty").variables
        for scope in ("lay", "layer/kernels", "x"):
            with pytest.raises(ValueError, match="nothing in the graph has a name under it"):
                describe_graph(graph, export_scope=scope)

    def test_a_name_that_begins_alike_is_not_under_the_scope(self):
        """Scopes end at a slash, and a variable called as the scope is not under it."""
        with ckpt.Graph().as_default() as graph:
            for name in ("layer_norm/w", "layer", "layer/w", "outer/layer/w"):
                ckpt.Variable(0, name=name)

        assert ["w"] == [v.name for v in describe_graph(graph, export_scope="layer").variables]

    def test_clear_devices(self):
        """No variable has a device then."""
        assert {None} == {v.device for v in described(clear_devices=True).variables}

    def test_clear_extraneous_savers(self):
        """The collections hold no saver but this one."""
        assert (OWN,) == described(clear_extraneous_savers=True).collections["savers"]

    @pytest.mark.parametrize("as_text", [True, False])
    def test_strip_default_attrs(self, as_text):
        """The file lacks what is at its default, and is read as if it had it."""
        full, stripped = described(), described(strip_default_attrs=True)

        data = encode_meta_graph(stripped, as_text=as_text)

        assert len(data) < len(encode_meta_graph(full, as_text=as_text))
        assert stripped == decode_meta_graph(data, "f")
        assert full == attrs.evolve(stripped, stripped_default_attrs=False)

    def test_what_a_stripped_file_holds(self):
        """Only what is not at its default; of a saver that has all defaults nothing."""
        found = described(saver_def=SaverDef(), items=None, strip_default_attrs=True)

        content = json.loads(encode_meta_graph(found, as_text=True))["content"]

        kernel = {"name": "layer/kernel", "dtype": "float32", "shape": [2, 3], "device": "gpu:0"}
        assert [False, kernel] == [content["variables"][0]["trainable"], content["variables"][1]]
        assert ({}, {"items", "tags"} & {*content}) == (content["saver_def"], set())

    def test_tags(self):
        """Marks for people, whatever they are."""
        assert ("train", "v1") == described(tags=["train", "v1"]).tags

    @pytest.mark.parametrize(
        "arguments",
        [
            {"saver_def": "save"},
            {"collection_list": "variables"},
            {"export_scope": 3},
        ],
    )
    def test_wrong_types_are_refused(self, arguments):
        """A name instead of a list of names is a mistake, not a list of letters."""
        with pytest.raises(TypeError, match=next(iter(arguments))):
            described(**arguments)
        with pytest.raises(TypeError, match="graph is a int"):
            describe_graph(3)


class TestExport:
    @pytest.mark.parametrize("as_text", [True, False])
    def test_the_file_holds_the_description(self, tmp_path, as_text):
        """What is returned is what is read; text is JSON."""
        path = tmp_path / "new" / "model.meta"

        found = ckpt.export_meta_graph(
            path, as_text=as_text, graph=build(), saver_def=OWN, items=ITEMS
        )

        assert found == read(path)
        assert as_text == path.read_bytes().startswith(b'{\n"kind": "meta graph"')
        assert ["model.meta"] == [p.name for p in path.parent.iterdir()]

    def test_the_default_graph_is_described(self):
        """And where there is none, the error says what to do."""
        with build().as_default():
            assert 4 == len(ckpt.export_meta_graph().variables)
        with pytest.raises(RuntimeError, match=r"export_meta_graph\(graph=graph\)"):
            ckpt.export_meta_graph()

    def test_a_finalized_graph_is_described(self):
        """Nothing is added to it."""
        graph = build()
        before = len(graph.get_operations())
        graph.finalize()

        ckpt.export_meta_graph(graph=graph)

        assert before == len(graph.get_operations())

    def test_debug_info_stands_in_another_file(self, tmp_path):
        """It says for each variable which line led to it; the meta graph itself does not."""
        path = tmp_path / "model-1.meta"

        found = ckpt.export_meta_graph(path, graph=build(), save_debug_info=True)

        debug = json.loads((tmp_path / "model-1_debug.meta").read_text())
        line = found.variables[1].created_at
        assert {"file": line.file, "line": line.line, "function": "build"} == debug["content"][
            "variables"
        ]["layer/kernel"]
        assert ["step", "layer/kernel", *PARTS] == list(debug["content"]["variables"])
        assert __file__.encode() not in path.read_bytes()
        assert [None] * 4 == [v.created_at for v in read(path).variables]

    @pytest.mark.parametrize(
        ("path", "debug"),
        [("a/b.meta", "a/b_debug.meta"), ("a.b/c", "a.b/c_debug"), ("m-1.x.y", "m-1.x_debug.y")],
    )
    def test_the_name_of_the_debug_file(self, path, debug):
        """`_debug` comes before the extension."""
        assert debug == debug_file(path)

    def test_a_checkpoint_is_never_replaced(self, tmp_path):
        """A file of a meta graph is."""
        path = ckpt.Checkpoint(a=1).write(tmp_path / "ckpt", single_file=True)

        with pytest.raises(ckpt.CheckpointExistsError):
            ckpt.export_meta_graph(path, graph=build())
        for scope in (None, "layer"):
            ckpt.export_meta_graph(f"{path}.meta", graph=build(), export_scope=scope)
        assert 3 == len(read(f"{path}.meta").variables)

    @pytest.mark.parametrize("name", ["", "/", "run/", ".."])
    def test_a_filename_has_a_name(self, name):
        """A directory is none."""
        with pytest.raises(ValueError, match="expected the path of a file"):
            ckpt.export_meta_graph(name, graph=build())

    @pytest.mark.parametrize("durable", [True, False])
    def test_the_file_is_synced_if_durable(self, durable):
        """Both files come into being under a temporary name, and survive a power cut if asked."""
        storage = RecordingStorage()
        storage.log.append(Started(0, durable))

        write_meta_graph(
            storage, "/run/a.meta", described(), as_text=False, durable=durable, debug_info=True
        )

        kinds = [type(entry) for entry in storage.log if isinstance(entry, Sync | SyncDir | Rename)]
        each = [Sync, Rename, SyncDir] if durable else [Rename]
        assert each * 2 == kinds[-2 * len(each) :]
        assert durable == (Sync in kinds)
        assert {"/run/a.meta", "/run/a_debug.meta"} == {*storage.memory.image().files}


def read(path: Any) -> MetaGraphDef:
    """Read a meta graph from the disk."""
    return read_meta_graph(LOCAL, str(path))


TEXT = st.text() | st.sampled_from(["w", "layer/w", "a.b", "/", "ü"])
NAMES = TEXT.filter(bool)
SAVERS = st.builds(
    SaverDef,
    TEXT,
    TEXT,
    TEXT,
    st.integers(0, 2**70),
    st.booleans(),
    st.floats(0),
    st.sampled_from([SaverDef.LEGACY, SaverDef.V1, SaverDef.V2]),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
PLAIN = st.recursive(
    SCALARS | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner) | st.tuples(inner, inner),
)


@st.composite
def variables(draw: st.DrawFn, name: str) -> VariableDef:
    """Draw the description of a variable, perhaps a part."""
    shape = draw(st.lists(st.integers(0, 5), max_size=3).map(tuple))
    part = None
    if draw(st.booleans()):
        before, after = (
            draw(st.lists(st.integers(0, 9), min_size=len(shape), max_size=len(shape)))
            for _ in range(2)
        )
        whole = map(sum, zip(before, shape, after, strict=True))
        part = ckpt.SaveSlice(draw(NAMES), tuple(whole), tuple(before))
    dtype = draw(st.sampled_from(["float32", "bool", "U3", "string", "datetime64[s]", "bfloat16"]))
    return VariableDef(name, dtype, shape, draw(st.booleans()), draw(st.none() | TEXT), part)


@st.composite
def meta_graphs(draw: st.DrawFn) -> MetaGraphDef:
    """Draw a meta graph of everything that one may hold."""
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    held = SAVERS | PLAIN
    if names:
        held |= st.sampled_from(names).map(VariableReference)
    return MetaGraphDef(
        variables=[draw(variables(name)) for name in names],
        collections=draw(st.dictionaries(TEXT, st.lists(held, max_size=4), max_size=3)),
        saver_def=draw(st.none() | SAVERS),
        items={draw(TEXT): [name] for name in names},
        left_out=draw(st.lists(TEXT)),
        tags=draw(st.lists(TEXT)),
        library_version=draw(TEXT),
        stripped_default_attrs=draw(st.booleans()),
    )


class TestFiles:
    @given(meta_graphs(), st.booleans())
    def test_what_is_written_is_read(self, meta, as_text):
        """Both forms give back everything, type by type."""
        found = decode_meta_graph(encode_meta_graph(meta, as_text=as_text), "f")

        assert meta == found
        assert repr(meta) == repr(found)

    def test_both_forms_hold_the_same(self):
        """The text is that of the page of the format."""
        meta = described()
        content = json.loads(encode_meta_graph(meta, as_text=True))["content"]

        assert encode_meta_graph(meta, as_text=False) == encode_record_file("meta graph", content)
        assert {
            "name": "layer/table/part_1",
            "dtype": "float32",
            "shape": [1, 2],
            "trainable": True,
            "device": "gpu:0",
            "save_slice": {"full_name": "layer/table", "full_shape": [3, 2], "offset": [2, 0]},
        } == content["variables"][3]
        assert {"variable": "step"} == content["collections"]["kernels"][1]
        assert [{"value": 1}, {"value": "two"}, {"value": [3.0, None]}] == content["collections"][
            "plain"
        ][:3]
        assert 10000.0 == content["saver_def"]["keep_checkpoint_every_n_hours"]

    def test_equal_graphs_give_equal_files(self):
        """No clock, no random number, no place on the machine that wrote it."""
        assert encode_meta_graph(described(), as_text=True) == encode_meta_graph(
            described(), as_text=True
        )

    def test_a_missing_file_is_named(self, tmp_path):
        """As every missing file is."""
        with pytest.raises(ckpt.CheckpointNotFoundError, match=r"no\.meta"):
            read(tmp_path / "no.meta")

    def test_what_is_too_long_is_neither_written_nor_read(self, tmp_path):
        """A file of terabytes is refused by its length alone."""
        graph = ckpt.Graph()
        graph.add_to_collection("plain", "x" * LONGEST_RECORD)
        with pytest.raises(ckpt.NotCheckpointableError, match="collection_list"):
            ckpt.export_meta_graph(tmp_path / "a.meta", graph=graph)
        assert [] == list(tmp_path.iterdir())

        with (tmp_path / "b.meta").open("wb") as file:
            file.truncate(2**42)
        with pytest.raises(ckpt.CorruptCheckpointError, match="it is too long"):
            read(tmp_path / "b.meta")


class TestDamage:
    def test_every_flipped_bit_of_the_binary_form_is_found(self):
        """Each byte is covered by a checksum."""
        data = encode_meta_graph(described(), as_text=False)

        for position in range(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(ckpt.CorruptCheckpointError, match=r"^f: "):
                decode_meta_graph(bytes(damaged), "f")

    @pytest.mark.parametrize("as_text", [True, False])
    def test_a_file_that_is_cut_short_is_refused(self, as_text):
        """Wherever it ends."""
        data = encode_meta_graph(described(), as_text=as_text).rstrip()

        for length in range(len(data)):
            with pytest.raises(ckpt.CorruptCheckpointError):
                decode_meta_graph(data[:length], "f")

    @given(st.data())
    def test_damaged_text_never_raises_anything_else(self, data):
        """Text has no checksum: a change is read as another meta graph, or refused as damage."""
        text = bytearray(encode_meta_graph(described(), as_text=True))
        for _ in range(data.draw(st.integers(1, 3))):
            position = data.draw(st.integers(0, len(text) - 1))
            text[position : position + data.draw(st.integers(0, 3))] = data.draw(
                st.sampled_from([b"", b"0", b"-", b"9" * 30, b"e999", b"null", b"[", b"}", b'"'])
            )
        with suppress(ckpt.CorruptCheckpointError, ckpt.UnsupportedFormatError):
            decode_meta_graph(bytes(text), "f")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"more": 1}, "other fields"),
            ({"library_version": None}, "library_version"),
            ({"variables": {}}, "variables"),
            ({"variables": [3]}, "a variable"),
            ({"variables": [{"name": "w"}]}, "lacks the field"),
            ({"variables": [{}]}, "lacks the field"),
            ({"collections": {"c": 3}}, "list of dict"),
            ({"collections": {"c": [{"variable": "gone"}]}}, "'gone', which is no variable"),
            ({"collections": {"c": [{"variable": 3}]}}, "neither a variable"),
            ({"collections": {"c": [{}]}}, "one thing"),
            ({"collections": {"c": [{"value": [[1]]}]}}, "neither a variable"),
            ({"collections": {"c": [{"value": {}}]}}, "neither a variable"),
            ({"collections": {"c": [{"encoded": "?"}]}}, "meta graph"),
            ({"collections": {"c": [{"encoded": "AAAA"}]}}, "F-38"),
            ({"items": {"w": ["gone"]}}, "'gone', which is no variable"),
            ({"items": {"w": []}}, "0 variables"),
            ({"items": {"w": ["a", "b"]}}, "2 variables"),
            ({"items": {"w": "a"}}, "list of str"),
            ({"saver_def": []}, "saver_def"),
            ({"saver_def": {"version": 3}}, "version"),
            ({"saver_def": {"max_to_keep": -1}}, "no possible number"),
            ({"saver_def": {"keep_checkpoint_every_n_hours": -0.5}}, "no possible number"),
            ({"saver_def": {"keep_checkpoint_every_n_hours": "nan"}}, "no number"),
            ({"saver_def": {"max_to_keep": True}}, "max_to_keep"),
            ({"saver_def": {"keep_checkpoint_every_n_hours": "ten"}}, "no number"),
            ({"saver_def": {"keep_checkpoint_every_n_hours": 10**400}}, "too large"),
            ({"saver_def": {"more": 1}}, "other fields"),
            ({"left_out": [1]}, "list of str"),
            ({"tags": "a"}, "tags"),
        ],
    )
    def test_wrong_fields_are_refused(self, change, message):
        """In the words of the format, and as damage."""
        self.refuse({**self.content(), **change}, message)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": ""}, "name"),
            ({"name": "b"}, "one name"),
            ({"dtype": "object"}, "no dtype"),
            ({"dtype": "python"}, "no dtype"),
            ({"dtype": "x" * 10_000}, "no dtype"),
            ({"shape": [-1]}, "at least 0"),
            ({"shape": [1.0]}, "list of int"),
            ({"shape": [True]}, "list of int"),
            ({"shape": [2**63]}, "such a shape"),
            ({"shape": [10**4000]}, "such a shape"),
            ({"shape": [2**31, 2**31]}, "such a shape"),
            ({"shape": [0, 2**62]}, "such a shape"),
            ({"shape": [1] * 33}, "such a shape"),
            ({"dtype": "string", "shape": [2**60]}, "such a shape"),
            ({"trainable": 1}, "trainable"),
            ({"device": 1}, "device"),
            ({"save_slice": {}}, "lacks the field"),
            ({"save_slice": {"full_name": "w", "full_shape": [4], "offset": [5]}}, "offset is"),
            ({"save_slice": {"full_name": "w", "full_shape": [4], "offset": [3]}}, "not within"),
            ({"save_slice": {"full_name": "w", "full_shape": [4] * 999, "offset": []}}, "offset"),
            ({"save_slice": {"full_name": "", "full_shape": [4], "offset": [0]}}, "full_name"),
            ({"save_slice": {"full_name": "w", "full_shape": [4.5], "offset": [0]}}, "of int"),
        ],
    )
    def test_wrong_variables_are_refused(self, change, message):
        """No name, dtype, shape or part that no variable could have."""
        content = self.content()
        content["variables"][0].update(change)
        self.refuse(content, message)

    @pytest.mark.parametrize("field", ["collections", "items"])
    def test_names_that_are_no_text_are_refused(self, field):
        """The binary form could hold them."""
        data = encode_record_file("meta graph", {**self.content(), field: {3: []}})

        with pytest.raises(ckpt.CorruptCheckpointError, match="a name that is no text"):
            decode_meta_graph(data, "f")

    def content(self) -> dict[str, Any]:
        """Return the content of a small meta graph."""
        variables = [VariableDef("a", "float32", (2,)), VariableDef("b", "float32", (2,))]
        return json.loads(encode_meta_graph(MetaGraphDef(variables=variables), as_text=True))[
            "content"
        ]

    def refuse(self, content: dict[str, Any], message: str) -> None:
        """Check that either form of a content is refused, in few words."""
        for encode in (encode_record_text, encode_record_file):
            with pytest.raises(ckpt.CorruptCheckpointError, match=message) as caught:
                decode_meta_graph(encode("meta graph", content), "f")
            assert len(str(caught.value)) < 1000

    @pytest.mark.parametrize(
        "data", [b"", b"\n", b"\x0a\x12garbage", b"meta_info_def {", b"\0" * 99]
    )
    def test_other_files_are_refused(self, data):
        """An empty file, garbage, and the meta graphs of others."""
        with pytest.raises(ckpt.CorruptCheckpointError, match=r"^f: "):
            decode_meta_graph(data, "f")

    def test_a_value_of_any_depth_is_read(self):
        """Nothing recurses with what a file holds."""
        value: Any = []
        for _ in range(5_000):
            value = [value]
        graph = ckpt.Graph()
        graph.add_to_collection("plain", value)
        meta = describe_graph(graph)

        for as_text in (True, False):
            data = encode_meta_graph(meta, as_text=as_text)
            [found] = decode_meta_graph(data, "f").collections["plain"]
            assert encode_value(value) == encode_value(found)
