"""Local names, paths and keys: the one naming rule."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.errors import NotCheckpointableError
from checkpointable.names import (
    Paths,
    attribute_key,
    check_local_name,
    covers,
    escape,
    join_all,
    leads_to,
    shorten,
    slot_path,
)

NAMES = st.text("a./S\0é", max_size=8)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a/b/c", "a.Sb.Sc"),
        ("c/", "c.S"),
        ("d/.S", "d.S..S"),
        ("d/.ATTRIBUTES/f", "d.S..ATTRIBUTES.Sf"),
        (".ATTRIBUTES", "..ATTRIBUTES"),
        (".", ".."),
        ("..", "...."),
        ("/", ".S"),
        ("", ""),
        ("é b", "é b"),
    ],
)
def test_names_are_escaped_as_tensorflow_does(name, escaped):
    """Dots are doubled, then slashes become `.S`; everything else stays."""
    assert escaped == escape(name)


@given(NAMES, NAMES)
def test_escaping_is_injective(a, b):
    """Two names have one spelling only if they are one name, and none holds a slash."""
    assert (escape(a) == escape(b)) == (a == b)
    assert "/" not in escape(a)


def test_an_attribute_of_the_root_begins_with_a_slash():
    """The path of the root is empty."""
    assert "/.ATTRIBUTES/X" == attribute_key("", "X")
    assert "a/b/.ATTRIBUTES/x..y" == attribute_key("a/b", "x.y")


@given(st.lists(st.tuples(st.integers(0, 30), NAMES.filter(bool)), max_size=30))
def test_paths_are_those_that_joining_gives(tree):
    """A tree of names gives the paths that are joined name by name, however they are cut."""
    paths = Paths()
    naive = [()]
    for choice, name in tree:
        parent = choice % len(naive)
        naive.append((*naive[parent], name))
        assert len(naive) - 1 == paths.add(parent, name)
    for number, names in enumerate(naive):
        assert join_all(names) == paths.full(number)
        assert shorten(join_all(names)) == paths.shown(number)


@given(
    st.lists(st.tuples(st.integers(0, 30), NAMES.filter(bool)), max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), NAMES), max_size=9),
    st.integers(1, 9),
)
def test_slot_variables_have_the_paths_of_variable_and_optimizer(tree, slots, repeated):
    """However long these are, and however they are cut."""
    paths, naive = Paths(), [""]
    for choice, name in tree:
        parent = choice % len(naive)
        naive.append(join_all([name * repeated], naive[parent]))
        paths.add(parent, name * repeated)
    for variable, optimizer, name in slots:
        ends = variable % len(naive), optimizer % len(naive)
        number = paths.add_slot(*ends, name)
        path = slot_path(naive[ends[0]], naive[ends[1]], name).lstrip("/")
        assert path == paths.full(number)
        assert shorten(path) == paths.shown(number)


def test_slots_of_a_deep_optimizer_take_little_memory():
    """The path of the optimizer is not written out for each of them."""
    paths, number = Paths(), 0
    for _ in range(10_000):
        number = paths.add(number, "next")
    tracemalloc.start()
    for i in range(10_000):
        paths.add_slot(number, number, f"slot{i}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000 * 1000
    assert paths.shown(15_000) == shorten(paths.full(15_000))


def test_long_paths_are_shown_with_both_ends():
    """A path of more than 200 characters is cut in the middle."""
    paths, number = Paths(), 0
    for i in range(1000):
        number = paths.add(number, f"n{i}")
    assert shorten(paths.full(number)) == paths.shown(number)
    assert 200 >= len(paths.shown(number))
    assert paths.shown(number).startswith("n0/n1/")
    assert paths.shown(number).endswith("/n999")


@given(st.lists(st.sampled_from("ab"), max_size=4), st.lists(st.sampled_from("ab"), max_size=4))
def test_prefixes_count_in_whole_components(prefix, path):
    """A prefix covers itself and what lies below it; its proper ancestors lead to it."""
    joined, other = "/".join(prefix), "/".join(path)
    assert (path[: len(prefix)] == prefix) == covers([joined], other)
    assert (prefix[: len(path)] == path and prefix != path) == leads_to(other, [joined])


@pytest.mark.parametrize("name", ["x" * 4097, "é" * 2049, "\ud800"])
def test_names_that_no_file_can_hold_are_refused(name):
    """A local name has at most 4 KiB of valid UTF-8."""
    check_local_name("x" * 4096, "")
    with pytest.raises(NotCheckpointableError, match="local name"):
        check_local_name(name, "parent")
