"""Rule R-children: which attributes and items are children, and under which names."""

import collections
import enum
from typing import Any, NamedTuple

import numpy as np
import pytest

from checkpointable.errors import NotCheckpointableError
from checkpointable.trackable.base import NoDependency, Trackable, Variable
from checkpointable.trackable.children import ABSENT, Classifier, Kind


class Pair(NamedTuple):
    left: Any
    right: Any


class Node(Trackable):
    pass


class Declaring(Trackable):
    state_attributes = ("steps", "history")


def names(obj: Any) -> list[str]:
    """Return the names of the children of an object."""
    return list(obj.trackable_children())


def test_trackables_are_children() -> None:
    """An attribute that is a Trackable is a child, in the order of assignment; others are not."""
    node = Node()
    node.b, node.number, node.a, node.array = Variable(1), 3, Node(), np.zeros(2)

    assert ["b", "a"] == names(node)


def test_containers_of_trackables_are_children() -> None:
    """A container is a child if it holds a Trackable at any depth; one of arrays is not."""
    node = Node()
    node.deep = [{"x": ([Variable(1)],)}]
    node.arrays = [np.zeros(2)]
    node.empty = []
    node.in_set = {Variable(1)}

    assert ["deep"] == names(node)


def test_declared_attributes_are_children() -> None:
    """What a class or one of its bases names in `state_attributes` is a child, whatever it is."""

    class Derived(Declaring):
        state_attributes = ("more",)

    node = Derived()
    node.more, node.other, node.history, node.steps = None, 1, [1.5], np.zeros(2)

    assert ["more", "history", "steps"] == names(node)


def test_a_name_that_was_never_assigned_is_no_child() -> None:
    """A declared attribute is a child only while it exists; a default of the class counts."""

    class Counting(Declaring):
        steps = 0

    node = Counting()

    assert {"steps": 0} == dict(node.trackable_children())
    node.steps += 1
    assert {"steps": 1} == dict(node.trackable_children())


def test_a_default_that_is_tracked_is_one_child() -> None:
    """A declared default of the class under a name that was given to `track` is one child."""

    class Counting(Declaring):
        steps = 0

    node = Counting()
    node.track("steps", 0)

    assert [("steps", 0)] == Classifier().children(node)


def test_a_declared_property_is_a_child() -> None:
    """A declared name may be a property."""

    class Doubling(Trackable):
        state_attributes = ("double",)

        @property
        def double(self) -> int:
            return 42

    assert {"double": 42} == dict(Doubling().trackable_children())


def test_children_follow_every_change() -> None:
    """Reassigning, deleting and mutating change the children at once."""
    node = Node()
    node.a, node.items = Variable(1), []
    assert ["a"] == names(node)
    node.a = 5
    node.items.append(Variable(2))
    assert ["items"] == names(node)
    del node.items
    assert [] == names(node)


def test_slots_come_in_the_order_of_the_class() -> None:
    """Slots are attributes, those of bases first; private ones under their mangled names."""

    class Base(Trackable):
        __slots__ = ("z", "a")  # noqa: RUF023

    class Derived(Base):
        __slots__ = ("__hidden", "b")

        def __init__(self) -> None:
            self.b, self.a, self.z, self.__hidden = (Variable(i) for i in range(4))

    assert ["z", "a", "_Derived__hidden", "b"] == names(Derived())


def test_an_empty_slot_is_no_child_and_asks_no_getattr() -> None:
    """Looking for children never calls a `__getattr__` of the user's class."""

    class Proxy(Trackable):
        __slots__ = ("a", "b")

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    proxy = Proxy()
    proxy.b = Variable(1)

    assert ["b"] == names(proxy)


def test_state_attributes_must_be_names() -> None:
    """A text in place of a tuple of names is refused when the class is made."""
    with pytest.raises(TypeError, match="expected a tuple of names"):

        class Wrong(Trackable):
            state_attributes = "steps"


def test_overridden_children() -> None:
    """A class may show other children; what `super()` gives are its attributes."""

    class Showing(Trackable):
        def trackable_children(self) -> dict[str, Any]:
            return {**super().trackable_children(), "extra": 7}

    node = Showing()
    node.v, node.unseen = Variable(1), 3

    assert ["v", "extra"] == [name for name, _ in Classifier().children(node)]
    assert 7 == Classifier().peek(node, "extra")
    assert 3 == Classifier().peek(node, "unseen")
    assert "extra" in Classifier().declared(node)


