"""Which slot variables an optimizer keeps, by variable and by name."""

from __future__ import annotations

import weakref
from typing import Any, Final, final


@final
class SlotTable:
    """The slot variables of one optimizer.

    It refers to the variables weakly: what is kept for a variable goes with it. A copy, deep or
    not, keeps slot variables for the variables that it is copied with. Not thread-safe.
    """

    __slots__ = ("__weakref__", "_names", "_rows")

    def __init__(self) -> None:
        #: The names of slots, in the order in which they came up.
        self._names: Final[dict[str, None]] = {}
        #: By the identity of the variable.
        self._rows: Final[dict[int, tuple[weakref.ref[Any], dict[str, Any]]]] = {}

    def names(self) -> list[str]:
        """Return the names of all slots."""
        return list(self._names)

    def rows(self) -> list[tuple[Any, dict[str, Any]]]:
        """Return the variables that are alive, each with its slot variables by name."""
        rows = [(reference(), slots) for reference, slots in list(self._rows.values())]
        return [(variable, slots) for variable, slots in rows if variable is not None]

    def get(self, variable: Any, name: str) -> Any:
        """Return the slot variable of a variable; `None` if there is none of that name."""
        row = self._rows.get(id(variable))
        return row[1].get(name) if row is not None and row[0]() is variable else None

    def put(self, variable: Any, name: str, slot: Any) -> None:
        """Keep a slot variable for a variable."""
        row = self._rows.get(id(variable))
        if row is None or row[0]() is not variable:
            row = self._rows[id(variable)] = (self._reference(variable), {})
        self._names[name] = None
        row[1][name] = slot

    def copied(self) -> SlotTable:
        """Return a table of the same slot variables."""
        table = SlotTable()
        table.__setstate__(self.__getstate__())
        return table

    def _reference(self, variable: Any) -> weakref.ref[Any]:
        """Return a reference that removes the row once the variable is gone.

        It refers to the table weakly, so that both are freed by counting references.
        """
        identity, table = id(variable), weakref.ref(self)

        def forget(gone: weakref.ref[Any]) -> None:
            alive = table()
            row = alive._rows.get(identity) if alive is not None else None
            if alive is not None and row is not None and row[0] is gone:
                del alive._rows[identity]

        return weakref.ref(variable, forget)

    def __getstate__(self) -> Any:
        return self.names(), self.rows()

    def __setstate__(self, state: Any) -> None:
        names, rows = state
        self.__init__()
        self._names.update(dict.fromkeys(names))
        for variable, slots in rows:
            for name, slot in slots.items():
                self.put(variable, name, slot)
