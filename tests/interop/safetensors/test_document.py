"""The code and the tests say what docs/safetensors-format.md says."""

from __future__ import annotations

import re
from pathlib import Path

from checkpointable.bundle.peek import LONGEST_HEADER
from checkpointable.format.frame import corrupt
from checkpointable.interop.safetensors.dtypes import OURS

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "safetensors-format.md").read_text(encoding="utf-8")
RULES = [int(number) for number in re.findall(r"^\*\*ST-(\d+)\.\*\*", PAGE, re.MULTILINE)]


def cited(folder: str) -> set[int]:
    """Return the numbers of the rules that the files of a folder cite."""
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / folder).rglob("*.py")]
    return {int(number) for text in texts for number in re.findall(r"\bST-(\d+)\b", text)}


def test_rules_are_numbered_without_holes() -> None:
    """The rules stand in the page in the order of their numbers."""
    assert list(range(1, len(RULES) + 1)) == RULES


def test_each_rule_is_cited_and_each_citation_is_a_rule() -> None:
    """No rule is without a place in the code and in the tests, and none is made up."""
    assert set(RULES) == cited("checkpointable")
    assert set(RULES) == cited("tests")


def test_errors_name_the_page() -> None:
    """Whoever reads an error learns where the rule is told."""
    assert "(ST-6 of docs/safetensors-format.md)" in str(corrupt("file", "ST-6", "a hole"))


def test_the_dtypes_are_those_of_the_page() -> None:
    """Every dtype that is read stands in the table, under both of its names."""
    assert [] == [n for pair in OURS.items() for n in pair if f"`{n}`" not in PAGE]
    assert f"{LONGEST_HEADER:,}" in PAGE
