"""The floors of the house: an import only ever goes down.

`FLOORS` is the picture in docs/how-it-works.md. Whoever changes one changes the other.
"""

import ast
import graphlib

import pytest

from tests.architecture.source import REPOSITORY, TREES, imported, nodes, room

GROUND = {"errors", "names", "options", "plain", "version"}
BYTES = GROUND | {"storage", "format", "bundle", "interop", "directory"}
OBJECTS = GROUND | {"session", "trackable"}
BRIDGE = BYTES | OBJECTS | {"graph"}
#: Every room, and the rooms that it may import from.
FLOORS: dict[str, set[str]] = {
    "errors": set(),
    "names": {"errors"},
    "options": {"errors"},
    "plain": set(),
    "version": set(),
    "storage": GROUND,
    "format": GROUND | {"storage"},
    "bundle": GROUND | {"storage", "format"},
    "interop": GROUND | {"storage", "format", "bundle"},
    "directory": GROUND | {"storage", "format", "bundle", "interop"},
    "session": GROUND,
    "trackable": GROUND | {"session"},
    "graph": BYTES | OBJECTS,
    "comparison": BRIDGE,
    "restore": BRIDGE,
    "checkpoint": BRIDGE | {"restore"},
    "saver": BRIDGE | {"restore", "checkpoint"},
    "reading": BRIDGE | {"restore"},
    "adapters": GROUND | {"trackable"},
    "comparing": BRIDGE | {"comparison", "checkpoint"},
    "converting": BRIDGE,
    "retention": GROUND,
    "name_based": BRIDGE | {"restore", "retention", "checkpoint"},
    "manager": BRIDGE | {"restore", "retention", "checkpoint"},
    "__init__": BRIDGE
    | {"adapters", "restore", "comparison", "checkpoint", "saver", "reading", "comparing"}
    | {"converting", "name_based", "manager", "retention"},
}
#: What may be imported inside a function, because it need not be installed.
OPTIONAL = {"ml_dtypes", "crc32c", "google.protobuf"}


@pytest.mark.parametrize("module", TREES)
def test_imports_go_down(module: str) -> None:
    """A room imports from itself and from rooms below it."""
    rooms = {room(name) for name in imported(TREES[module])} & {*FLOORS}

    assert rooms - {room(module)} <= FLOORS[room(module)]


@pytest.mark.parametrize("module", TREES)
def test_imports_stand_at_the_top(module: str) -> None:
    """Inside a function only optional packages are imported: what a module needs can be seen."""
    for function in nodes(module, ast.FunctionDef, ast.AsyncFunctionDef):
        assert set(imported(function)) <= OPTIONAL, ast.unparse(function)


def test_no_cycles() -> None:
    """No module imports itself, however long the way round; names for annotations do not count."""
    graph = {}
    for module, tree in TREES.items():
        checking = [n for n in nodes(module, ast.If) if ast.unparse(n.test) == "TYPE_CHECKING"]
        graph[module] = {*imported(tree)} - {name for block in checking for name in imported(block)}

    graphlib.TopologicalSorter(graph).prepare()


def test_every_room_is_on_the_map() -> None:
    """The page on how it works names every room, and the test knows every room."""
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text(encoding="utf-8")

    assert {room(module) for module in TREES} == set(FLOORS)
    assert [name for name in FLOORS if f"`{name}" not in page and name != "__init__"] == []
