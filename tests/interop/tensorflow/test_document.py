"""The code and the tests say what docs/tensorflow-format.md says."""

from __future__ import annotations

import re
from pathlib import Path

from checkpointable.format.limits import LONGEST_INDEX, MOST_DIMENSIONS
from checkpointable.interop.tensorflow.dtypes import dtype_name

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "tensorflow-format.md").read_text(encoding="utf-8")
RULES = {int(number) for number in re.findall(r"^\*\*T-(\d+)\.", PAGE, re.MULTILINE)}
#: The files that speak of these rules; T-n of the tests of durability is something else.
FOLDERS = ("checkpointable/interop/tensorflow", "tests/interop/tensorflow")


def cited(folder: str) -> set[int]:
    """Return the numbers of the rules that the files of a folder cite, spans included."""
    texts = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / folder).rglob("*.py"))
    spans = re.findall(r"\bT-(\d+) to T-(\d+)\b", texts)
    found = {int(number) for number in re.findall(r"\bT-(\d+)\b", texts)}
    return found.union(*(range(int(a), int(b) + 1) for a, b in spans))


def test_rules_are_numbered_without_holes() -> None:
    """The page has the rules T-1 to T-16."""
    assert {*range(1, 17)} == RULES


def test_each_rule_is_cited_and_each_citation_is_a_rule() -> None:
    """No rule is without a place in the code and in the tests, and none is made up."""
    assert [RULES] * 2 == [cited(folder) for folder in FOLDERS]


def test_the_dtypes_are_those_of_the_page() -> None:
    """Each number in the table of T-6 is called there what it is called here."""
    table = PAGE[PAGE.index("| number | here") : PAGE.index("Dimensions are")]
    pairs = re.findall(r"\| ([\d, ]+) \| ([^|]+)", table)
    named = {
        int(number): re.findall(r"`(\w+)`", names)
        for numbers, names in pairs
        for number in numbers.split(",")
    }

    assert {*range(1, 34)} - {20} == set(named)
    for number, names in named.items():
        assert dtype_name(number, "file", "it") in names


def test_the_limits_are_those_of_the_page() -> None:
    """The numbers in the page are those in the code."""
    assert f"at most {LONGEST_INDEX:,} bytes" in PAGE
    assert f"at most {MOST_DIMENSIONS};" in PAGE
