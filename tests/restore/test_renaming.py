"""Older names: `Trackable.renamed` and `RestoreOptions(rename=)` (docs/restore.md, R-28, R-29)."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import checkpointable as ckpt
from checkpointable.restore.renaming import components
from tests.restore.models import Node, nothing_is_left_waiting, variable


def write(tmp_path, **dependencies: Any) -> str:
    """Write a checkpoint of these values and return its path."""
    return ckpt.Checkpoint(**dependencies).write(tmp_path / "model")


def class_with(*bases: type, **renamed: Any) -> Any:
    """A class with these older names (`__` for `/`)."""
    names = {today.replace("__", "/"): older for today, older in renamed.items()}
    return type("Today", bases or (Node,), {"renamed": names})


@pytest.fixture(autouse=True)
def _nothing_is_left_waiting():
    """Whatever waits in a test is gone once its objects are."""
    with nothing_is_left_waiting():
        yield


class TestRenamed:
    def test_an_attribute_of_another_name(self, tmp_path):
        """What was called `w` is found under `kernel` (R-28)."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = class_with(kernel="w")(kernel=variable(0))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1 == live.kernel[0]

    def test_what_lies_below_moves_along(self, tmp_path):
        """An older path leads to a whole subtree."""
        path = write(tmp_path, m=Node(enc=Node(a=variable(1), b=[Node(c=variable(2))])))
        live = class_with(encoder="enc")(encoder=Node(a=variable(0), b=[Node(c=variable(0))]))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert (1, 2) == (live.encoder.a[0], live.encoder.b[0].c[0])

    def test_declared_arrays_and_plain_values_too(self, tmp_path):
        """Whatever has a name can have had another one."""

        class Old(Node):
            state_attributes = ("x", "n")

        class New(Node):
            state_attributes = ("array", "steps")
            renamed: ClassVar = {"array": "x", "steps": "n"}

        path = write(tmp_path, m=Old(x=np.arange(3), n=7))
        live = New(array=np.zeros(3, int), steps=0)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert ([0, 1, 2], 7) == (live.array.tolist(), live.steps)

    def test_attributes_become_a_list(self, tmp_path):
        """Paths of today may cross what the checkpoint lacks."""
        path = write(tmp_path, m=Node(layer_a=Node(w=variable(1)), layer_b=Node(w=variable(2))))
        cls = class_with(layers__0="layer_a", layers__1="layer_b")
        live = cls(layers=[Node(w=variable(0)), Node(w=variable(0))])
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [1, 2] == [layer.w[0] for layer in live.layers]

    def test_a_list_becomes_attributes(self, tmp_path):
        """Older paths may lead into containers."""
        path = write(tmp_path, m=Node(layers=[Node(w=variable(1)), Node(w=variable(2))]))
        cls = class_with(first="layers/0", last="layers/1")
        live = cls(first=Node(w=variable(0)), last=Node(w=variable(0)))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [1, 2] == [live.first.w[0], live.last.w[0]]

    def test_an_object_becomes_an_item_of_a_list_of_its_own_name(self, tmp_path):
        """`layer` was a layer, and is a list of layers now."""
        path = write(tmp_path, m=Node(layer=Node(w=variable(1))))
        live = class_with(layer__0="layer")(layer=[Node(w=variable(0)), Node()])
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1 == live.layer[0].w[0]

    def test_an_object_is_moved_into_another(self, tmp_path):
        """The other may have stored children of its own, which are restored as ever."""
        path = write(tmp_path, m=Node(norm=variable(1), block=Node(w=variable(2))))
        live = class_with(block__norm="norm")(block=Node(w=variable(0), norm=variable(0)))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert (2, 1) == (live.block.w[0], live.block.norm[0])

    def test_an_object_is_moved_out_of_another(self, tmp_path):
        """The other is restored without it."""
        path = write(tmp_path, m=Node(block=Node(w=variable(2), norm=variable(1))))
        live = class_with(norm="block/norm")(block=Node(w=variable(0)), norm=variable(0))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert (2, 1) == (live.block.w[0], live.norm[0])

    @pytest.mark.parametrize("stored", ["one", "two", "three"])
    def test_the_first_older_name_that_is_there_counts(self, tmp_path, stored):
        """A class may have been changed more than once."""
        path = write(tmp_path, m=Node(**{stored: variable(1)}))
        live = class_with(today=("three", "two", "one"))(today=variable(0))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1 == live.today[0]

    def test_todays_name_in_the_checkpoint_comes_first(self, tmp_path):
        """A checkpoint of today is read as it is."""
        path = write(tmp_path, m=Node(kernel=variable(1), w=variable(2)))
        live = class_with(kernel="w")(kernel=variable(0))
        status = ckpt.Checkpoint(m=live).restore(path)
        assert 1 == live.kernel[0]
        assert ["m/w"] == [entry.path for entry in status.report().pending]

    def test_an_older_name_that_is_in_use_keeps_its_value(self, tmp_path):
        """Where the object has something under the older name, that is where it belongs."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = class_with(kernel="w")(kernel=variable(0), w=variable(0))
        status = ckpt.Checkpoint(m=live).restore(path)
        assert (0, 1) == (live.kernel[0], live.w[0])
        assert ["m/kernel"] == [entry.path for entry in status.report().missing]

    def test_nothing_waits_under_the_older_name(self, tmp_path):
        """What has moved is looked for under its new name only."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = class_with(kernel="w")()
        ckpt.Checkpoint(m=live).restore(path)
        live.w = variable(0)
        assert 0 == live.w[0]
        live.kernel = variable(0)
        assert 1 == live.kernel[0]

    def test_declarations_are_collected_over_all_bases(self, tmp_path):
        """A subclass adds to those of its bases, and may say otherwise."""
        path = write(tmp_path, m=Node(a=variable(1), b=variable(2), c=variable(3)))
        base = class_with(x="a", y="a")
        live = class_with(base, y="b", z="c")(x=variable(0), y=variable(0), z=variable(0))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert [1, 2, 3] == [live.x[0], live.y[0], live.z[0]]

    def test_objects_within_objects_have_older_names_of_their_own(self, tmp_path):
        """Each class knows its own history only."""
        path = write(tmp_path, m=Node(enc=Node(w=variable(1))))
        layer = class_with(kernel="w")(kernel=variable(0))
        live = class_with(encoder="enc")(encoder=layer)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1 == layer.kernel[0]

    def test_a_path_and_one_below_it(self, tmp_path):
        """A subtree moves, and something in it moves on."""
        path = write(tmp_path, m=Node(enc=Node(w=variable(1), b=variable(2))))
        cls = class_with(encoder="enc", encoder__kernel="enc/w")
        live = cls(encoder=Node(kernel=variable(0), b=variable(0)))
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert (1, 2) == (live.encoder.kernel[0], live.encoder.b[0])

    def test_names_are_escaped_in_paths(self, tmp_path):
        """A name with a dot or a slash is written as in every other path."""
        old, live = Node(), class_with(**{"d__n..1": "a.Sb"})(d={"n.1": variable(0)})
        old.track("a/b", variable(1))
        path = write(tmp_path, m=old)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1 == live.d["n.1"][0]

    def test_a_shared_object_under_an_older_name(self, tmp_path):
        """It is one object still, and bound once."""
        shared = variable(1)
        path = write(tmp_path, m=Node(old=shared, other=shared))
        late = variable(0)
        live = class_with(new="old")(new=late, other=late)
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 1 == late[0]

    def test_the_root_and_what_is_attached_to_it(self, tmp_path):
        """A subclass of Checkpoint says where its own dependencies were."""
        path = ckpt.Checkpoint(Node(w=variable(1)), step=3).write(tmp_path / "m")
        cls = type("Today", (ckpt.Checkpoint,), {"renamed": {"count": "step"}})
        live = cls(class_with(kernel="w")(kernel=variable(0)), count=0)
        live.restore(path).assert_consumed()
        assert (1, 3) == (live.root.kernel[0], live.count)

    def test_attrs_classes_declare_older_names_too(self, tmp_path):
        """With slots and validators as well."""

        @attrs.define(eq=False)
        class Model(ckpt.Trackable):
            renamed: ClassVar = {"rate": "learning_rate"}
            rate: float = ckpt.tracked(default=0.0, validator=attrs.validators.instance_of(float))

        path = write(tmp_path, m=ckpt.Checkpoint(learning_rate=0.5))
        live = Model()
        ckpt.Checkpoint(m=live).restore(path).assert_consumed()
        assert 0.5 == live.rate

    def test_slots_follow_a_renamed_variable(self, tmp_path):
        """A slot hangs on the variable, whatever its name."""
        w, optimizer = variable(1), ckpt.SlotTrackable()
        optimizer.add_slot(w, "m", "ones")
        path = write(tmp_path, m=Node(w=w), opt=optimizer)
        live, late = class_with(kernel="w")(kernel=variable(0)), ckpt.SlotTrackable()
        holder = ckpt.Checkpoint(m=live, optimizer=late)
        holder.restore(path, rename={"optimizer": "opt"}).assert_consumed()
        assert 1 == late.get_slot(live.kernel, "m")[0]

    def test_a_misfit_under_an_older_name_is_named_as_it_is_called_today(self, tmp_path):
        """The path in the message is that of the program."""
        path = write(tmp_path, m=Node(w=variable(1, 2)))
        live = class_with(kernel="w")(kernel=variable(0))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="m/kernel: the checkpoint"):
            ckpt.Checkpoint(m=live).restore(path)

    @pytest.mark.parametrize(
        ("renamed", "error"),
        [
            ("kernel", TypeError), ({"kernel": 3}, TypeError), ({"kernel": ["w"]}, TypeError),
            ({3: "w"}, TypeError), ({"kernel": ("w", 3)}, TypeError), ({"": "w"}, ValueError),
            ({"kernel": "a//b"}, ValueError), ({"/kernel": "w"}, ValueError),
        ],
    )  # fmt: skip
    def test_wrong_declarations_are_refused_when_the_class_is_made(self, renamed, error):
        """The message names the class."""
        with pytest.raises(error, match=r"Wrong\.renamed"):
            type("Wrong", (ckpt.Trackable,), {"renamed": renamed})


