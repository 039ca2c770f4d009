"""Reads that a restore records for Variables of a graph, to be run in sessions (R-25)."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial
from typing import final

import attrs

from checkpointable.restore.plan import Give, Plan
from checkpointable.session.graph import Cell, RecordsReads
from checkpointable.session.session import Session, session_of
from checkpointable.trackable.base import Variable


def give_to_variable(path: int, node: int, variable: Variable) -> Give:
    """Return what gives a Variable a stored value: its array now, or its cell in sessions."""
    target = variable.pattern_array()
    return Give(path, node, target=target, given=variable.mark_initialized, cell=variable.cell)


@final
class RecordedReads:
    """What one restore has recorded, one read for each Variable; it grows as these appear."""

    def __init__(self) -> None:
        self._reads: dict[Cell, Give] = {}

    def __len__(self) -> int:
        return len(self._reads)

    def add(self, gives: Iterable[Give], by: RecordsReads) -> None:
        """Record gives to Variables of a graph, and let these know by whom."""
        for give in gives:
            if give.cell is not None:
                self._reads[give.cell] = give
                give.cell.restored_by = weakref.ref(by)

    def plan(self, session: Session | None, only: Cell | None) -> Plan:
        """Return a plan that reads everything, or one variable, into a session.

        Raises:
            RuntimeError: something is recorded, and there is no session.
            ValueError: the session is of another graph.
        """
        plan = Plan()
        for cell, give in self._reads.items():
            if only is None or only is cell:
                found = session_of(cell, session)
                given = partial(found.mark_initialized, cell)
                target = found.array_of(cell)
                plan.gives.append(attrs.evolve(give, target=target, given=given, cell=None))
        return plan

    def clear(self) -> None:
        """Forget everything."""
        self._reads.clear()


def take_recorded(plan: Plan) -> list[Give]:
    """Take the gives to Variables of a graph out of a plan, and return them."""
    taken = [give for give in plan.gives if give.cell is not None]
    if taken:
        plan.gives = [give for give in plan.gives if give.cell is None]
    return taken
