"""The entries of a report, and what a value may have been called before."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Final

import attrs

#: Why a live value got none, where nothing is stored for it.
ABSENT: Final = "not in the checkpoint"

#: How many entries get suggestions, and with how many others each is compared.
_SUGGESTED: Final = 10
_COMPARED: Final = 1000


@attrs.frozen(slots=True)
class Entry:
    """One value of a report.

    Attributes:
        path: where it stands, from the root.
        dtype: of a tensor, its dtype.
        shape: of a tensor, its shape.
        reason: why it is in its category.
        candidates: paths of values that it may have been matched with under another name.
    """

    path: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    reason: str = ""
    candidates: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f" {self.dtype} {self.shape}" if self.dtype is not None else ""
        return f"{self.path}{what}" + (f": {self.reason}" if self.reason else "")


def suggest(entries: list[Entry], others: Sequence[Entry]) -> list[Entry]:
    """Add to the first entries the paths of others that they may have been, nearest first.

    These are values of the same dtype and shape, and values of any kind whose path is spelled
    much alike.
    """
    suggested = []
    for entry in entries[:_SUGGESTED]:
        compared = others[:_COMPARED]
        alike = [o.path for o in compared if o.dtype is not None and _kind(o) == _kind(entry)]
        alike.sort(key=lambda path: -SequenceMatcher(None, path, entry.path).ratio())
        misspelt = [o.path for o in compared if _is_misspelt(o.path, entry.path)]
        candidates = tuple(dict.fromkeys([*alike[:3], *misspelt]))[:3]
        suggested.append(attrs.evolve(entry, candidates=candidates))
    return suggested + entries[_SUGGESTED:]


def _is_misspelt(path: str, other: str) -> bool:
    """Tell whether two paths differ in one component only, and that is spelled much alike."""
    pairs = zip(path.split("/"), other.split("/"), strict=False)
    differing = [pair for pair in pairs if pair[0] != pair[1]]
    if len(differing) != 1 or path.count("/") != other.count("/"):
        return False
    a, b = (name.lower().replace("_", "") for name in differing[0])
    return min(len(a), len(b)) > 2 and bool(get_close_matches(a, [b], cutoff=0.7))


def _kind(entry: Entry) -> tuple[Any, Any]:
    return entry.dtype, entry.shape


def with_hint(entry: Entry) -> str:
    """Return how an assertion names a value, with what it may have been called before."""
    if not entry.candidates or entry.reason != ABSENT:
        return str(entry)
    nearest = entry.candidates[0]
    if nearest == entry.path:
        late = "what is around it took the place of an object that had been restored; restore again"
        return str(attrs.evolve(entry, reason=late))
    if _is_misspelt(nearest, entry.path):
        return f"{entry}; it holds {nearest}. Misspelt, or renamed? See Trackable.renamed."
    hint = ""
    if nearest.endswith(f"/{entry.path}"):
        above = nearest[: -len(entry.path) - 1]
        hint = f" Saved with what is around {above}? Restore with RestoreOptions(at={above!r})."
    elif entry.path.endswith(f"/{nearest}"):
        below = entry.path[: -len(nearest) - 1]
        hint = f" Saved from {below} alone? Make that the root: Checkpoint({below.split('/')[-1]})."
    return (
        f"{entry}; it holds {nearest} of the same dtype and shape.{hint} Renamed? See"
        " Trackable.renamed."
    )
