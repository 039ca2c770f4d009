"""Checkpoints that TensorFlow wrote, restored into objects that know nothing of it."""

from typing import Any, ClassVar

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable import SlotTrackable, Trackable, Variable
from checkpointable.format.dtypes import numpy_dtype
from checkpointable.names import unescape
from tests.interop.tensorflow.models import write_message
from tests.interop.tensorflow.samples import description, sample
from tests.interop.tensorflow.test_graph import graph
from tests.interop.tensorflow.test_graph_message import State

NESTED, SLOTS = sample("object_based_nested/ckpt-1"), sample("object_based_slots/ckpt-1")
KERAS = sample("object_based_keras/ckpt-1")
PATH = "/.ATTRIBUTES/VARIABLE_VALUE"


class Node(Trackable):
    """An object with whatever attributes it is given."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Optimizer(SlotTrackable):
    """An optimizer with attributes."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Given(Trackable):
    """An object that keeps the tensors that it is given."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.got: dict[str, Any] = {}

    def serialize_to_tensors(self) -> dict[str, Any]:
        """Return something under each name."""
        return dict.fromkeys(self.names, np.zeros(()))

    def restore_from_tensors(self, tensors: Any) -> None:
        """Keep them."""
        self.got = dict(tensors)


class Bytes(State):
    """A state that keeps what it is given."""

    data = b""

    def deserialize(self, data: bytes) -> None:
        """Keep it."""
        self.data = data


def like(key: str, of: Any = NESTED) -> Any:
    """Return a Variable that can hold a stored tensor; an array, if it is of strings."""
    facts = of.tensors[key + PATH]
    if facts["dtype"] == "string":
        return np.full(facts["shape"], b"", object)
    return Variable(np.zeros(facts["shape"], numpy_dtype(facts["dtype"])))


def holds(variable: Any, key: str, of: Any = NESTED) -> bool:
    """Tell whether a value is the stored one of that key."""
    facts = of.tensors[key + PATH]
    array = variable.value if isinstance(variable, Variable) else variable
    return description(array).items() <= facts.items()


def nested() -> ckpt.Checkpoint:
    """Return objects that the nested sample fits."""
    shared = like("a/shared")
    a, b = Node(value=like("a/value"), shared=shared), Node(value=like("a/peer/value"))
    a.peer, a.me, b.peer, b.shared = b, a, a, shared
    items = [like(f"items/{i}") for i in range(3)]
    deep = {"deep": [like("nested/x/1/deep/0"), like("nested/x/1/deep/1")]}
    return ckpt.Checkpoint(
        a=a,
        items=items,
        alias=items,
        nested={"x": [shared, deep], "y": (), "empty": {}},
        tup=(like("tup/0"), like("tup/1")),
    )


def test_lists_dicts_tuples_cycles_and_shared_objects() -> None:
    """All of it is found by the edges, whatever the program's containers are."""
    live = nested()
    live.restore(NESTED.path).assert_consumed()

    assert holds(live.a.peer.peer.me.value, "a/value")
    assert holds(live.nested["x"][0], "a/shared")
    assert holds(live.nested["x"][1]["deep"][1], "nested/x/1/deep/1")
    assert holds(live.tup[1], "tup/1")
    assert all(holds(item, f"items/{i}") for i, item in enumerate(live.alias))
    assert 1 == live.save_counter.value


def test_the_graph_and_the_values_are_those_of_the_objects() -> None:
    """A view matches every node, and a difference finds none; the root's own edge counts too."""
    live = nested()
    live.restore(NESTED.path).assert_consumed()
    matches, only_stored, only_live = ckpt.CheckpointView(NESTED.path).diff(live)

    assert {0: live, 1: live.a, 2: live.items} == {n: matches[n] for n in range(3)}
    assert ([], []) == (only_stored, [x for x in only_live if not isinstance(x, (tuple, dict))])
    assert not [v.path for v in ckpt.diff(NESTED.path, live).changed]


def test_values_wait_for_their_objects() -> None:
    """What is created later gets its value then; shared ones under every name."""
    live = ckpt.Checkpoint()
    status = live.restore(NESTED.path)
    assert 10 == len(status.report().pending)

    live.a = Node(shared=like("a/shared"))
    live.a.value = like("a/value")
    live.items = [like("items/0")]
    status.settle()

    assert holds(live.a.shared, "a/shared")
    assert holds(live.a.value, "a/value")
    assert holds(live.items[0], "items/0")
    with pytest.raises(ckpt.UnmatchedError, match="tup/0"):
        status.assert_consumed()


