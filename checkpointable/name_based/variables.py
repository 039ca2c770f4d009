"""The Variables that `init_from_checkpoint` is about, and the names that they go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from checkpointable.graph.walk import walk
from checkpointable.restore.by_name import stored_name
from checkpointable.session.graph import get_default_graph
from checkpointable.trackable.base import Trackable, Variable


class VariablePool:
    """The Variables among which names are looked for."""

    def __init__(self, variables: Iterable[Variable] | None) -> None:
        self.is_given = variables is not None
        graph = get_default_graph()
        if variables is None:
            found = graph.get_collection("variables") if graph is not None else []
        elif isinstance(variables, (str, Trackable)) or not isinstance(variables, Iterable):
            raise TypeError(
                f"variables is a {type(variables).__qualname__}, expected a list of Variables"
            )
        else:
            found = list(variables)
        for variable in found:
            if not isinstance(variable, Variable):
                raise TypeError(
                    f"variables holds a {type(variable).__qualname__}, expected Variables only"
                )
        self._by_name: dict[str, list[Variable]] = {}
        for variable in found:
            name = stored_name(variable)
            if name is not None:
                self._by_name.setdefault(name, []).append(variable)

    def below(self, prefix: str) -> dict[str, list[Variable]]:
        """Return the Variables whose names begin so, by what follows.

        Raises:
            ValueError: there is none.
        """
        beginning = "" if prefix == "/" else prefix
        names = [name for name in self._by_name if name.startswith(beginning)]
        if not names:
            raise self._nothing(f"no Variable has a name that begins with {prefix!r}", prefix)
        return {name[len(beginning) :]: self._by_name[name] for name in names}

    def named(self, name: str) -> list[Variable]:
        """Return the Variables of a name: one, or the parts of a whole.

        Raises:
            ValueError: there is none.
        """
        name = name.removesuffix(":0")
        parts = [v for found in self._by_name.values() for v in found if v.name == name]
        found = self._by_name.get(name, parts)
        if not found:
            raise self._nothing(f"no Variable has the name {name!r}", name)
        return found

    def _nothing(self, what: str, name: str) -> ValueError:
        near = get_close_matches(name, self._by_name, n=3) or sorted(self._by_name)[:5]
        if self.is_given:
            where = "among those given"
        elif get_default_graph() is not None:
            where = "in the default graph"
        else:
            where = "because no graph is the default. Give them: variables=[...]"
        there = f" There are {', '.join(near)}." if near else ""
        return ValueError(f"assignment_map: {what} {where}.{there}")


def parts_of_one(key: str, given: Sequence[Any]) -> Sequence[Variable]:
    """Check that a list holds parts of one tensor."""
    for part in given:
        if not isinstance(part, Variable):
            raise TypeError(
                f"assignment_map: {key!r} stands against a list that holds a"
                f" {type(part).__qualname__}, expected parts made by partitioned_variables()"
            )
    slices = [part.save_slice for part in given]
    wholes = {(part.full_name, part.full_shape) for part in slices if part is not None}
    if len(wholes) != 1 or None in slices:
        raise ValueError(
            f"assignment_map: the list that {key!r} stands against does not hold parts of one"
            " tensor, expected what partitioned_variables() returned. Give Variables that are no"
            " parts one by one."
        )
    return given


def names_below(scope: str, root: Trackable) -> Iterator[tuple[Variable, str, list[str]]]:
    """Yield the Variables of an object, how messages name them, and their names in a scope."""
    live = walk(root)
    for number, variable in enumerate(live.objects):
        if isinstance(variable, Variable):
            path, name = live.paths.full(number), stored_name(variable)
            names = [path] if name is None else [name, path]
            if name is not None and scope != "/" and name.startswith(scope):
                names.insert(0, name[len(scope) :])
            yield variable, live.paths.shown(number), names


def label_of(variable: Variable) -> str:
    """Return how messages name a Variable that was given by itself or by name."""
    return "a Variable without a name" if variable.name is None else variable.name