class TestDeferred:
    def test_an_object_that_comes_later(self, tmp_path):
        """Its class's older names are looked at when it comes."""
        path = write(tmp_path, m=Node(w=variable(1)))
        holder = ckpt.Checkpoint()
        status = holder.restore(path)
        holder.m = class_with(kernel="w")(kernel=variable(0))
        assert 1 == holder.m.kernel[0]
        status.assert_consumed()

    def test_an_attribute_that_comes_later(self, tmp_path):
        """It waits under the name of today."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = class_with(kernel="w")()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.kernel = live.add_variable("kernel", (1,), float, initializer="ones")
        assert 1 == live.kernel[0]
        status.assert_consumed()

    def test_items_of_a_list_that_the_checkpoint_lacks(self, tmp_path):
        """They come one by one, each from the attribute that it was."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1)), b=Node(w=variable(2))))
        live = class_with(layers__0="a", layers__1="b")(layers=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers.append(Node(w=variable(0)))
        assert 1 == live.layers[0].w[0]
        live.layers.append(Node(w=variable(0)))
        assert 2 == live.layers[1].w[0]
        status.assert_consumed()

    def test_a_list_assigned_where_none_was(self, tmp_path):
        """All that the checkpoint knows of it comes at once."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1)), b=Node(w=variable(2))))
        live = class_with(layers__0="a", layers__1="b")()
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers = [Node(w=variable(0)), Node(w=variable(0))]
        assert [1, 2] == [layer.w[0] for layer in live.layers]
        status.assert_consumed()

    def test_an_object_assigned_where_none_stood(self, tmp_path):
        """A declared None waits for what the checkpoint has in pieces."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = class_with(layer__kernel="w")()
        live.track("layer", None)
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layer = Node(kernel=variable(0))
        assert 1 == live.layer.kernel[0]
        status.assert_consumed()

    def test_the_latest_restore_wins(self, tmp_path):
        """Whether it was written before or after the renaming."""
        old = write(tmp_path, m=Node(w=variable(1)))
        new = ckpt.Checkpoint(m=Node(kernel=variable(2))).write(tmp_path / "new")
        for paths in ([old, new], [new, old]):
            live = class_with(kernel="w")()
            holder = ckpt.Checkpoint(m=live)
            statuses = [holder.restore(path) for path in paths]
            live.kernel = variable(0)
            assert (2 if paths[-1] == new else 1) == live.kernel[0]
            for status in statuses:
                status.assert_consumed()


class TestRename:
    @pytest.fixture
    def path(self, tmp_path) -> str:
        """A checkpoint of an encoder, a decoder and a step."""
        model = Node(enc=Node(w=variable(1), b=variable(2)), dec=Node(w=variable(3)))
        return ckpt.Checkpoint(model=model, step=7).save(tmp_path / "ckpt")

    def test_paths_of_the_program_lead_to_paths_of_the_checkpoint(self, path):
        """A subtree, a value in another one, and a plain value (R-29)."""
        model = Node(encoder=Node(w=variable(0), b=variable(0)), dec=Node(kernel=variable(0)))
        live = ckpt.Checkpoint(model=model, count=0)
        rename = {
            "model/encoder": "model/enc",
            "model/dec/kernel": "model/dec/w",
            "count": "step",
        }
        live.restore(path, rename=rename).assert_consumed()
        assert (1, 2, 3, 7) == (
            model.encoder.w[0],
            model.encoder.b[0],
            model.dec.kernel[0],
            live.count,
        )
        assert 1 == live.save_counter.value

    def test_it_beats_the_name_that_the_checkpoint_has(self, path):
        """Two objects change their places."""
        model = Node(enc=Node(w=variable(0)), dec=Node(w=variable(0), b=variable(0)))
        live = ckpt.Checkpoint(model=model, step=0)
        swap = {"model/enc": "model/dec", "model/dec": "model/enc"}
        live.restore(path, rename=swap).assert_consumed()
        assert (3, 1, 2) == (model.enc.w[0], model.dec.w[0], model.dec.b[0])

    def test_it_beats_what_the_class_declares(self, path):
        """`renamed` says one thing, the caller another."""
        model = class_with(encoder="enc")(encoder=Node(w=variable(0)))
        live = ckpt.Checkpoint(model=model, step=0)
        status = live.restore(path, rename={"model/encoder": "model/dec"})
        assert 3 == model.encoder.w[0]
        assert {"model/enc/w", "model/enc/b"} == {e.path for e in status.report().pending}

    def test_one_stored_object_may_be_given_to_two(self, path):
        """Both names are in the program: it is split, and the report says so."""
        model = Node(enc=Node(w=variable(0)), dec=Node(w=variable(0)))
        status = ckpt.Checkpoint(model=model).restore(path, rename={"model/dec": "model/enc"})
        assert (1, 1) == (model.enc.w[0], model.dec.w[0])
        assert {"model/dec", "model/dec/w", "model/enc", "model/enc/w"} & {
            entry.path for entry in status.report().split
        }

    def test_values_that_come_later(self, path):
        """They wait under the names of the program."""
        live = ckpt.Checkpoint()
        status = live.restore(path, rename={"net/front/w": "model/enc/w"})
        live.net = Node()
        live.net.front = Node()
        live.net.front.w = variable(0)
        assert 1 == live.net.front.w[0]
        assert "net" not in str(status.report().pending)

    def test_with_at(self, path):
        """Stored paths then begin at that node."""
        encoder = Node(kernel=variable(0), b=variable(0))
        status = ckpt.Checkpoint(encoder).restore(path, at="model/enc", rename={"kernel": "w"})
        status.assert_consumed()
        assert (1, 2) == (encoder.kernel[0], encoder.b[0])

    @pytest.mark.parametrize("only", ["model/encoder", "model/enc", "model/encoder/w"])
    def test_with_only(self, path, only):
        """Its paths may be those of the program or those of the checkpoint."""
        model = Node(encoder=Node(w=variable(0), b=variable(0)), dec=Node(w=variable(0)))
        live = ckpt.Checkpoint(model=model, step=0)
        status = live.restore(path, rename={"model/encoder": "model/enc"}, only=only)
        status.assert_consumed()
        assert (1, 0, 0) == (model.encoder.w[0], model.dec.w[0], live.step)
        assert (0 if only.endswith("/w") else 2) == model.encoder.b[0]
        assert "model/encoder/w" in {entry.path for entry in status.report().restored}
        assert "step" in {entry.path for entry in status.report().skipped}

    @pytest.mark.parametrize("skip", ["model/encoder", "model/enc"])
    def test_with_skip(self, path, skip):
        """Either name leaves it out, and it fails no assertion."""
        model = Node(encoder=Node(w=variable(0), b=variable(0)), dec=Node(w=variable(0)))
        live = ckpt.Checkpoint(model=model, step=0)
        status = live.restore(path, rename={"model/encoder": "model/enc"}, skip=skip)
        status.assert_consumed()
        assert (0, 3, 7) == (model.encoder.w[0], model.dec.w[0], live.step)

    def test_declared_older_names_with_only_and_skip(self, tmp_path):
        """`renamed` too may be chosen by the name in the checkpoint."""
        path = write(tmp_path, m=Node(a=Node(w=variable(1)), b=Node(w=variable(2))))
        cls = class_with(layers__0="a", layers__1="b")
        for options, expected in (
            ({"only": "m/b"}, [0, 2]),
            ({"only": "m/layers/0"}, [1, 0]),
            ({"skip": "m/a"}, [0, 2]),
            ({"skip": "m/layers/1"}, [1, 0]),
        ):
            live = cls(layers=[Node(w=variable(0)), Node(w=variable(0))])
            ckpt.Checkpoint(m=live).restore(path, **options).assert_consumed()
            assert expected == [layer.w[0] for layer in live.layers]

    def test_a_stored_path_that_leads_nowhere_is_refused(self, path):
        """The message says what is there; nothing was assigned."""
        live = ckpt.Checkpoint(step=0)
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"no child 'encc'. It has enc"):
            live.restore(path, rename={"encoder": "model/encc"})
        assert 0 == live.step

    def test_a_path_inside_a_plain_value_is_refused(self, tmp_path):
        """A plain value is stored as a whole."""
        path = ckpt.Checkpoint(config={"a": 1}, b=2).write(tmp_path / "m")
        live = ckpt.Checkpoint(config={"a": 0, "b": 0})
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="config/b lies inside a value"):
            live.restore(path, rename={"config/b": "b"})

    @pytest.mark.parametrize(
        ("rename", "error"),
        [("a", TypeError), ({"a": 3}, TypeError), (["ab"], TypeError), ({"": "a"}, ValueError)],
    )
    def test_wrong_arguments_are_refused(self, path, rename, error):
        """The message says what is expected."""
        with pytest.raises(error, match="rename"):
            ckpt.Checkpoint(step=0).restore(path, rename=rename)

    def test_a_container_as_root(self, tmp_path):
        """Its items have names too."""
        path = ckpt.Checkpoint({"a": variable(1), "b": variable(2)}).write(tmp_path / "m")
        live = {"a": variable(0), "c": variable(0)}
        ckpt.Checkpoint(live).restore(path, rename={"c": "b"}).assert_consumed()
        assert (1, 2) == (live["a"][0], live["c"][0])


