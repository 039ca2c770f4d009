"""docs/reference-coverage.md names tests that are there, for every row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "reference-coverage.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.splitlines()
    if line.startswith("| ") and "what is asked for" not in line
]


def names_in(tree: ast.AST) -> dict[str, ast.AST]:
    """Return the classes and functions that stand in a file or class, by name."""
    body = getattr(tree, "body", [])
    return {node.name: node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_row_names_tests_that_are_there(row: tuple[str, ...]) -> None:
    """A row says what is asked for, and each test that it names exists."""
    asked, where = row
    tests = re.findall(r"`(tests/[^`]+)`", where)

    assert asked
    assert tests
    for test in tests:
        file, *names = test.split("::")
        node: ast.AST = ast.parse((REPOSITORY / file).read_bytes())
        for name in names:
            assert name in names_in(node), test
            node = names_in(node)[name]


def test_the_page_has_rows() -> None:
    """The table was found: a page without rows would pass all other tests."""
    assert len(ROWS) > 25
