"""Any object graph that is saved comes back exactly, into existing objects and into new ones."""

import datetime
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import checkpointable as ckpt

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=6) | st.sampled_from(
    ["a/b", ".", "..", "/", ".ATTRIBUTES", "\0", "é", "a.Sb", " ", "0"]
)

DTYPES = st.sampled_from(
    [
        *(np.dtype(c) for c in "?bBhHiIlLefdFD"),
        *(np.dtype(d) for d in (">f4", ">i8", "M8[ns]", "m8[3D]", "S3", "U2", "M8")),
        *(
            np.dtype(getattr(ml_dtypes, name))
            for name in (
                "bfloat16",
                "float8_e4m3fn",
                "float4_e2m1fn",
                "int2",
                "int4",
                "uint2",
                "uint4",
            )
        ),
    ]
)

#: Dtypes of less than a byte, and of how many bits.
SMALL = {"float4_e2m1fn": 4, "int2": 2, "int4": 4, "uint2": 2, "uint4": 4}


@st.composite
def arrays(draw) -> np.ndarray:
    """An array of any dtype, shape and bit pattern."""
    dtype = draw(DTYPES)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if dtype.kind == "U":
        return np.array(draw(st.lists(st.text("xé", max_size=2), min_size=1)), dtype)
    count = int(np.prod(shape))
    data = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    if dtype.kind == "b":
        data = bytes(b & 1 for b in data)
    if dtype.name in SMALL:
        values = np.frombuffer(data, np.uint8) % (1 << SMALL[dtype.name])
        return values.view(dtype).reshape(shape).copy()
    return np.frombuffer(data, dtype).reshape(shape).copy()


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
    | st.sampled_from([pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("C:\\x")])
    | st.sampled_from(
        [datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))]
    )
)
HASHABLE = st.integers() | st.text("ab") | st.binary()
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.frozensets(HASHABLE, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def graphs(draw) -> list[dict[str, tuple[str, Any]]]:
    """Nodes, each with named parts: ("ref", node), ("var", array), ("list", refs) and so on."""
    count = draw(st.integers(1, 5))
    node = st.integers(0, count - 1)
    part = (
        st.tuples(st.just("ref"), node)
        | st.tuples(st.just("var"), arrays())
        | st.tuples(st.just("array"), arrays())
        | st.tuples(st.just("plain"), PLAIN)
        | st.tuples(st.just("list"), st.lists(node, min_size=1, max_size=3))
        | st.tuples(st.just("dict"), st.dictionaries(NAMES, node, min_size=1, max_size=3))
        | st.tuples(st.just("tuple"), st.tuples(node, PLAIN, arrays()))
    )
    return draw(st.lists(st.dictionaries(NAMES, part, max_size=4), min_size=count, max_size=count))


class Node(ckpt.Trackable):
    """An object with the parts that a test gives it."""


def attach(nodes: list[Node], number: int, name: str, part: tuple[str, Any], blank: bool) -> None:
    """Give one node one part; `blank`: with another value of the same kind."""
    kind, value = part
    node = nodes[number]
    if kind == "ref":
        setattr(node, name, nodes[value])
    elif kind == "var":
        setattr(node, name, ckpt.Variable(np.zeros_like(value) if blank else value))
    elif kind == "array":
        node.track(name, np.zeros_like(value) if blank else value.copy())
    elif kind == "plain":
        node.track(name, blanked(value) if blank else value)
    elif kind == "list":
        setattr(node, name, [nodes[i] for i in value])
    elif kind == "dict":
        setattr(node, name, {key: nodes[i] for key, i in value.items()})
    else:
        inner, plain, array = value
        setattr(
            node,
            name,
            (
                nodes[inner],
                blanked(plain) if blank else plain,
                np.zeros_like(array) if blank else array.copy(),
            ),
        )


def blanked(value: Any) -> Any:
    """Another plain value where that fits; a container stays one, so that it is no array's."""
    return "blank" if value is not None else None


def build(graph: list[dict[str, tuple[str, Any]]], *, blank: bool) -> list[Node]:
    """Make the objects of a graph."""
    nodes = [Node() for _ in graph]
    for number, parts in enumerate(graph):
        for name, part in parts.items():
            attach(nodes, number, name, part, blank)
    return nodes


def reached(graph: list[dict[str, tuple[str, Any]]]) -> set[int]:
    """The nodes that can be reached from node 0, the naive way."""
    found: set[int] = set()
    todo = [0]
    while todo:
        number = todo.pop()
        if number in found:
            continue
        found.add(number)
        for kind, value in graph[number].values():
            if kind == "ref":
                todo.append(value)
            elif kind == "list":
                todo.extend(value)
            elif kind == "dict":
                todo.extend(value.values())
            elif kind == "tuple":
                todo.append(value[0])
    return found


def same(expected: Any, actual: Any) -> bool:
    """Compare by type and value, arrays bit for bit; byte order is no part of a dtype."""
    if isinstance(expected, np.ndarray):
        native = expected.astype(expected.dtype.newbyteorder("="))
        found = np.asarray(actual)
        found = found.astype(found.dtype.newbyteorder("="))
        return (native.dtype, native.shape, native.tobytes()) == (
            found.dtype,
            found.shape,
            found.tobytes(),
        )
    return spelled(expected) == spelled(actual)


def spelled(value: Any) -> str:
    """Every type and every bit of a plain value as text, sets in one order."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{spelled(k)}:{spelled(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return type(value).__name__ + repr(sorted(map(spelled, value)))
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + repr([spelled(item) for item in value])
    return f"{type(value).__name__} {value!r}"


def check(graph: list[dict[str, tuple[str, Any]]], nodes: list[Node]) -> None:
    """Compare all objects that can be reached with the graph they were made of."""
    for number in reached(graph):
        children = dict(nodes[number].trackable_children())
        for name, (kind, value) in graph[number].items():
            live = children[name]
            if kind == "ref":
                assert live is nodes[value]
            elif kind in ("var", "array"):
                assert same(value, live.value if kind == "var" else live), (name, value, live)
            elif kind == "plain":
                assert same(value, live), (name, value, live)
            elif kind == "tuple":
                assert live[0] is nodes[value[0]]
                assert same(value[1], live[1])
                assert same(value[2], live[2])


EXAMPLES = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> str:
    """Where the graphs are written, one over the other."""
    return str(tmp_path_factory.mktemp("round-trip") / "graph")


@EXAMPLES
@given(graph=graphs())
def test_any_graph_restores_into_existing_objects(prefix, graph):
    """A program with the same objects and other values receives the saved ones, all of them."""
    path = ckpt.Checkpoint(build(graph, blank=False)[0]).write(prefix, durable=False)
    assert [] == ckpt.verify(path)
    nodes = build(graph, blank=True)
    ckpt.Checkpoint(nodes[0]).restore(path).assert_consumed()
    check(graph, nodes)


@EXAMPLES
@given(graph=graphs(), data=st.data())
def test_any_graph_restores_into_objects_that_come_later(prefix, graph, data):
    """The same, where every object is attached after the restore, in any order."""
    path = ckpt.Checkpoint(build(graph, blank=False)[0]).write(prefix, durable=False)
    nodes = [Node() for _ in graph]
    status = ckpt.Checkpoint(nodes[0]).restore(path)
    parts = [(n, name, part) for n, parts in enumerate(graph) for name, part in parts.items()]
    for number, name, part in data.draw(st.permutations(parts)):
        attach(nodes, number, name, part, blank=True)
    status.assert_consumed()
    check(graph, nodes)


@settings(parent=EXAMPLES, max_examples=100)
@given(graph=graphs())
def test_equal_graphs_make_equal_files(tmp_path_factory, graph):
    """Names and bytes of the files depend on names and values only."""
    found = []
    for _ in range(2):
        directory = tmp_path_factory.mktemp("equal")
        ckpt.Checkpoint(build(graph, blank=False)[0]).write(directory / "graph", durable=False)
        found.append({p.name: p.read_bytes() for p in directory.iterdir()})
    assert found[0] == found[1]
