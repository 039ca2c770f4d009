"""Plain values as one short line of text, whatever their size and depth."""

from __future__ import annotations

import reprlib
from typing import Any, Final

#: A longer integer is not written out: Python refuses those of more than 4,300 digits.
_LONGEST_INTEGER: Final = 128


class _Shortened(reprlib.Repr):
    """How values are written: a few items of each container, a few letters of each text."""

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        return repr(x) if bits <= _LONGEST_INTEGER else f"<an int of {bits:,} bits>"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x) if len(x) <= self.maxstring else f"<{len(x):,} bytes>"


def plain_text(value: Any) -> str:
    """Return how Python writes a plain value, shortened.

    >>> plain_text({"rate": 0.5, "sizes": list(range(100))})
    "{'rate': 0.5, 'sizes': [0, 1, 2, 3, 4, 5, ...]}"
    """
    writer = _Shortened()
    writer.maxlevel, writer.maxstring, writer.maxother = 3, 60, 80
    return writer.repr(value)
