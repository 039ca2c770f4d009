"""What may be given to a `Saver`, and what it refuses."""

import os

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.name_based.saveables import saveables_of


def names(var_list) -> list[str]:
    """The names under which something is saved."""
    return [spec.name for saveable in saveables_of(var_list) for spec in saveable.specs]


class Pair(ckpt.SaveableObject):
    """Two numbers of a dict, as two tensors."""

    def __init__(self, numbers, name="pair"):
        specs = [
            ckpt.SaveSpec(lambda key=key: np.float64(numbers[key]), "", f"{name}/{key}")
            for key in ("a", "b")
        ]
        super().__init__(numbers, specs, name)
        self.shapes = "not asked"

    def restore(self, restored_tensors, restored_shapes):
        self.shapes = restored_shapes
        self.op.update(zip(("a", "b"), (t.item() for t in restored_tensors), strict=True))


class TestVarList:
    def test_a_list_goes_by_the_names_of_its_variables(self, tmp_path, mode):
        """A tuple does so too; the names are sorted, so the order of the list does not matter."""
        b, a = mode.variable(1, "b"), mode.variable(2, "a")
        assert ["a", "b"] == names([b, a]) == names((b, a))
        path = ckpt.Saver([b, a]).save(mode.session, tmp_path / "m")
        assert {"a": 2, "b": 1} == ckpt.load(path)

    def test_a_dict_goes_by_its_keys(self, tmp_path, mode):
        """Variables need no name then; arrays may be there too."""
        values = {"x": mode.variable(1), "y": np.arange(2), "z": Pair({"a": 1, "b": 2})}
        path = ckpt.Saver(values).save(mode.session, tmp_path / "m")
        found = ckpt.load(path)
        assert ["pair/a", "pair/b", "x", "y"] == sorted(found)
        assert [0, 1] == found["y"].tolist()

    def test_none_means_all_that_the_graph_has_collected(self, tmp_path):
        """Its variables, trainable or not, and its SaveableObjects."""
        with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
            for variable in (
                ckpt.Variable(1, name="a"),
                ckpt.Variable(2, name="b", trainable=False),
            ):
                session.run(variable.initializer)
            graph.add_to_collection("saveable_objects", Pair({"a": 3, "b": 4}))
            path = ckpt.Saver().save(session, tmp_path / "m")
        assert {"a": 1, "b": 2, "pair/a": 3, "pair/b": 4} == ckpt.load(path)

    def test_eager_execution_needs_a_list(self):
        """There is no collection of all variables; a deferred build does not help."""
        for kwargs in ({}, {"defer_build": True}, {"saver_def": ckpt.SaverDef()}):
            with pytest.raises(RuntimeError, match="var_list must say what is saved"):
                ckpt.Saver(**kwargs)

    def test_variables_of_two_graphs_do_not_go_together(self):
        """Whichever is the default; eager ones go with any."""
        with ckpt.Graph().as_default():
            a = ckpt.Variable(1, name="a")
        with ckpt.Graph().as_default():
            b = ckpt.Variable(1, name="b")
            with pytest.raises(ValueError, match="'a' belongs to another graph"):
                ckpt.Saver([a, b])
        with pytest.raises(ValueError, match="'b' belongs to another graph"):
            ckpt.Saver([a, b])

    def test_eager_variables_go_with_those_of_a_graph(self, tmp_path):
        """They are read and written where they are."""
        eager = ckpt.Variable(1.0, name="eager")
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            recorded = ckpt.Variable(2.0, name="recorded")
            session.run(recorded.initializer)
            saver = ckpt.Saver([eager, recorded])
            path = saver.save(session, tmp_path / "m")
            eager.assign(0)
            saver.restore(session, path)
        assert ({"eager": 1.0, "recorded": 2.0}, 1.0) == (ckpt.load(path), eager.value)

    @pytest.mark.parametrize(
        "var_list",
        [
            5,
            "w",
            {"a", "b"},
            np.zeros(3),
            ckpt.Variable(1.0, name="w"),
            [5],
            ["w"],
            [np.zeros(3)],
            [ckpt.Checkpoint()],
            [[5]],
            {"w": 5},
            {"w": np.float64(1)},
            {"w": [np.zeros(3)]},
            {"w": "text"},
            {5: ckpt.Variable(1.0)},
            iter([ckpt.Variable(1.0, name="w")]),
        ],
        ids=repr,
    )
    def test_other_things_are_a_type_error(self, var_list):
        """What cannot be saved by name is refused at once, with what was expected."""
        with pytest.raises(TypeError, match=r"var_list .*expected|Give a dict"):
            ckpt.Saver(var_list)

    def test_variables_in_a_list_need_names(self):
        """The error says how they get one."""
        with pytest.raises(ValueError, match=r"has no name .* name=\.\.\., or give a dict"):
            ckpt.Saver([ckpt.Variable(1.0)])
        with pytest.raises(ValueError, match="empty name"):
            ckpt.Saver({"": ckpt.Variable(1.0)})

    def test_names_must_be_unique(self):
        """Two Variables of one name, also under that of a SaveableObject's tensor."""
        with pytest.raises(ValueError, match="2 of what is to be saved have the same name 'w'"):
            ckpt.Saver([ckpt.Variable(1.0, name="w"), ckpt.Variable(2.0, name="w")])
        with pytest.raises(ValueError, match="the same name 'pair/a'"):
            ckpt.Saver([ckpt.Variable(1.0, name="pair/a"), Pair({"a": 1, "b": 2})])

    def test_things_must_be_unique(self):
        """Under two names or one: a Variable, an array, what a SaveableObject stands for."""
        w, x, numbers = ckpt.Variable(1.0, name="w"), np.zeros(1), {"a": 1, "b": 2}
        for var_list in (
            {"a": w, "b": w},
            {"a": x, "b": x},
            [Pair(numbers, "p"), Pair(numbers, "q")],
        ):
            with pytest.raises(ValueError, match=r"the same \w+ is to be saved under two names"):
                ckpt.Saver(var_list)
        with pytest.raises(ValueError, match="the same Variable is given twice, with the name 'w'"):
            ckpt.Saver([w, w])

    def test_strings_and_every_dtype_come_back(self, tmp_path, mode):
        """Text of any length, booleans, complex numbers, dates, empty arrays."""
        values = {
            "text": np.array(["a", "ü" * 300], dtype=object),
            "fixed": np.array([b"ab", b"c"]),
            "flags": np.array([True, False]),
            "complex": np.array([1j], np.complex64),
            "dates": np.array(["2026-11-25"], "datetime64[D]"),
            "empty": np.zeros((0, 3), np.int8),
            "scalar": np.array(5, np.uint16),
            "swapped": np.array([1, 2], ">i4"),
            "strided": np.arange(12).reshape(3, 4)[:, ::2],
        }
        kept = {name: value.copy() for name, value in values.items()}
        saver = ckpt.Saver(values)
        path = saver.save(mode.session, tmp_path / "m")
        for value in values.values():
            value[...] = np.zeros((), value.dtype)
        saver.restore(mode.session, path)
        assert all(np.array_equal(kept[name], value) for name, value in values.items())

    def test_what_cannot_be_stored_is_named(self, tmp_path, mode):
        """Objects in an array; nothing is written."""
        saver = ckpt.Saver({"things": np.array([object()])})
        with pytest.raises(ckpt.NotCheckpointableError, match="things"):
            saver.save(mode.session, tmp_path / "m")
        assert [] == os.listdir(tmp_path)

    def test_nothing_is_restored_into_read_only_arrays(self, tmp_path, mode):
        """They can be saved; the error comes before anything is assigned."""
        frozen, w = np.ones(2), mode.variable(1.0)
        frozen.flags.writeable = False
        saver = ckpt.Saver({"a": w, "frozen": frozen})
        path = saver.save(mode.session, tmp_path / "m")
        mode.write(w, 0)
        with pytest.raises(ckpt.NotCheckpointableError, match="frozen: the array is read-only"):
            saver.restore(mode.session, path)
        assert 0.0 == mode.read(w)


