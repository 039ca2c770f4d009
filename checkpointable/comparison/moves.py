"""Which of several equal values went where: the paths that are most alike belong together.

The answer does not depend on the order of the paths, and is the same when old and new are
exchanged. The time is bounded also where a thousand values are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

#: Names at the beginning and at the end of a path.
_Ends = tuple[tuple[str, ...], tuple[str, ...]]

#: How many names at the end, and at the beginning, of two paths are compared.
_NAMES: Final = 4
#: Up to so many pairs are compared letter by letter.
_COMPARED: Final = 100


def pair_alike(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Pair old paths with new ones, as many as there are on both sides.

    Those that share most names at the end come first, among these those that share most at the
    beginning, then those that are most alike letter by letter.

    Args:
        old: paths that are gone.
        new: paths that have come.

    Returns:
        pairs of positions in `old` and `new`.

    >>> pair_alike(["enc/0/b", "dec/0/b"], ["model/dec/0/b", "model/enc/0/b"])
    [(1, 0), (0, 1)]
    """
    if len(old) == len(new) == 1:
        return [(0, 0)]
    pairs: list[tuple[int, int]] = []
    left = sorted(range(len(old)), key=old.__getitem__)
    right = sorted(range(len(new)), key=new.__getitem__)
    for last in range(_NAMES, -1, -1):
        for first in range(_NAMES, -1, -1):
            if not left or not right:
                return pairs
            theirs = _by_names(new, right, first, last)
            for names, mine in _by_names(old, left, first, last).items():
                pairs.extend(_alike(old, mine, new, theirs.get(names, [])))
            left = _without(left, (i for i, _ in pairs))
            right = _without(right, (j for _, j in pairs))
    return pairs


def _by_names(
    paths: Sequence[str], positions: list[int], first: int, last: int
) -> dict[_Ends, list[int]]:
    """Group paths by so many of their names at both ends."""
    groups: dict[_Ends, list[int]] = {}
    for position in positions:
        names = paths[position].split("/")
        key = (tuple(names[:first]), tuple(names[-last:] if last else ()))
        groups.setdefault(key, []).append(position)
    return groups


def _alike(
    old: Sequence[str], left: list[int], new: Sequence[str], right: list[int]
) -> Iterator[tuple[int, int]]:
    """Pair the paths of one group: by their letters, or in order where they are too many."""
    if min(len(left), len(right)) == 0 or len(left) * len(right) > _COMPARED:
        yield from zip(left, right, strict=False)
        return
    ranked: list[tuple[float, str, str, int, int]] = []
    for i in left:
        for j in right:
            one, other = sorted((old[i], new[j]))  # The ratio depends on which comes first.
            likeness = SequenceMatcher(None, one, other, autojunk=False).ratio()
            ranked.append((-likeness, one, other, i, j))
    ranked.sort(key=lambda entry: entry[:3])
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    for *_, i, j in ranked:
        if i not in taken_left and j not in taken_right:
            taken_left.add(i)
            taken_right.add(j)
            yield i, j


def _without(positions: list[int], taken: Iterable[int]) -> list[int]:
    gone = set(taken)
    return [position for position in positions if position not in gone]