def test_options() -> None:
    """`at`, `only`, `skip`, `rename` and `renamed` do what they always do."""

    class Renamed(Node):
        renamed: ClassVar = {"other": "peer", "kept": "value"}

    part = Renamed(kept=like("a/value"), shared=like("a/shared"))
    part.me, part.other = part, Node(value=like("a/peer/value"), shared=part.shared, peer=part)
    ckpt.Checkpoint(part).restore(NESTED.path, at="a").assert_consumed()
    one = ckpt.Checkpoint(first=like("items/0"), a=Node(value=like("a/value")))
    status = one.restore(NESTED.path, only=("first",), rename={"first": "items/0"})

    assert holds(part.kept, "a/value")
    assert holds(part.other.value, "a/peer/value")
    assert holds(one.first, "items/0")
    assert not one.a.value.value
    status.assert_consumed()


def test_a_checkpoint_of_a_root() -> None:
    """TensorFlow's own edge from the root to itself is no obstacle."""
    rooted = sample("object_based_nested/rooted")
    a = Node(value=like("value", rooted), shared=like("shared", rooted))
    a.me, a.peer = a, Node(value=like("peer/value", rooted), shared=a.shared, peer=a)
    live = ckpt.Checkpoint(a, extra=like("extra", rooted))
    live.restore(rooted.path).assert_consumed()

    assert holds(a.peer.shared, "shared", rooted)
    assert holds(live.extra, "extra", rooted)


def network() -> Node:
    """Return what the sample of slot variables has as a network."""
    return Node(w=like("net/w", SLOTS), b=like("net/b", SLOTS))


def test_slot_variables_are_created() -> None:
    """Each is found by its optimizer and its variable, in whatever order they come."""
    adam = Optimizer(beta1_power=like("adam/beta1_power", SLOTS))
    adam.beta2_power = like("adam/beta2_power", SLOTS)
    live = ckpt.Checkpoint(adam=adam)
    status = live.restore(SLOTS.path)
    live.net = network()
    live.momentum = Optimizer()
    status.assert_consumed()

    for name in ("w", "b"):
        for slot in ("m", "v"):
            made = adam.get_slot(getattr(live.net, name), slot)
            assert holds(made, f"net/{name}/.OPTIMIZER_SLOT/adam/{slot}", SLOTS)
    made = live.momentum.get_slot(live.net.w, "momentum")
    assert holds(made, "net/w/.OPTIMIZER_SLOT/momentum/momentum", SLOTS)
    assert not ckpt.diff(SLOTS.path, live)


def test_slot_variables_may_be_left_out() -> None:
    """They are then skipped; without an optimizer that can keep them, they are unused."""
    adam = Optimizer(beta1_power=like("adam/beta1_power", SLOTS))
    adam.beta2_power = like("adam/beta2_power", SLOTS)
    live = ckpt.Checkpoint(adam=adam, net=network(), momentum=Optimizer())
    live.restore(SLOTS.path, slots=False).assert_consumed()
    other = ckpt.Checkpoint(adam=Node(**vars(adam)), net=network(), momentum=Node())
    report = other.restore(SLOTS.path).report()

    assert None is adam.get_slot(live.net.w, "m")
    assert 5 == len(report.unused)
    assert "no SlotTrackable" in report.unused[0].reason


def test_objects_that_gave_tensors_of_their_own() -> None:
    """Lookup tables, states, and names that TensorFlow escapes twice."""
    live = ckpt.Checkpoint(
        custom=Given("plain", "with/slash", "with.dot"),
        dense=Given("table-keys", "table-values"),
        mutable=Given("table-keys", "table-values"),
        gen=Node(_state_var=Variable(np.zeros(3, np.int64))),
        py=Bytes(),
    )
    live.restore(sample("object_based_special/ckpt-1").path).assert_consumed()

    assert [1.0, 2.0] == live.custom.got["plain"].tolist()
    assert (b"txt", 3) == (live.custom.got["with/slash"][()], live.custom.got["with.dot"])
    assert [9] == live.mutable.got["table-keys"].tolist()
    assert b"bb" == live.dense.got["table-keys"][0, 0]
    assert b"\x00\xffpython state" == live.py.data
    assert [5, 0, 0] == live.gen._state_var.value.tolist()