class TestSlices:
    def parts(self, mode, name="emb", slicing=(3, 1)):
        variables = ckpt.partitioned_variables(
            (7, 2), slicing, np.arange(14.0).reshape(7, 2), np.float64, name=name
        )
        for variable in variables:
            variable.initialize(mode.session)
        return variables

    def test_slices_are_saved_as_one_tensor(self, tmp_path, mode):
        """Given as a list in a list, one by one, or under a name."""
        parts = self.parts(mode)
        whole = np.arange(14.0).reshape(7, 2).tolist()
        for number, (var_list, name) in enumerate(
            [([parts], "emb"), (parts, "emb"), ({"e": parts}, "e"), (list(reversed(parts)), "emb")]
        ):
            path = ckpt.Saver(var_list).save(mode.session, tmp_path / f"m{number}")
            assert {name: whole} == {key: v.tolist() for key, v in ckpt.load(path).items()}

    def test_slices_come_back_whole_or_in_another_slicing(self, tmp_path, mode):
        """Into the same parts, others, one Variable, or some of the parts only."""
        parts = self.parts(mode)
        path = ckpt.Saver([parts]).save(mode.session, tmp_path / "m")
        others = self.parts(mode, "others", (1, 2))
        whole = mode.variable(np.zeros((7, 2)))
        for variable in (*parts, *others):
            mode.write(variable, 0)
        for var_list in ([parts[1:]], {"emb": others}, {"emb": whole}):
            ckpt.Saver(var_list).restore(mode.session, path)
        expected = np.arange(14.0).reshape(7, 2)
        assert expected.tolist() == mode.read(whole).tolist()
        assert expected.tolist() == np.hstack([mode.read(part) for part in others]).tolist()
        found = np.vstack([mode.read(part) for part in parts])
        assert ([[0, 0]] * 3, expected[3:].tolist()) == (found[:3].tolist(), found[3:].tolist())

    def test_a_whole_tensor_comes_back_in_slices(self, tmp_path, mode):
        """Each part takes its own; another shape of the whole is refused."""
        whole = np.arange(14.0).reshape(7, 2)
        path = ckpt.Saver({"emb": whole, "small": whole[:6]}).save(mode.session, tmp_path / "m")
        parts = self.parts(mode)
        for part in parts:
            mode.write(part, 0)
        ckpt.Saver([parts]).restore(mode.session, path)
        assert whole.tolist() == np.vstack([mode.read(part) for part in parts]).tolist()
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"small|emb"):
            ckpt.Saver({"small": parts}).restore(mode.session, path)

    def test_slices_go_to_the_shards_of_their_devices(self, tmp_path, mode):
        """A divided tensor may lie in several shards."""
        slices = [ckpt.SaveSlice("t", (4,), (offset,)) for offset in (0, 2)]
        values = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]

        class Both(ckpt.SaveableObject):
            def __init__(self):
                devices = ["/cpu:0", "/cpu:1"]
                pairs = zip(values, slices, devices, strict=True)
                specs = [ckpt.SaveSpec(v, s, "t", None, device) for v, s, device in pairs]
                super().__init__(None, specs, "both")

            def restore(self, restored_tensors, restored_shapes):
                for value, restored in zip(values, restored_tensors, strict=True):
                    value[:] = restored

        saver = ckpt.Saver([Both()], sharded=True)
        path = saver.save(mode.session, tmp_path / "m")
        assert path.endswith("m-?????-of-00002")
        assert [1, 2, 3, 4] == ckpt.load(tmp_path / "m")["t"].tolist()
        for value in values:
            value[:] = 0
        saver.restore(mode.session, path)
        assert [[1, 2], [3, 4]] == [value.tolist() for value in values]

    def test_missing_slices_are_not_saved_over(self, tmp_path, mode):
        """All must be given to be saved; the error says where those begin that are there."""
        saver = ckpt.Saver([self.parts(mode)[:2]])
        with pytest.raises(ValueError, match="emb: the slices do not fill the whole"):
            saver.save(mode.session, tmp_path / "m")
        assert [] == os.listdir(tmp_path)

    def test_slices_and_whole_variables_cannot_be_mixed(self, mode):
        """Under one name, in a list, or in slices of two tensors."""
        parts, other = self.parts(mode), self.parts(mode, "other")
        whole = ckpt.Variable(1.0, name="x")
        with pytest.raises(ValueError, match="slices and of something whole, mixed"):
            ckpt.Saver({"emb": whole, "b": _OnePart(parts[0])})
        with pytest.raises(ValueError, match="which is no slice"):
            ckpt.Saver([[parts[0], whole]])
        with pytest.raises(ValueError, match="expected those of one tensor"):
            ckpt.Saver([[parts[0], other[1]]])
        with pytest.raises(ValueError, match="expected those of one tensor"):
            ckpt.Saver({"x": []})


