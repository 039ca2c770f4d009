"""The difference between two graphs and their values: records first, a tree second."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, Final, final

import attrs

from checkpointable.graph.outline import outline

#: A longer integer is not written out: Python refuses those of more than 4,300 digits.
_LONGEST_INTEGER: Final = 128


@attrs.frozen(slots=True)
class ValueSummary:
    """One value of one of the two sides, described.

    Attributes:
        path: where it stands, from the root.
        dtype: of a tensor, its dtype; `None` for a plain value.
        shape: of a tensor, its shape; `None` for a plain value.
        text: of a plain value, how Python writes it, shortened; empty for a tensor.
    """

    path: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.path + _tail(self)


@attrs.frozen(slots=True)
class MovedValue:
    """A value that stands under another path than before, with the same content.

    Attributes:
        path: where it stands afterwards.
        old_path: where it stood before.
        dtype, shape, text: as in `ValueSummary`.
    """

    path: str
    old_path: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.path + _moved_tail(self)


@attrs.frozen(slots=True)
class ChangedValue:
    """A value that is another one afterwards: of other content, dtype or shape.

    Attributes:
        path: where it stands.
        before: what it was.
        after: what it is.
        largest: the largest absolute difference between two elements in the same place. NaN if
            somewhere one side alone is NaN; infinite if one side alone is infinite, or both with
            different signs; 0.0 if all are equal as numbers, but not bit for bit, as -0.0 and
            0.0. `None` for what can not be subtracted: plain values, texts, dates, bytes, and
            where the shapes differ.
    """

    path: str
    before: ValueSummary
    after: ValueSummary
    largest: float | None = None

    def __str__(self) -> str:
        return self.path + _changed_tail(self)


@final
@attrs.frozen
class Difference:
    """What `diff` found. It is false where nothing differs; `str` of it is a tree.

    Attributes:
        before: the name of the first side.
        after: the name of the second side.
        added: values that only the second side has.
        removed: values that only the first side has.
        moved: values that both have, under different paths.
        changed: values that differ under the same path.
    """

    before: str
    after: str
    added: Sequence[ValueSummary] = ()
    removed: Sequence[ValueSummary] = ()
    moved: Sequence[MovedValue] = ()
    changed: Sequence[ChangedValue] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.moved or self.changed)

    def __str__(self) -> str:
        found = {
            "added": self.added,
            "removed": self.removed,
            "moved": self.moved,
            "changed": self.changed,
        }
        counts = ", ".join(f"{len(entries):,} {kind}" for kind, entries in found.items() if entries)
        return "\n".join(
            [
                f"{self.before} -> {self.after}: {counts or 'no difference'}",
                *outline("added", self.added, _tail),
                *outline("removed", self.removed, _tail),
                *outline("moved", self.moved, _moved_tail),
                *outline("changed", self.changed, _changed_tail),
            ]
        )


def _what(value: ValueSummary | MovedValue) -> str:
    return value.text if value.dtype is None else f"{value.dtype} {value.shape}"


def _tail(value: ValueSummary | MovedValue) -> str:
    """Return what follows the path of a value where it is printed."""
    return f": {value.text}" if value.dtype is None else f" {_what(value)}"


def _moved_tail(value: MovedValue) -> str:
    return f"{_tail(value)}, was {value.old_path}"


def _changed_tail(value: ChangedValue) -> str:
    before, after = _what(value.before), _what(value.after)
    is_tensor = value.before.dtype is not None
    tail = f"{'' if is_tensor else ':'} {before}" + (f" -> {after}" if before != after else "")
    if value.largest is not None:
        return f"{tail}, largest difference {value.largest:.6g}"
    return f"{tail}, other content" if before == after else tail


def plain_text(value: Any) -> str:
    """Return how Python writes a plain value, shortened.

    >>> plain_text({"rate": 0.5, "sizes": list(range(100))})
    "{'rate': 0.5, 'sizes': [0, 1, 2, 3, 4, 5, ...]}"
    """
    writer = _Shortened()
    writer.maxlevel, writer.maxstring, writer.maxother = 3, 60, 80
    return writer.repr(value)


class _Shortened(reprlib.Repr):
    """How values are written: a few items of each container, a few letters of each text."""

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        return repr(x) if bits <= _LONGEST_INTEGER else f"<an int of {bits:,} bits>"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x) if len(x) <= self.maxstring else f"<{len(x):,} bytes>"
