"""What one run of matching found: what to give to whom, what waits, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.format.records import TensorInfo
from checkpointable.restore.places import Names, Place
from checkpointable.restore.rebinding import Rebuild
from checkpointable.restore.selection import Trail
from checkpointable.session.graph import Cell

Array = npt.NDArray[Any]


@attrs.define(slots=True, eq=False)
class Give:
    """One value to read and to give to a live object.

    Attributes:
        path: the number of its path.
        node: the stored node that holds it; -1 for an item of a stored plain value.
        number: the number of the stored value; -1 for a `plain` one that is known already.
        info: dtype and shape of a stored tensor; `None` for a Python value.
        plain: the Python value, where `info` is `None`.
        target: the array to write into; `None`: a new value is made and handed on.
        convert: makes the live value of the stored one.
        places: where a new value is put.
        receive: takes the new value, on its way into a container (see `Fill`).
        given: called once the value has arrived.
        cell: of a Variable of a graph: the value is not given but recorded.
    """

    path: int
    node: int = -1
    number: int = -1
    info: TensorInfo | None = None
    plain: Any = None
    target: Array | None = None
    convert: Callable[[Any], Any] | None = None
    places: list[Place] = attrs.field(factory=list)
    receive: Callable[[Any], None] | None = None
    given: Callable[[], None] | None = None
    cell: Cell | None = None


@attrs.define(slots=True, eq=False)
class GiveTensors:
    """The own tensors of an object that restores itself, by attribute name."""

    path: int
    node: int
    live: Any
    receive: Callable[[dict[str, Any]], None]
    numbers: dict[str, int]


@attrs.frozen(slots=True, eq=False)
class Fill:
    """A container to be given other contents, or put into its place, once these have arrived.

    Attributes:
        path: the number of its path.
        node: the stored container.
        place: where it stands.
        finish: does it; called with what puts a value into a place.
    """

    path: int
    node: int
    place: Place
    finish: Callable[[Callable[[Place, Any, int], None]], None]


@attrs.frozen(slots=True, eq=False)
class NewSlot:
    """A slot variable to be created: the optimizer keeps it once it has its value."""

    optimizer: Any
    variable: Any
    name: str
    live: Any


@attrs.frozen(slots=True, eq=False)
class Compare:
    """Two stored values for one live object: the second is unused if it differs."""

    first: int
    second: int


@attrs.frozen(slots=True, eq=False)
class Wait:
    """A stored node that waits for something to come to `owner` under `names`."""

    owner: Any
    names: Names
    node: int
    path: int
    trail: Trail
    is_superseded: bool = False


@attrs.frozen(slots=True)
class Issue:
    """Something to report about a value: where, and why."""

    path: int
    reason: str
    node: int = -1


@attrs.define(slots=True, eq=False)
class Plan:
    """Everything that one run of matching decided. Nothing live has been changed.

    Attributes:
        bound: (stored node, live object) pairs that belong together now.
        satisfied: (stored node, live object) pairs: the node gives the object its own values.
        edges: (owner, names) of matched arrays and plain values.
        placed: (owner, names, number) of those among them that take one stored value.
        consumed: the numbers of the stored values that are matched.
        exempt: (object, names) of live values that stay as they are: they were left out by the
            options, or do not fit.
        unused: items of stored plain values that found no place.
        lacking: (object, names, reason) of live values that the stored node has none for.
        again: (value, place) pairs: further places of what may be replaced by another object.
        rebuilds: objects of foreign types that were met.
        reached: (stored node, path) pairs of what slot variables hang on.
        slots: slot variables that there were none of yet.
    """

    gives: list[Give] = attrs.field(factory=list)
    tensors: list[GiveTensors] = attrs.field(factory=list)
    fills: list[Fill] = attrs.field(factory=list)
    compares: list[Compare] = attrs.field(factory=list)
    waits: list[Wait] = attrs.field(factory=list)
    bound: list[tuple[int, Any]] = attrs.field(factory=list)
    satisfied: list[tuple[int, Any]] = attrs.field(factory=list)
    edges: list[tuple[Any, Names]] = attrs.field(factory=list)
    placed: list[tuple[Any, Names, int]] = attrs.field(factory=list)
    consumed: list[int] = attrs.field(factory=list)
    exempt: list[tuple[Any, Names]] = attrs.field(factory=list)
    lacking: list[tuple[Any, Names, str]] = attrs.field(factory=list)
    again: list[tuple[Any, Place]] = attrs.field(factory=list)
    rebuilds: list[Rebuild] = attrs.field(factory=list)
    reached: list[tuple[int, int]] = attrs.field(factory=list)
    slots: list[NewSlot] = attrs.field(factory=list)
    mismatched: list[Issue] = attrs.field(factory=list)
    split: list[Issue] = attrs.field(factory=list)
    cast: list[Issue] = attrs.field(factory=list)
    skipped: list[Issue] = attrs.field(factory=list)
    unused: list[Issue] = attrs.field(factory=list)

    @property
    def runs_code(self) -> bool:
        """Whether giving these values may run code of the user's."""
        if self.tensors or self.fills or any(give.places for give in self.gives):
            return True
        return any(rebuild.is_due for rebuild in self.rebuilds)


def is_read_target(array: Array, info: TensorInfo, dtype: np.dtype[Any]) -> bool:
    """Tell whether a stored tensor can be read straight into an array."""
    return (
        array.flags.c_contiguous
        and array.dtype == dtype
        and array.dtype.isnative
        and array.shape == info.shape
    )