@pytest.mark.parametrize("wrong", [[("a", 1)], {1: 2}])
def test_overridden_children_must_be_named(wrong: Any) -> None:
    """A `trackable_children` that returns something else is refused."""

    class Showing(Trackable):
        def trackable_children(self) -> Any:
            return wrong

    with pytest.raises(NotCheckpointableError, match="trackable_children"):
        Classifier().children(Showing())


def test_all_public_attributes_can_be_declared() -> None:
    """With `declares_all`, every attribute is state whose name begins with no underscore."""

    class All(Trackable):
        declares_all = True

    node = All()
    node.step, node._hidden, node.off = 1, 2, NoDependency(3)

    assert {"step": 1} == dict(node.trackable_children())
    assert "later" in Classifier().declared(node)
    assert "_later" not in Classifier().declared(node)
    assert "off" not in Classifier().declared(node)


def test_peek() -> None:
    """`peek` finds what stands under a name whether or not it is a child."""
    node = Declaring()
    node.a, node.off = None, NoDependency(1)
    node.track("x/y", 5)
    classifier = Classifier()

    assert None is classifier.peek(node, "a")
    assert 5 == classifier.peek(node, "x/y")
    assert ABSENT is classifier.peek(node, "off")
    assert ABSENT is classifier.peek(node, "steps")
    assert ABSENT is classifier.peek(node, "track")


def test_items_of_containers() -> None:
    """Items are named by position, field or key; subclasses are read as their bases."""

    class Odd(list):
        def __iter__(self) -> Any:
            return iter(["never"])

    moved = collections.OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    items = Classifier().items

    assert [(0, "x"), (1, "y")] == items(Odd(["x", "y"]))
    assert [(0, 1)] == items((1,))
    assert [("left", 1), ("right", 2)] == items(Pair(1, 2))
    assert [("b", 2), (3, 4)] == items({"b": 2, 3: 4})
    assert [("b", 2), ("a", 1)] == items(moved)


@pytest.mark.parametrize("key", [1.5, True, None, (1,), 10**4100, np.int64(1)], ids=type)
def test_keys_that_are_no_names(key: object) -> None:
    """In a dict that is a node, keys are strings and integers; others are passed over."""
    passed: list[Any] = []

    assert [("a", 1)] == Classifier().items({key: 0, "a": 1}, passed)
    assert [(0, "a dict that holds arrays or Trackables")] == [
        (value, reason.split("in ")[1].split(",")[0]) for _, value, reason in passed
    ]


def test_two_keys_with_one_name() -> None:
    """Keys that have one name are refused, both of them named."""
    with pytest.raises(NotCheckpointableError, match=r"'-1' and -1|-1 and '-1'"):
        Classifier().items({"-1": 0, -1: 1})


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class MyInt(int):
    pass


REFUSED = [
    (Color.RED, ".name"),
    (Level.LOW, ".name"),
    (MyInt(3), "convert it to int"),
    (np.longdouble(1), "float64"),
    (np.zeros(2, np.clongdouble), "complex128"),
    (np.ma.masked_array([1]), ".mask"),
    (np.zeros(2, "i4,f8"), "each field"),
    (np.zeros(2, "V3"), "cannot be stored"),
    (np.array([1, "a"], object), "only str and bytes"),
    (np.rec.array([(1, 2)]), "np.asarray"),
    (np.zeros((1,) * 33), "dimensions"),
    (lambda: None, "NoDependency"),
    (bytearray(b""), "plain value"),
    ({Variable(1)}, "use a list"),
    ([{"a": {1: print}}], "NoDependency"),
]


@pytest.mark.parametrize(("value", "remedy"), REFUSED, ids=lambda v: type(v).__name__)
def test_refused_with_the_remedy(value: object, remedy: str) -> None:
    """What cannot be stored is refused, and the reason says what to do."""
    classifier = Classifier()

    assert Kind.UNSUPPORTED is classifier.kind(value)
    assert remedy in classifier.refusal(value).reason


def test_a_refusal_leads_to_the_fault() -> None:
    """A refusal names the way through containers to the value at fault."""
    refusal = Classifier().refusal([1, {"a": (2, print)}])

    assert ("1", "a", "1") == refusal.trail
    assert "builtin_function_or_method" == refusal.type
