"""The code and the tests say what docs/format.md says."""

from __future__ import annotations

import re
from pathlib import Path

from checkpointable.format import limits
from checkpointable.plain import EXTENSION_DTYPES
from tests.format.indexes import COLUMNS, COUNTS
from tests.format.test_index_rules import BROKEN

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "format.md").read_text()
RULES = [int(number) for number in re.findall(r"^\*\*F-(\d+)\.\*\*", PAGE, re.MULTILINE)]


def cited(folder: str) -> set[int]:
    """Return the numbers of the rules that the files of a folder cite."""
    texts = [path.read_text() for path in (REPOSITORY / folder).rglob("*.py")]
    return {int(number) for text in texts for number in re.findall(r"\bF-(\d+)\b", text)}


def test_rules_are_numbered_without_holes() -> None:
    """The rules stand in the page in the order of their numbers."""
    assert list(range(1, len(RULES) + 1)) == RULES


def test_each_rule_is_cited_and_each_citation_is_a_rule() -> None:
    """No rule is without a place in the code and in the tests, and none is made up."""
    everywhere = cited("checkpointable") | cited("tests")

    assert set(RULES) == everywhere
    assert set(RULES) - cited("tests") == set()


def test_each_rule_of_the_index_has_a_test_that_breaks_it() -> None:
    """Each rule that an index can break (5 to 35, 45) is broken by one; F-11 is but a table."""
    broken = {int(what.split(maxsplit=1)[0][2:]) for what in BROKEN}

    assert {*range(5, 36), 45} - {11, 32} == broken - {2}


def test_the_columns_are_those_of_the_page() -> None:
    """Number and width of every column stand in the table of F-11."""
    rows = re.findall(r"^\| (\d+) \| .* \| (u\d+|16 bytes) \| .* \|$", PAGE, re.MULTILINE)
    widths = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "16 bytes": 1}

    assert [(i, width) for i, (_, width, _) in enumerate(COLUMNS)] == [
        (int(number), widths[width]) for number, width in rows
    ]
    assert 17 == len(COUNTS) == len(set(re.findall(r"\| (c\d+) \|", PAGE)))


def test_the_limits_are_those_of_the_page() -> None:
    """The numbers in the page are those in the code."""
    for number in (
        limits.LONGEST_PAYLOAD,
        limits.COLUMN_PIECE,
        limits.LONGEST_NAME,
        limits.CHUNK,
        limits.OWN_CHUNKS,
        limits.MOST_SHARDS,
        limits.LONGEST_INLINE,
    ):
        assert f"{number:,}" in PAGE, number


def test_the_extension_dtypes_are_those_of_the_page() -> None:
    """Every dtype of ml_dtypes that can be stored is named."""
    assert [] == [name for name in EXTENSION_DTYPES if f"`{name}`" not in PAGE]
