"""Containers that are created, filled and rearranged after a restore (R-8, R-10, R-21)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Declared, Node, nothing_is_left_waiting


class Pair(NamedTuple):
    left: Any
    right: Any


def variable(value: float = 0.0) -> ckpt.Variable:
    """A float64 Variable."""
    return ckpt.Variable(float(value))


@pytest.fixture
def layers(tmp_path) -> str:
    """A checkpoint of a model with three layers 1, 2, 3 in a list."""
    return ckpt.Checkpoint(m=Node(layers=[variable(1), variable(2), variable(3)])).write(
        tmp_path / "layers"
    )


@pytest.fixture
def table(tmp_path) -> str:
    """A checkpoint of a model with the keys "a", 1 and -2 in a dict."""
    return ckpt.Checkpoint(m=Node(d={"a": variable(1), 1: variable(2), -2: variable(3)})).write(
        tmp_path / "table"
    )


@pytest.fixture(autouse=True)
def _nothing_is_left_waiting():
    """Whatever waits in a test is gone once its objects are."""
    with nothing_is_left_waiting():
        yield


def restored(path: str, **attributes: Any) -> tuple[Any, Any]:
    """A model that was restored, and the status."""
    model = Node(**attributes)
    return model, ckpt.Checkpoint(m=model).restore(path)


class TestLists:
    def test_items_that_are_appended(self, layers):
        """Each is restored before it can be read, with no call of the library in between."""
        model, status = restored(layers, layers=[])
        for expected in (1, 2, 3):
            model.layers.append(variable())
            assert expected == model.layers[-1].value
        status.assert_consumed()

    def test_many_items_at_once(self, layers):
        """By extend, +=, a slice, and one new list for another."""
        for fill in (
            lambda m: m.layers.extend([variable(), variable(), variable()]),
            lambda m: m.layers.__iadd__([variable(), variable(), variable()]),
            lambda m: m.layers.__setitem__(slice(None), [variable(), variable(), variable()]),
            lambda m: setattr(m, "layers", [variable(), variable(), variable()]),
        ):
            model, status = restored(layers, layers=[])
            fill(model)
            assert [1, 2, 3] == [layer.value for layer in model.layers]
            status.assert_consumed()

    def test_an_item_that_is_inserted_first_receives_the_first_value(self, layers):
        """Positions count at the moment at which the library looks."""
        model, status = restored(layers, layers=[])
        model.layers.append(variable())
        model.layers.insert(0, variable())
        assert [1, 2] == [layer.value for layer in model.layers]
        model.layers.append(variable())
        status.assert_consumed()

    def test_restored_items_keep_their_values_wherever_they_go(self, layers):
        """Popped, sorted, reversed, duplicated: an object keeps what it was given."""
        model, status = restored(layers, layers=[variable(), variable(), variable()])
        two = model.layers[1]
        model.layers.sort(key=lambda layer: -layer.value)
        assert [3, 2, 1] == [layer.value for layer in model.layers]
        model.layers.reverse()
        model.layers.append(model.layers.pop(0))
        assert [2, 3, 1] == [layer.value for layer in model.layers]
        assert model.layers[0] is two
        status.assert_consumed()

    def test_what_is_saved_then_is_what_is_there_then(self, layers, tmp_path):
        """Any order and number of items can be saved at any time."""
        model, _ = restored(layers, layers=[variable(), variable(), variable()])
        holder = ckpt.Checkpoint(m=model)
        del model.layers[1]
        model.layers.insert(0, model.layers[-1])
        tree = ckpt.load(holder.write(tmp_path / "next"))
        assert [3, 1, 3] == [float(value) for value in tree["m"]["layers"]]

    def test_an_item_popped_before_it_was_looked_at_leaves_its_value_waiting(self, layers):
        """Nothing was given to what nobody used."""
        model, status = restored(layers, layers=[])
        model.layers.append(Node())
        model.layers.pop()
        model.layers.append(variable())
        assert 1 == model.layers[0].value
        assert ["m/layers/1", "m/layers/2"] == [e.path for e in status.report().pending]

    def test_a_layer_built_appended_and_only_then_read_is_seen_restored(self, tmp_path):
        """The case that everybody writes: build a layer, append it, use it."""

        class Layer(ckpt.Trackable):
            def build(self, size: int) -> None:
                self.w = self.add_variable("w", (size,), initializer="ones")

        saved = Layer()
        saved.build(3)
        saved.w.assign([5, 6, 7])
        path = ckpt.Checkpoint(m=Node(layers=[saved])).write(tmp_path / "m")
        model, status = restored(path, layers=[])
        layer = Layer()
        layer.build(3)
        model.layers.append(layer)
        assert [5, 6, 7] == (layer.w + 0).tolist()
        status.assert_consumed()

    @pytest.mark.parametrize(
        "use",
        [
            lambda v: v.value.item(), lambda v: v.numpy().item(), lambda v: np.asarray(v).item(),
            float, lambda v: (v + 0).item(), lambda v: v[()].item(), lambda v: (v * 1.0).item(),
            lambda v: float(f"{v:.1f}"), lambda v: v.assign_add(0).value.item(),
        ],
    )  # fmt: skip
    def test_every_use_of_a_variable_sees_it_restored(self, layers, use):
        """Reading, converting, computing, formatting, changing."""
        model, _ = restored(layers, layers=[])
        model.layers.append(variable())
        assert 1 == use(model.layers[0])

    def test_a_declared_empty_list_is_filled_and_then_the_programs_own(self, tmp_path):
        """Arrays and plain values are there at once."""
        path = ckpt.Checkpoint(m=Declared(x=[np.ones(2), 3])).write(tmp_path / "m")
        live = Declared(x=[])
        items = live.x
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert items is live.x
        assert ([1, 1], 3) == (live.x[0].tolist(), live.x[1])


class TestDicts:
    def test_keys_that_are_added(self, table):
        """String and integer keys are told apart as they were."""
        model, status = restored(table, d={})
        model.d[-2], model.d["a"], model.d[1] = variable(), variable(), variable()
        assert [3, 1, 2] == [value.value for value in model.d.values()]
        status.assert_consumed()

    def test_keys_that_are_removed_and_put_back(self, table):
        """The same object keeps its value; another one gets none, for the value was given."""
        model, status = restored(table, d={"a": variable(), 1: variable(), -2: variable()})
        kept = model.d.pop("a")
        model.d.setdefault("a", kept)
        status.assert_consumed()
        model.d["a"] = variable(9)
        assert 9 == model.d["a"].value

    def test_update_clear_and_another_dict(self, table):
        """Whatever happened before the library looks does not matter."""
        model, status = restored(table, d={})
        model.d.update(a=variable())
        model.d.clear()
        model.d = OrderedDict(a=variable())
        model.d |= {1: variable(), -2: variable()}
        assert [1, 2, 3] == [value.value for value in model.d.values()]
        status.assert_consumed()
        assert type(model.d) is OrderedDict


class TestNesting:
    def test_containers_within_containers(self, tmp_path):
        """Whichever of them comes late."""
        saved = Node(x=[{"a": [variable(1), variable(2)]}, [variable(3)]])
        path = ckpt.Checkpoint(m=saved).write(tmp_path / "m")
        model, status = restored(path, x=[])
        model.x.append({})
        model.x.append([variable()])
        assert 3 == model.x[1][0].value
        model.x[0]["a"] = []
        model.x[0]["a"].append(variable())
        assert 1 == model.x[0]["a"][0].value
        model.x[0]["a"].append(variable())
        status.assert_consumed()
        assert 2 == model.x[0]["a"][1].value

    def test_a_tuple_that_is_made_later_is_made_anew(self, tmp_path):
        """Arrays and numbers in it are replaced, so the tuple is; variables stay."""
        saved = Declared(x=(variable(1), 5, (np.ones(2),)))
        path = ckpt.Checkpoint(m=saved).write(tmp_path / "m")
        live = Declared()
        status = ckpt.Checkpoint(m=live).restore(path)
        inner, array = variable(), np.zeros(2)
        live.x = (inner, 0, (array,))
        assert inner is live.x[0]
        assert (1, 5, [1, 1]) == (live.x[0].value, live.x[1], live.x[2][0].tolist())
        assert [0, 0] == array.tolist()
        status.assert_consumed()

    def test_immutable_leaves_are_rebound_through_every_kind_of_owner(self, tmp_path):
        """A read-only array in a named tuple in a dict in a list in an attribute."""
        frozen = np.ones(2)
        frozen.flags.writeable = False
        path = ckpt.Checkpoint(m=Declared(x=[{"k": Pair(frozen, 3)}])).write(tmp_path / "m")
        zeros = np.zeros(2)
        zeros.flags.writeable = False
        live = Declared(x=[{"k": Pair(zeros, 0)}])
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        pair = live.x[0]["k"]
        assert type(pair) is Pair
        assert ([1, 1], 3) == (pair.left.tolist(), pair.right)
        assert not pair.left.flags.writeable
        assert [0, 0] == zeros.tolist()


class TestSettling:
    @pytest.mark.parametrize("point", ["status", "settle", "assignment", "read", "save"])
    def test_the_library_looks_whenever_it_gets_control(self, layers, tmp_path, point):
        """Each of these lets an appended object come in (R-10)."""
        model, status = restored(layers, layers=[])
        holder = ckpt.Checkpoint(m=model)
        late = variable()
        storage = late.storage_array()  # looks at the array without the library noticing
        model.layers.append(late)
        assert 0 == storage
        if point == "status":
            status.report()
        elif point == "settle":
            assert status is status.settle()
        elif point == "assignment":
            Node().anything = Node()
        elif point == "read":
            assert 0 == variable().value  # any Variable that nothing has restored
        else:
            with pytest.warns(ckpt.CheckpointWarning, match="m/layers/1, m/layers/2"):
                holder.write(tmp_path / "next")
        assert 1 == storage

    def test_a_value_that_does_not_fit_is_raised_once_where_it_is_noticed(self, tmp_path):
        """The item stays in its list without the value; the report keeps the misfit."""
        path = ckpt.Checkpoint(m=Node(layers=[ckpt.Variable([1.0, 2.0])])).write(tmp_path / "m")
        model, status = restored(path, layers=[])
        model.layers.append(variable(7))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/layers/0"):
            model.layers[0].value
        assert 7 == model.layers[0].value
        assert ["m/layers/0"] == [entry.path for entry in status.report().mismatched]
