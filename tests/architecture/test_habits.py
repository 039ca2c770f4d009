"""Habits that a machine can watch. Each breach is a defect, not a matter of taste."""

import ast
import inspect
import re

import pytest

import checkpointable
from tests.architecture.source import TREES, imported, nodes, room

#: Modules that one room alone may import.
KEPT = {
    "storage": {"fcntl", "io", "mmap", "shutil", "tempfile"},
    "format": {"msgpack", "struct"},
}
#: What rooms other than `storage` may use of `os`: names, not files.
PURE = {"os", "PathLike", "fspath", "path", "abspath", "basename", "dirname", "join", "normpath"}
FORBIDDEN = {"pickle", "marshal", "shelve", "eval", "exec", "__import__", "__del__"}
#: All module-level state: locks that are held, defaults, what waits for objects, classes warned of.
STATE = {
    "storage.lock._open",
    "trackable.registry._adapters",
    "session.defaults.graphs",
    "session.defaults.sessions",
    "trackable.waiting._owners",
    "trackable.waiting._polled",
    "trackable.waiting._quiet",
    "trackable.waiting._settling",
    "trackable.waiting.guard",
    "graph.view._warned",
}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: Names of the standard library that begin with an underscore and are public all the same.
PUBLIC = {"_asdict", "_exit", "_fields", "_getframe", "_make", "_replace"}
MUTATORS = {"add", "append", "clear", "extend", "insert", "pop", "remove", "setdefault", "update"}

every_module = pytest.mark.parametrize("module", TREES)


def stored(tree: ast.AST) -> list[ast.Name]:
    """Return the bare names that a piece of code assigns to."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [node for node in found if isinstance(node.ctx, ast.Store)]


def names(module: str) -> set[str]:
    """Return every bare name that a module uses, and what it imports."""
    used = {node.id for node in nodes(module, ast.Name)}
    return (
        used | {node.name for node in nodes(module, ast.FunctionDef)} | {*imported(TREES[module])}
    )


@every_module
def test_one_room_for_each_kind_of_work(module: str) -> None:
    """Only `storage` touches files and locks; only `format` turns bytes into records."""
    kept = set().union(*(KEPT[owner] for owner in KEPT if owner != room(module)))
    dotted = {ast.unparse(node) for node in nodes(module, ast.Attribute)}
    of_os = {
        part for name in dotted if re.fullmatch(r"os(\.\w+)+", name) for part in name.split(".")
    }

    assert set() == kept & names(module)
    assert room(module) == "storage" or of_os <= PURE
    assert room(module) == "storage" or "open" not in names(module)


@every_module
def test_data_never_names_code(module: str) -> None:
    """Nothing runs or imports what a file asks for, and no `__del__` runs at a random moment."""
    assert set() == FORBIDDEN & names(module)


@every_module
def test_no_hidden_state(module: str) -> None:
    """What lives at module level never changes, but for the named few."""
    bound = {n.id for s in TREES[module].body if not isinstance(s, DEFINITIONS) for n in stored(s)}
    methods = [c.func for c in nodes(module, ast.Call) if isinstance(c.func, ast.Attribute)]
    changed = [f.value for f in methods if f.attr in MUTATORS]
    changed += [n.value for n in nodes(module, ast.Subscript) if not isinstance(n.ctx, ast.Load)]
    mutated = {node.id for node in changed if isinstance(node, ast.Name)}

    assert set() == {f"{module}.{name}" for name in bound & mutated} - STATE
    assert [node.names for node in nodes(module, ast.Global)] == []


@every_module
def test_underscore_names_stay_at_home(module: str) -> None:
    """A name with one leading underscore is used only in the module that gives it."""
    given = {node.name for node in nodes(module, *DEFINITIONS)}
    given |= {node.attr for node in nodes(module, ast.Attribute) if isinstance(node.ctx, ast.Store)}
    given |= {node.id for node in stored(TREES[module])}
    used = {node.attr for node in nodes(module, ast.Attribute)}
    used |= {alias.name for node in nodes(module, ast.ImportFrom) for alias in node.names}

    assert set() == {name for name in used - given - PUBLIC if re.match("_[^_]", name)}


@every_module
def test_errors_are_not_swallowed(module: str) -> None:
    """No bare `except`, and no `assert`: with -O it would let everything pass."""
    assert [h.lineno for h in nodes(module, ast.ExceptHandler) if h.type is None] == []
    assert [a.lineno for a in nodes(module, ast.Assert)] == []


@pytest.mark.parametrize("name", checkpointable.__all__)
def test_public_names_are_documented(name: str) -> None:
    """Every public name says what it is for, and so does each of its public methods."""
    thing = getattr(checkpointable, name)
    members = vars(thing).items() if isinstance(thing, type) else ()
    public = [member for key, member in members if not key.startswith("_")]
    methods = [m for m in public if inspect.isroutine(m) or isinstance(m, property)]

    assert [] == [m for m in [thing, *methods] if not inspect.getdoc(m)]
