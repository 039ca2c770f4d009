"""The package as syntax trees, for the tests beside this file."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]

#: Every module of the package by its dotted name, below `checkpointable`.
TREES = {
    ".".join(path.relative_to(REPOSITORY / "checkpointable").with_suffix("").parts): ast.parse(
        path.read_bytes(), str(path)
    )
    for path in sorted((REPOSITORY / "checkpointable").rglob("*.py"))
}


def room(module: str) -> str:
    """Return the room of a module: `format.index` stands in `format`."""
    return module.split(".", maxsplit=1)[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Return what a piece of code imports; modules of the package as `TREES` names them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_known(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = [_known(f"{node.module}.{alias.name}") for alias in node.names]
            yield from (name if name in TREES else _known(f"{node.module}") for name in inner)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield ast.literal_eval(node.args[0])  # a constant, or the test fails: nothing else may


def _known(name: str) -> str:
    """Return a module's name as `TREES` has it, where it is one of the package."""
    inner = name.removeprefix("checkpointable.")
    package = f"{inner}.__init__"
    return package if package in TREES else inner


def nodes(module: str, *kinds: type[Any]) -> list[Any]:
    """Return the nodes of some kinds in a module."""
    return [node for node in ast.walk(TREES[module]) if isinstance(node, kinds)]
