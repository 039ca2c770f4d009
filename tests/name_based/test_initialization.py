"""`init_from_checkpoint`: Variables begin with values of a checkpoint, by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Node, variable
from tests.restore.named import write_named

STORED = {"enc/w": [1.0, 2.0], "enc/b": [3.0], "enc/deep/v": [4.0], "dec/w": [5.0], "n": 6}


def paths(entries: Any) -> list[str]:
    """Return where the entries stand."""
    return [entry.path for entry in entries]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A name-based checkpoint."""
    return write_named(tmp_path / "named", STORED)


@pytest.fixture(params=["named", "objects"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A checkpoint with the same names, and another with the same object paths."""
    if request.param == "named":
        return write_named(tmp_path / "named", STORED)
    deep = Node(v=ckpt.Variable([4.0]))
    enc = Node(w=ckpt.Variable([1.0, 2.0]), b=ckpt.Variable([3.0]), deep=deep)
    saved = ckpt.Checkpoint(enc=enc, dec=Node(w=ckpt.Variable([5.0])), n=ckpt.Variable(6))
    return saved.save(tmp_path / "objects")


class TestWhatBeginsWithWhat:
    """Every kind of entry, eagerly: the values are there when the call returns."""

    def test_a_tensor_for_a_variable(self, either):
        """By name, key or object path; `:0` at the end of a name does not count."""
        w, n = variable(0, 0), ckpt.Variable(0)
        report = ckpt.init_from_checkpoint(either, {"enc/w": w, "n:0": n})
        assert ([1, 2], 6) == (w.value.tolist(), n.value)
        assert ["a Variable without a name"] * 2 == paths(report.restored)

    def test_a_key_of_an_object_based_checkpoint(self, tmp_path):
        """What `keys()` of a reader lists can be asked for too."""
        path = ckpt.Checkpoint(w=ckpt.Variable([1.0])).write(tmp_path / "objects")
        w = variable(0)
        ckpt.init_from_checkpoint(path, {"w/.ATTRIBUTES/VARIABLE_VALUE": w})
        assert 1 == w[0]

    def test_a_scope_for_the_beginning_of_names(self, either):
        """Variables begin with the tensors of equal rest; further tensors are in the report."""
        variables = [
            variable(0, 0, name="new/w"),
            variable(0, name="new/deep/v"),
            variable(7, name="other/b"),
            variable(7),
        ]
        report = ckpt.init_from_checkpoint(either, {"enc/": "new/"}, variables)
        assert [[1, 2], [4], [7], [7]] == [v.value.tolist() for v in variables]
        assert ["new/w", "new/deep/v"] == paths(report.restored)
        assert 1 == len(report.unused)
        assert report.unused[0].path.startswith("enc/b")

    def test_a_variable_of_a_scope_without_a_tensor_is_refused(self, either):
        """It would begin with something else without a word; another entry may have its tensor."""
        w, extra = variable(0, 0, name="new/w"), variable(7, name="new/extra")
        with pytest.raises(ValueError, match=r"new/extra: no tensor 'enc/extra'\. It holds"):
            ckpt.init_from_checkpoint(either, {"enc/": "new/"}, [w, extra])
        assert ([0, 0], 7) == (w.value.tolist(), extra[0])
        ckpt.init_from_checkpoint(either, {"enc/b": extra, "enc/": "new/"}, [w, extra])
        assert ([1, 2], 3) == (w.value.tolist(), extra[0])

    @pytest.mark.parametrize(
        ("scope", "prefix", "name"),
        [("/", "all/", "all/enc/w"), ("enc/", "/", "w"), ("/", "/", "enc/w")],
    )
    def test_a_slash_is_everything(self, either, scope, prefix, name):
        """The whole checkpoint, or all Variables; the save counter is never unused."""
        w = variable(0, 0, name=name)
        report = ckpt.init_from_checkpoint(either, {scope: prefix}, [w])
        assert [1, 2] == w.value.tolist()
        assert not any("save_counter" in path for path in paths(report.unused))

    def test_a_tensor_for_a_name(self, either):
        """The name of one Variable among those given."""
        w, other = variable(0, 0, name="mine"), variable(7, name="mine/not")
        ckpt.init_from_checkpoint(either, {"enc/w": "mine:0"}, [other, w])
        assert ([1, 2], 7) == (w.value.tolist(), other[0])

    def test_a_scope_for_an_object(self, either):
        """Its Variables begin by path where the scope does not have their names."""
        model = Node(w=variable(0, 0), deep=Node(v=variable(0, name="x")), array=np.zeros(1))
        report = ckpt.init_from_checkpoint(either, {"enc/": model})
        assert ([1, 2], [4]) == (model.w.value.tolist(), model.deep.v.value.tolist())
        assert ["w", "deep/v"] == paths(report.restored)

    def test_global_names_come_before_paths(self, either):
        """A name counts as it is where it begins with the scope, else after the scope."""
        model = Node(w=variable(0, name="enc/b"), b=variable(0, 0, name="w"))
        ckpt.init_from_checkpoint(either, {"enc/": model})
        assert ([3], [1, 2]) == (model.w.value.tolist(), model.b.value.tolist())

    def test_parts_begin_with_their_parts(self, tmp_path):
        """A list of parts, their name, or the scope they are in."""
        path = write_named(tmp_path / "named", {"e/table": np.arange(10.0).reshape(5, 2)})
        expected = np.arange(10.0).reshape(5, 2).tolist()
        for how in ("list", "name", "scope"):
            parts = ckpt.partitioned_variables((5, 2), (2, 1), dtype=float, name="new/table")
            entry = {
                "list": {"e/table": parts},
                "name": {"e/table": "new/table"},
                "scope": {"e/": "new/"},
            }[how]
            ckpt.init_from_checkpoint(path, entry, parts)
            assert expected == np.concatenate([p.value for p in parts]).tolist()

    def test_pairs_may_name_a_variable_twice(self, path):
        """A list of pairs does what a mapping does, and a tensor counts before its scope."""
        for pairs in ([("dec/", "/"), ("enc/b", "w")], [("enc/b", "w"), ("dec/", "/")]):
            w = variable(0, name="w")
            ckpt.init_from_checkpoint(path, pairs, [w])
            assert 3 == w[0]

    def test_a_directory_is_its_newest_checkpoint(self, tmp_path):
        """As everywhere else."""
        ckpt.Checkpoint(w=ckpt.Variable([1.0])).save(tmp_path / "ckpt")
        w = variable(0)
        ckpt.init_from_checkpoint(tmp_path, {"w": w})
        assert 1 == w[0]

    def test_a_variable_without_a_value_has_one_then(self, path):
        """It counts as initialized."""
        w = ckpt.Variable(shape=(2,), dtype=float)
        ckpt.init_from_checkpoint(path, {"enc/w": w})
        assert [1, 2] == w.value.tolist()


class TestGraphs:
    """Variables of a graph get another initializer."""

    def test_the_initializer_reads_the_value(self, path, tmp_path):
        """In any session, as often as it is run, also once the checkpoint is gone."""
        graph = ckpt.Graph()
        with graph.as_default():
            w = ckpt.Variable([0.0, 0.0], name="new/w")
            other = ckpt.Variable([7.0], name="other/b")
            change = w.assign([9.0, 9.0])
            graph.finalize()
            ckpt.init_from_checkpoint(path, {"enc/": "new/"})
        for file in tmp_path.glob("named*"):
            file.unlink()
        for _ in range(2):
            with ckpt.Session(graph) as session:
                session.run([w.initializer, other.initializer])
                assert ([1, 2], [7]) == (session.run(w).tolist(), session.run(other).tolist())
                session.run([change, w.initializer])
                assert [1, 2] == session.run(w).tolist()

    def test_initialize_or_restore_runs_it(self, path, tmp_path):
        """It is the initializer of the Variable, whoever runs it."""
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            parts = ckpt.partitioned_variables((2,), (2,), dtype=float, name="w")
            ckpt.init_from_checkpoint(path, {"enc/w": parts})
            ckpt.Checkpoint(parts=parts).restore(None).initialize_or_restore()
            assert [[1], [2]] == [session.run(part).tolist() for part in parts]

    def test_texts(self, tmp_path):
        """A Variable of texts begins with texts."""
        text = np.dtypes.StringDType()
        path = write_named(tmp_path / "named", {"t": np.array(["a", "bc"], object)})
        eager = ckpt.Variable(np.array(["", ""], text))
        ckpt.init_from_checkpoint(path, {"t": eager})
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            t = ckpt.Variable(np.array(["", ""], text), name="t")
            ckpt.init_from_checkpoint(path, {"/": "/"})
            session.run(t.initializer)
            assert ["a", "bc"] == session.run(t).tolist() == eager.value.tolist()

    def test_damage_is_found_when_the_initializer_runs(self, path, tmp_path):
        """Every byte that is read is verified; the session keeps what it had."""
        (shard,) = tmp_path.glob("named.data*")
        shard.write_bytes(b"\xff" + shard.read_bytes()[1:])
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            w = ckpt.Variable([0.0, 0.0], name="w")
            ckpt.init_from_checkpoint(path, {"enc/w": w})
            with pytest.raises(ckpt.CorruptCheckpointError):
                session.run(w.initializer)


class TestErrors:
    """Nothing changes unless every entry can be carried out."""

    @pytest.mark.parametrize(
        ("entries", "error", "message"),
        [
            ({"enc/ww": "w"}, ValueError, "named holds no tensor 'enc/ww'. It holds enc/w"),
            ({"enc/": "w"}, ValueError, "the scope 'enc/' stands against the single name 'w'"),
            ({"enc": "w/"}, ValueError, "stands against the single name 'enc'"),
            ({"enc/": "no/"}, ValueError, "no Variable has a name that begins with 'no/' among"),
            ({"enc/w": "v"}, ValueError, "no Variable has the name 'v' among those given"),
            ({"none/": "/"}, ValueError, "w: no tensor 'none/w'. It holds"),
            ({"enc/": variable(0)}, ValueError, "stands against one Variable"),
            ({"enc": Node(w=variable(0))}, ValueError, "Let it end with '/': 'enc/'"),
            ({"enc/": Node()}, ValueError, "there is no Variable for the scope 'enc/'"),
            ({"enc/w": []}, ValueError, "does not hold parts of one tensor"),
            ({"enc/w": [variable(0)]}, ValueError, "does not hold parts of one tensor"),
            ({"enc/w": [np.zeros(1)]}, TypeError, "holds a ndarray"),
            ({"enc/w": np.zeros(2)}, TypeError, "stands against a ndarray, expected a Variable"),
            ({7: "w"}, TypeError, "a key is 7"),
            ("enc/w", TypeError, "expected a mapping"),
            ([("enc/w",)], TypeError, "expected a mapping"),
            (7, TypeError, "expected a mapping"),
        ],
    )
    def test_each_is_named(self, path, entries, error, message):
        """What is wrong, where, and what there is instead."""
        w = variable(0, 0, name="w")
        with pytest.raises(error, match=message):
            ckpt.init_from_checkpoint(path, entries, [w])
        assert [0, 0] == w.value.tolist()

    @pytest.mark.parametrize("given", ["w", 7, [np.zeros(1)], Node()])
    def test_variables_are_variables(self, path, given):
        """Names are looked for among Variables only."""
        with pytest.raises(TypeError, match="expected"):
            ckpt.init_from_checkpoint(path, {"enc/": "/"}, given)

    def test_names_need_a_graph_or_variables(self, path):
        """In eager execution nobody knows which Variables are meant."""
        with pytest.raises(ValueError, match=r"Give them: variables=\[\.\.\.\]"):
            ckpt.init_from_checkpoint(path, {"enc/": "new/"})
        with (
            ckpt.Graph().as_default(),
            pytest.raises(ValueError, match="'new/' in the default graph"),
        ):
            ckpt.init_from_checkpoint(path, {"enc/": "new/"})

    def test_other_shapes_and_dtypes_are_refused_together(self, path):
        """Both sides are named, and nothing is assigned; in a graph nothing is replaced."""
        w, b, fits = variable(0), ckpt.Variable(np.zeros(1, np.float32)), variable(0)
        with pytest.raises(ckpt.IncompatibleCheckpointError) as raised:
            ckpt.init_from_checkpoint(path, {"dec/w": fits, "enc/w": w, "enc/b": b})
        message = str(raised.value)
        assert isinstance(raised.value, ValueError)
        assert "the checkpoint holds float64 (2,), the program float64 (1,)" in message
        assert "the checkpoint holds float64 (1,), the program float32 (1,)" in message
        assert "leave it out of the assignment map" in message
        assert 0 == fits[0]
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            v = ckpt.Variable([7.0], name="v")
            with pytest.raises(ckpt.IncompatibleCheckpointError):
                ckpt.init_from_checkpoint(path, [("dec/w", v), ("enc/w", w)])
            session.run(v.initializer)
            assert 7 == session.run(v)[0]

    def test_parts_of_another_whole_are_refused(self, path):
        """The stored tensor must have the shape of the whole."""
        parts = ckpt.partitioned_variables((3,), (3,), dtype=float, name="w")
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"a part of float64 \(3,\)"):
            ckpt.init_from_checkpoint(path, {"enc/w": parts})

    def test_parts_of_two_tensors_are_no_list(self, path):
        """A list stands for one tensor."""
        parts = [ckpt.partitioned_variables((2,), (2,), dtype=float, name=name)[0] for name in "ab"]
        with pytest.raises(ValueError, match="parts of one tensor"):
            ckpt.init_from_checkpoint(path, {"enc/w": parts})

    def test_there_must_be_a_checkpoint(self, tmp_path):
        """The error says what is there instead."""
        with pytest.raises(ckpt.CheckpointNotFoundError):
            ckpt.init_from_checkpoint(tmp_path / "no", {"w": variable(0)})
