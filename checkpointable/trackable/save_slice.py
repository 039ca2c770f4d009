"""`SaveSlice`: which part of a larger tensor a Variable is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import attrs

from checkpointable.trackable.initializers import normal_shape


def _name(_: object, __: Any, name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"full_name is {name!r}, expected the name of the whole tensor")


def _offset(offset: Sequence[int]) -> tuple[int, ...]:
    return normal_shape(tuple(offset))


def _starts(self: SaveSlice, _: object, offset: tuple[int, ...]) -> None:
    full = self.full_shape
    if len(offset) != len(full) or any(o > size for o, size in zip(offset, full, strict=True)):
        raise ValueError(f"offset is {offset}, expected a place in a tensor of the shape {full}")


@final
@attrs.frozen
class SaveSlice:
    """Which part of a larger tensor a Variable is: what a name-based checkpoint calls a slice.

    Attributes:
        full_name: the name of the whole tensor in a checkpoint.
        full_shape: its shape.
        offset: where the part begins in it; the part's own shape says where it ends.

    Raises:
        TypeError: the name is no text, or the others are no integers.
        ValueError: the offset lies outside of the shape.

    Example:
        >>> SaveSlice("embedding", (10, 4), (5, 0)).offset
        (5, 0)
    """

    full_name: str = attrs.field(validator=_name)
    full_shape: tuple[int, ...] = attrs.field(converter=normal_shape)
    offset: tuple[int, ...] = attrs.field(converter=_offset, validator=_starts)

    def within(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Return the index in the whole tensor of a part of this shape.

        Example:
            >>> SaveSlice("embedding", (10, 4), (5, 0)).within((5, 4))
            (slice(5, 10, None), slice(0, 4, None))
        """
        return tuple(slice(o, o + size) for o, size in zip(self.offset, shape, strict=True))

    def check_part(self, shape: tuple[int, ...]) -> None:
        """Refuse a shape that does not lie within the whole tensor at this offset.

        Raises:
            ValueError: it does not.
        """
        ends = [start + size for start, size in zip(self.offset, shape, strict=False)]
        if len(shape) != len(self.full_shape) or any(
            end > size for end, size in zip(ends, self.full_shape, strict=True)
        ):
            raise ValueError(
                f"a part of the shape {shape} at {self.offset} is not within {self.full_name!r},"
                f" which has the shape {self.full_shape}"
            )