class TestSuggestions:
    def test_what_came_to_a_place_too_late_was_not_renamed(self, tmp_path):
        """Another object had been restored there; the remedy is to restore again."""
        path = write(tmp_path, m=Node(w=variable(1)))
        live = ckpt.Checkpoint(m=Node())
        status = live.restore(path)
        live.m = Node(w=variable(0))
        with pytest.raises(ckpt.UnmatchedError, match=r"m/w float64 .*took the place .*again\n"):
            status.assert_consumed()

    def test_a_value_of_the_same_shape_is_suggested(self, tmp_path):
        """With where to declare it."""
        path = write(tmp_path, m=Node(dense=Node(kernel=variable(1, 2))))
        status = ckpt.Checkpoint(m=Node(dense=Node(w=variable(0, 0)))).restore(path)
        expected = "m/dense/w float64 .*it holds m/dense/kernel of the same dtype and shape"
        with pytest.raises(ckpt.UnmatchedError, match=f"{expected}.*Trackable.renamed"):
            status.assert_consumed()
        (missing,) = status.report().missing
        assert ("m/dense/kernel",) == missing.candidates

    def test_a_name_that_is_spelled_much_alike_is_suggested(self, tmp_path):
        """Whatever its dtype and shape, and for plain values too."""
        path = ckpt.Checkpoint(learning_rate=0.1, kernel=variable(1, 2)).write(tmp_path / "m")
        live = ckpt.Checkpoint(learnig_rate=0.0, kernal=variable(0))
        status = live.restore(path)
        candidates = {entry.path: entry.candidates for entry in status.report().missing}
        assert {"learnig_rate": ("learning_rate",), "kernal": ("kernel",)} == candidates
        with pytest.raises(ckpt.UnmatchedError, match=r"it holds learning_rate\. Misspelt"):
            status.assert_existing_objects_matched()

    def test_nothing_is_suggested_where_nothing_is_alike(self, tmp_path):
        """Neither shape nor spelling."""
        path = write(tmp_path, b=variable(1, 2, 3))
        status = ckpt.Checkpoint(w=variable(0)).restore(path)
        assert [()] == [entry.candidates for entry in status.report().missing]


