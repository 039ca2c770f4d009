"""Paths as an indented outline."""

import attrs

from checkpointable.graph.outline import outline


@attrs.frozen
class Place:
    path: str


def lines(*paths: str) -> list[str]:
    """Return the outline of these paths."""
    return list(outline("here", [Place(path) for path in paths], lambda place: f" <{place.path}>"))


def test_names_in_common_are_written_once() -> None:
    """What two neighbours have in common stands above both of them."""
    expected = [
        "here:",
        "  a/",
        "    b/",
        "      w <a/b/w>",
        "      x <a/b/x>",
        "    c <a/c>",
        "  d <d>",
    ]
    assert expected == lines("a/b/w", "a/b/x", "a/c", "d")


def test_what_lies_below_one_object_stands_together() -> None:
    """However the entries are ordered; an entry may itself have others below it."""
    expected = [
        "here:",
        "  a/",
        "    w <a/w>",
        "      slot/",
        "        m <a/w/slot/m>",
        "    x <a/x>",
        "  b <b>",
        "  b <b>",
    ]
    assert expected == lines("a/w", "b", "a/x", "a/w/slot/m", "b")


def test_a_shortened_path_is_one_name() -> None:
    """A path that was cut in the middle is not split."""
    assert ["here:", "  a/b ... c/d <a/b ... c/d>"] == lines("a/b ... c/d")


def test_at_most_two_hundred_are_shown() -> None:
    """Of many entries the first 200 are written, and how many are left."""
    shown = lines(*(f"v{i}" for i in range(1203)))

    assert 202 == len(shown)
    assert "  v199 <v199>" == shown[-2]
    assert "  ... and 1,003 more" == shown[-1]


def test_nothing_has_no_title() -> None:
    """Where there is no entry there is no line."""
    assert [] == lines()
