"""Each rule of docs/restore.md has a test that names it, and no other rule is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "restore.md").read_text(encoding="utf-8")
RULES = [int(number) for number in re.findall(r"^\*\*R-(\d+)\.", PAGE, re.MULTILINE)]


def cited(text: str) -> set[int]:
    """Return the numbers of the rules that a text names."""
    return {int(number) for number in re.findall(r"\bR-(\d+)\b", text)}


def facts_of(path: Path) -> str:
    """Return the docstrings of the test functions in a file."""
    functions = [
        n for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.FunctionDef)
    ]
    return "\n".join(ast.get_docstring(f) or "" for f in functions if f.name.startswith("test_"))


def test_rules_are_numbered_without_holes() -> None:
    """The rules stand in the page in the order of their numbers."""
    assert list(range(1, len(RULES) + 1)) == RULES


def test_each_rule_has_a_test() -> None:
    """For every rule there is a test whose fact names it; none names a rule that is none."""
    facts = "\n".join(map(facts_of, (REPOSITORY / "tests").rglob("test_*.py")))

    assert set(RULES) == cited(facts)


def test_the_code_cites_rules_that_are_there() -> None:
    """Whatever the package cites can be looked up."""
    code = "\n".join(p.read_text() for p in (REPOSITORY / "checkpointable").rglob("*.py"))

    assert cited(code) <= set(RULES)