NAMES = st.sampled_from(["a", "b", "c", "x.y", "s/t"])
TREES = st.recursive(
    st.just(None), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


def build(tree: Any, numbers: Any) -> Any:
    """Objects of the shape of a tree, each leaf a Variable with a number of its own."""
    if tree is None:
        return variable(next(numbers))
    node = Node()
    for name, inner in tree.items():
        node.track(name, build(inner, numbers))
    return node


def leaves(root: Any) -> dict[str, float]:
    """The values below an object by path, found by hand."""
    found, queue = {}, deque([((), root)])
    while queue:
        path, obj = queue.popleft()
        if isinstance(obj, ckpt.Variable):
            found[escaped(path)] = obj[0]
        else:
            queue.extend(((*path, name), o) for name, o in obj.trackable_children().items())
    return found


def subtrees(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all subtrees."""
    found = [path] if path else []
    for name, inner in (tree or {}).items():
        found += subtrees(inner, (*path, name))
    return found


def escaped(names: tuple[str, ...]) -> str:
    """The path that these local names make, found by hand."""
    return "/".join(n.replace(".", "..").replace("/", ".S") for n in names)


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_object_can_have_moved_anywhere(tmp_path_factory, tree, is_declared, data):
    """Wherever a subtree stands in the program, one declaration leads to its values."""
    old = build(tree, iter(range(1, 100)))
    path = ckpt.Checkpoint(old).write(tmp_path_factory.mktemp("moved") / "m", durable=False)
    moved = data.draw(st.sampled_from(subtrees(tree)))
    target = (*data.draw(st.lists(NAMES, max_size=2)), "new")
    older, today = escaped(moved), escaped(target)
    inner: Any = tree
    for name in moved:
        inner = inner[name]
    live = class_with(**{today.replace("/", "__"): older} if is_declared else {})()
    node = live
    for name in target[:-1]:
        node = node.track(name, Node())
    node.track("new", build(inner, iter([0.0] * 100)))

    options = {} if is_declared else {"rename": {today: older}}
    status = ckpt.Checkpoint(live).restore(path, **options).expect_partial()

    status.assert_existing_objects_matched()
    assert () == tuple(status.report().split)
    assert leaves(live) == {
        today + leaf[len(older) :]: value
        for leaf, value in leaves(old).items()
        if leaf == older or leaf.startswith(older + "/")
    }


def test_components():
    """A path is taken apart at its slashes; names in it stay escaped."""
    assert ("a..b", "c.Sd") == components("a..b/c.Sd")
    assert () == components("")


@pytest.mark.parametrize("only", ["model/typo", "net/typo", "model/kernel/typo"])
def test_a_misspelt_path_below_what_moved_draws_a_warning(tmp_path, only):
    """As it does elsewhere; paths of today and older ones are known (R-14)."""
    path = ckpt.Checkpoint(net=Node(w=variable(1), b=variable(2))).write(tmp_path / "m")
    live = ckpt.Checkpoint(model=class_with(kernel="w")(kernel=variable(0), b=variable(0)))
    for known in ("model/b", "model/kernel", "net/b", "net/w"):
        live.restore(path, rename={"model": "net"}, only=known)
    with pytest.warns(ckpt.CheckpointWarning, match=f"only='{only}' leads to nothing"):
        live.restore(path, rename={"model": "net"}, only=only)