def keras() -> ckpt.Checkpoint:
    """Return a network and an optimizer of plain objects that the Keras sample fits."""
    variables = [like("optimizer/_iterations", KERAS), like("optimizer/_learning_rate", KERAS)]
    variables += [like(f"optimizer/_variables/{i}", KERAS) for i in range(2, 14)]
    weights = [like(f"optimizer/_trainable_variables/{i}", KERAS) for i in range(6)]
    moving = [
        like(f"model/_functional/_operations/2/moving_{n}", KERAS) for n in ("mean", "variance")
    ]
    layers = [
        Node(),
        Node(_kernel=weights[0], bias=weights[1]),
        Node(gamma=weights[2], beta=weights[3], moving_mean=moving[0], moving_variance=moving[1]),
        Node(_kernel=weights[4], bias=weights[5]),
    ]
    model = Node(_functional=Node(_operations=layers))
    optimizer = Node(_variables=variables, _iterations=variables[0], _learning_rate=variables[1])
    return ckpt.Checkpoint(model=model, optimizer=optimizer, step=0)


def test_keras_weights_are_found_by_edges() -> None:
    """Their keys are those of the optimizer, but the layers lead to them too."""
    live = keras()
    status = live.restore(KERAS.path)
    status.assert_consumed()
    layers = live.model._functional._operations

    assert holds(layers[1]._kernel, "optimizer/_trainable_variables/0", KERAS)
    assert holds(layers[2].moving_mean, "model/_functional/_operations/2/moving_mean", KERAS)
    assert holds(live.optimizer._variables[13], "optimizer/_variables/13", KERAS)
    assert "model/_functional/_operations/1/_kernel" in {e.path for e in status.report().restored}


def test_keras_weights_without_their_optimizer() -> None:
    """The weights are restored through the layers alone."""
    live = keras()
    del live.optimizer
    status = live.restore(KERAS.path)
    status.assert_existing_objects_matched()

    kernel = live.model._functional._operations[3]._kernel
    assert holds(kernel, "optimizer/_trainable_variables/4", KERAS)
    assert {"optimizer"} == {entry.path.split("/")[0] for entry in status.report().pending}


def test_every_path_finds_a_value() -> None:
    """Aliases, cycles and global names lead to the tensor that stands under another key."""
    with ckpt.load_checkpoint(KERAS.path) as reader:
        expected = "optimizer/_trainable_variables/0" + PATH
        found = {
            reader[path].key
            for path in (
                expected,
                "optimizer/_trainable_variables/0",
                "model/_functional/_operations/1/_kernel",
                "model/optimizer/_trainable_variables/0",
                "sequential/first/kernel",
            )
        }
        assert {expected} == found
        assert "model/_functional/_operations/9/_kernel" not in reader
    with ckpt.load_checkpoint(NESTED.path) as reader:
        assert "a/shared" + PATH == reader["a/me/me/peer/peer/peer/shared"].key
        assert "Variable" not in reader  # Four Variables have that name.


@pytest.mark.parametrize("name", ["object_based_keras/ckpt-1", "object_based_special/ckpt-1"])
def test_all_tensors_are_listed_under_their_keys(name: str) -> None:
    """As TensorFlow lists them, what stands beside the graph included."""
    expected = sample(name).tensors

    assert sorted(expected) == [key for key, _ in ckpt.list_variables(sample(name).path)]


def test_slices_in_several_files() -> None:
    """What TensorFlow spread over files is put together in the live arrays."""
    multi = sample("sharded_multi/ckpt-1")
    live = ckpt.Checkpoint(
        **{name: like(name, multi) for name in ("big", "mid", "s")},
        text=np.array(["", "", ""], object),
        small=[like(f"small/{i}", multi) for i in range(5)],
    )
    live.restore(multi.path).assert_consumed()

    assert holds(live.big, "big", multi)
    assert holds(live.small[4], "small/4", multi)
    assert ["alpha", "beta", "gamma"] == live.text.tolist()


