"""How often a manager saves: every so many steps, or every so many seconds."""

from __future__ import annotations

import datetime

import attrs


@attrs.frozen
class Interval:
    """When the next save is due. A new one is made when a save has succeeded.

    Attributes:
        given: the interval as the user gave it: steps, a time, or none.
        last_step: the step of the last save or restore.
        last_time: when that was.
    """

    given: int | datetime.timedelta | None
    last_step: int | None = None
    last_time: float | None = None

    def is_due(self, step: int | None, now: float, *, check_interval: bool) -> bool:
        """Tell whether to save: after a save of this very step never, however much it is wished.

        A clock or a step counter that goes backwards makes a save due.
        """
        if isinstance(self.given, datetime.timedelta):
            if not check_interval or self.last_time is None:
                return True
            return not 0 <= now - self.last_time < self.given.total_seconds()
        if self.given is None or self.last_step is None or step is None:
            return True
        if step == self.last_step:
            return False
        return not check_interval or not 0 <= step - self.last_step < self.given

    def after(self, step: int | None, now: float) -> Interval:
        """Return the interval that begins now."""
        return attrs.evolve(self, last_step=step, last_time=now)