class _OnePart(ckpt.SaveableObject):
    def __init__(self, part):
        super().__init__(part, [ckpt.SaveSpec(part, part.save_slice, "emb")], "part")


class TestSaveableObjects:
    def test_they_are_saved_and_restored_by_themselves(self, tmp_path, mode):
        """`restore` receives one array for each spec; in a list they go by their own names."""
        numbers = {"a": 1.0, "b": 2.0}
        pair = Pair(numbers)
        saver = ckpt.Saver([pair, mode.variable(3.0, "w")])
        path = saver.save(mode.session, tmp_path / "m")
        assert {"pair/a": 1, "pair/b": 2, "w": 3} == ckpt.load(path)
        numbers.update(a=0, b=0)
        saver.restore(mode.session, path)
        assert ({"a": 1.0, "b": 2.0}, None) == (numbers, pair.shapes)

    def test_with_reshape_they_are_told_the_present_shapes(self, tmp_path, mode):
        """Else None."""
        pair = Pair({"a": 1.0, "b": 2.0})
        saver = ckpt.Saver([pair], reshape=True)
        saver.restore(mode.session, saver.save(mode.session, tmp_path / "m"))
        assert [(), ()] == pair.shapes

    def test_their_shape_may_change(self, tmp_path, mode):
        """That is their own affair."""
        holder = [np.arange(3)]

        class Growing(ckpt.SaveableObject):
            def restore(self, restored_tensors, restored_shapes):
                holder[0] = restored_tensors[0]

        spec = ckpt.SaveSpec(lambda: holder[0], None, "x")
        saver = ckpt.Saver([Growing(holder, [spec], "x")])
        path = saver.save(mode.session, tmp_path / "m")
        holder[0] = np.arange(100)
        saver.restore(mode.session, path)
        assert [0, 1, 2] == holder[0].tolist()

    def test_they_are_called_only_when_everything_fits(self, tmp_path, mode):
        """A missing name elsewhere, or another dtype than their spec asks for: no call."""
        path = ckpt.Saver({"pair/a": np.zeros(()), "pair/b": np.zeros(())}).save(
            mode.session, tmp_path / "m"
        )
        pair = Pair({"a": 1.0, "b": 2.0})
        with pytest.raises(ckpt.TensorNotFoundError, match="missing: w"):
            ckpt.Saver([pair, mode.variable(3.0, "w")]).restore(mode.session, path)
        spec = ckpt.SaveSpec(lambda: 1, "", "pair/a", np.int32)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"pair/a.*int32"):
            ckpt.Saver([ckpt.SaveableObject(None, [spec], "int")]).restore(mode.session, path)
        assert ({"a": 1.0, "b": 2.0}, "not asked") == (pair.op, pair.shapes)

    def test_a_spec_says_what_dtype_is_stored(self, tmp_path, mode):
        """Else it is that of the value."""
        specs = [
            ckpt.SaveSpec(lambda: 1, "", "as_given"),
            ckpt.SaveSpec(lambda: 1, "", "as_asked", "float16"),
        ]
        path = ckpt.Saver([ckpt.SaveableObject(None, specs, "x")]).save(
            mode.session, tmp_path / "m"
        )
        found = ckpt.load(path)
        assert ["float16", "int64"] == [str(found[name].dtype) for name in sorted(found)]

    def test_without_restore_they_are_only_saved(self, tmp_path, mode):
        """The error names the class."""
        saver = ckpt.Saver([ckpt.SaveableObject(None, [ckpt.SaveSpec(lambda: 1, "", "x")], "x")])
        path = saver.save(mode.session, tmp_path / "m")
        with pytest.raises(NotImplementedError, match="SaveableObject is restored by its method"):
            saver.restore(mode.session, path)

    def test_in_a_graph_operations_are_run(self, tmp_path):
        """As the tensor of a spec, and where `restore` returns one."""
        with ckpt.Graph().as_default(), ckpt.Session() as session:
            hidden, arrived = ckpt.Variable(1.0, name="hidden"), {}
            session.run(hidden.initializer)
            put = hidden.assign(lambda: arrived["value"])
            double = put.graph.add_operation("double", lambda s: s.run(hidden) * 2)

            class Doubled(ckpt.SaveableObject):
                def restore(self, restored_tensors, restored_shapes):
                    arrived["value"] = restored_tensors[0]
                    return put

            saver = ckpt.Saver([Doubled(hidden, [ckpt.SaveSpec(double, "", "doubled")], "x")])
            path = saver.save(session, tmp_path / "m")
            assert {"doubled": 2.0} == ckpt.load(path)
            saver.restore(session, path)
            assert 2.0 == session.run(hidden)

    def test_a_spec_is_checked(self):
        """Its name and its slice."""
        for arguments, error in (
            ((1, "", 5), TypeError),
            ((1, "", ""), ValueError),
            ((1, "3 0,1", "x"), TypeError),
        ):
            with pytest.raises(error, match=r"SaveSpec|slice_spec"):
                ckpt.SaveSpec(*arguments)

    def test_a_device_is_that_of_the_first_spec(self):
        """Or of its Variable; None if there is none."""
        w = ckpt.Variable(1.0, device="/cpu:1")
        for specs, device in (
            ([ckpt.SaveSpec(w, "", "x")], "/cpu:1"),
            ([ckpt.SaveSpec(w, "", "x", device="/cpu:2")], "/cpu:2"),
            ([ckpt.SaveSpec(1, "", "x")], None),
            ([], None),
        ):
            assert device == ckpt.SaveableObject(None, specs, "x").device