def test_two_thousand_variables() -> None:
    """Each is found and receives its value."""
    many = sample("many_small/ckpt")
    shapes = dict(ckpt.list_variables(many.path))
    live = ckpt.Checkpoint(
        v=[Variable(np.zeros(shapes[f"v/{i}{PATH}"], np.float32)) for i in range(2000)]
    )
    live.restore(many.path).assert_consumed()
    sampled = [i for i in range(2000) if f"v/{i}{PATH}" in many.tensors]

    assert 50 == len(sampled)
    assert all(holds(live.v[i], f"v/{i}", many) for i in sampled)


def test_every_dtype() -> None:
    """Each is restored into a Variable of its own."""
    dtypes = sample("all_dtypes/ckpt-1")
    names = [unescape(key.split("/")[0]) for key in dtypes.tensors if key.startswith("v_")]
    live = ckpt.Checkpoint(**{name: like(name, dtypes) for name in names})
    live.restore(dtypes.path).assert_consumed()

    assert 23 == len(names)
    assert all(holds(getattr(live, name), name, dtypes) for name in names)


def texts(path: str, **live: Any) -> ckpt.Checkpoint:
    """Return live strings restored from strings that TensorFlow would have written."""
    whole = graph(
        {"children": [(name, i) for i, name in enumerate(("one", "raw", "many"), 1)]},
        *({"values": [("VARIABLE_VALUE", name + PATH)]} for name in ("one", "raw", "many")),
    )
    strings = {"one": np.array("é".encode(), object), "raw": np.array(b"\xff", object)}
    strings["many"] = np.array([b"a", b"\xff"], object)
    write_message(path, whole, {name + PATH: array for name, array in strings.items()})
    checkpoint = ckpt.Checkpoint(**live)
    checkpoint.restore(path).assert_consumed()
    return checkpoint


def test_bytes_become_text_where_text_is(tmp_path: Any) -> None:
    """A live str, and an array of str, take UTF-8 as text; what is none stays bytes (R-37)."""
    live = texts(str(tmp_path / "m"), one="", raw="", many=np.array(["", ""], object))

    assert ("é", b"\xff", ["a", b"\xff"]) == (live.one, live.raw, live.many.tolist())


def test_bytes_stay_bytes_where_bytes_are(tmp_path: Any) -> None:
    """TensorFlow's strings are bytes; nothing is decoded that need not be (R-37)."""
    live = texts(str(tmp_path / "m"), one=b"", raw=b"", many=np.array([b"", ""], object))

    assert "é".encode() == live.one
    assert [b"a", b"\xff"] == live.many.tolist()


def test_bytes_that_are_no_text_fit_no_array_of_text(tmp_path: Any) -> None:
    """An array of StringDType can hold nothing else."""
    text = np.array(["", ""], np.dtypes.StringDType())

    with pytest.raises(ckpt.IncompatibleCheckpointError, match="holds bytes that are no UTF-8"):
        texts(str(tmp_path / "m"), one="", raw="", many=text)


def test_bytes_become_text_by_name_too(tmp_path: Any) -> None:
    """An array of str takes them so from a checkpoint without an object graph (R-37)."""
    path = str(tmp_path / "m")
    write_message(path, None, {"many": np.array([b"a", b"\xff"], object)})
    live = ckpt.Checkpoint(many=np.array(["", ""], object))
    live.restore(path).run_restore_ops()

    assert ["a", b"\xff"] == live.many.tolist()


def unclear(path: str) -> None:
    """Write a checkpoint with a variable without tensor, and what a registered saver wrote."""
    names = ("w", "gone", "saved")
    whole = graph(
        {"children": [(name, i) for i, name in enumerate(names, 1)]},
        {"values": [("VARIABLE_VALUE", "w" + PATH)]},
        {"values": [("VARIABLE_VALUE", "gone" + PATH)]},
        {},
        {"values": [("VARIABLE_VALUE", "w" + PATH)]},
    )
    whole.nodes[3].registered_saver.name = "Custom.Part"
    write_message(path, whole, {"w" + PATH: np.ones(2, np.float32)})


def test_what_is_unclear_is_unused_with_the_reason(tmp_path: Any) -> None:
    """It fails `assert_consumed`, which says why; `load` warns of it (R-38)."""
    path = str(tmp_path / "m")
    unclear(path)
    live = ckpt.Checkpoint(w=Variable(np.zeros(2, np.float32)))
    status = live.restore(path)
    reasons = {entry.path: entry.reason for entry in status.report().unused}

    assert [1, 1] == live.w.value.tolist()
    assert {"gone", "saved", "(node 4)"} == reasons.keys()
    assert "holds no tensor under that key" in reasons["gone"]
    assert "only the program that registered this saver" in reasons["saved"]
    with pytest.raises(ckpt.UnmatchedError, match="registered saver 'Custom"):
        status.assert_consumed()
    with pytest.warns(ckpt.CheckpointWarning, match="left out the value 'gone"):
        assert {"gone", "saved", "w"} == ckpt.load(path).keys()


def test_what_is_unclear_can_be_left_out(tmp_path: Any) -> None:
    """`skip` names the objects."""
    path = str(tmp_path / "m")
    unclear(path)
    live = ckpt.Checkpoint(w=Variable(np.zeros(2, np.float32)))

    live.restore(path, skip=("gone", "saved")).assert_consumed()


def test_a_live_object_without_its_value_is_missing(tmp_path: Any) -> None:
    """The reason is the same, and is given once."""
    path = str(tmp_path / "m")
    unclear(path)
    live = ckpt.Checkpoint(gone=Variable(np.zeros((0, 2), np.float32)), saved=Given("part"))
    report = live.restore(path, skip="w").report()

    assert ["gone", "saved"] == [entry.path for entry in report.missing]
    assert "holds no tensor under that key" in report.missing[0].reason
    assert "registered saver" in report.missing[1].reason
    assert ["(node 4)"] == [entry.path for entry in report.unused] or [] == list(report.unused)


def everything() -> dict[str, Any]:
    """Return something of every kind that a program may hold."""
    shared = np.arange(3.0)
    return {
        "model": Node(w=Variable([1.0], name="w"), parts=[{"k": Variable(2)}, shared]),
        "shared": shared,
        "state": Bytes(),
        "given": Given("a/b", "c.d"),
        "step": 3,
        "rate": 0.5,
        "flag": True,
        "text": "tëxt",
        "raw": b"\xff",
        "big": 2**70,
        "none": None,
        "empty": [],
        "table": {"a": [1, (2, None)]},
        "scalar": np.float32(1),
        "words": np.array(["é", "b"], object),
    }


def test_what_we_write_for_tensorflow_comes_back_as_it_was(tmp_path: Any) -> None:
    """Kinds, plain values and texts are exactly those that were saved."""
    saved = ckpt.Checkpoint(**everything())
    path = saved.write(tmp_path / "m", format="tensorflow", metadata={"who": "me"})
    native = saved.write(tmp_path / "native")
    blank = {
        name: value if isinstance(value, (Trackable, np.ndarray, np.generic)) else type(value)()
        for name, value in everything().items()
        if value is not None
    }
    live = ckpt.Checkpoint(**blank, none=None)
    live.restore(path).assert_consumed()

    assert not ckpt.diff(native, path)
    assert not ckpt.diff(path, live)
    assert str(ckpt.load(native)) == str(ckpt.load(path))
    assert (3, "tëxt", 2**70) == (live.step, live.text, live.big)
    with ckpt.load_checkpoint(path) as reader:
        assert (3, {"a": [1, (2, None)]}, None) == (reader["step"], reader["table"], reader["none"])
        assert {"who": "me"} == reader.metadata
        assert np.int64 == reader.get_tensor("step").dtype


def test_empty_values_of_ours_need_no_object(tmp_path: Any) -> None:
    """`None` and empty containers fail no match in TensorFlow's format either."""
    saved = ckpt.Checkpoint(none=None, empty=[], full=[1])
    path = saved.write(tmp_path / "m", format="tensorflow")
    status = ckpt.Checkpoint(full=[0]).restore(path)

    status.assert_consumed()
    assert ["full"] == [entry.path for entry in status.report().restored]


def test_name_based_checkpoints() -> None:
    """Those of `tf.compat.v1.train.Saver` restore by global names."""
    named = sample("name_based_v2/model.ckpt-42")
    name, facts = next(
        (n, f) for n, f in named.tensors.items() if f["dtype"] == "float32" and f["shape"]
    )
    live = ckpt.Checkpoint(w=Variable(np.zeros(facts["shape"], np.float32), name=name))
    live.restore(named.path).run_restore_ops()

    assert description(live.w.value).items() <= facts.items()
