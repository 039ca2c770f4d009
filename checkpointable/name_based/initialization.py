"""`init_from_checkpoint`: let Variables begin with values of a checkpoint, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.directory.latest import open_resolved
from checkpointable.format.dtypes import PYTHON, STRING
from checkpointable.format.garbage import without_collections
from checkpointable.format.source import CheckpointSource
from checkpointable.graph.paths import values_by_key
from checkpointable.name_based.variables import (
    VariablePool,
    label_of,
    names_below,
    parts_of_one,
)
from checkpointable.names import SAVE_COUNTER, VARIABLE_VALUE, attribute_key
from checkpointable.restore.by_name import (
    NamedTarget,
    give_by_name,
    match_by_name,
    require_fit,
)
from checkpointable.restore.entries import Entry
from checkpointable.restore.report import Report
from checkpointable.storage.base import PathLike
from checkpointable.trackable import waiting
from checkpointable.trackable.base import Trackable, Variable

#: Keys of the save counter, which is the library's own.
_COUNTER: Final = (SAVE_COUNTER, attribute_key(SAVE_COUNTER, VARIABLE_VALUE))
#: How many missing tensors a message lists.
_SHOWN: Final = 10
_REMEDY: Final = (
    "Give the Variable the stored dtype and shape, or leave it out of the assignment map."
)


def init_from_checkpoint(
    path: PathLike,
    assignment_map: Mapping[str, Any] | Iterable[tuple[str, Any]],
    variables: Iterable[Variable] | None = None,
) -> Report:
    """Let Variables begin with values of a checkpoint, name-based or object-based.

    Variables of a graph get another initializer, which reads the value whenever a session runs it;
    the checkpoint is held open until the graph is dropped, so it may be deleted meanwhile. All
    other Variables are assigned at once. Nothing changes unless all entries can be carried out.

    | key | value | what begins with what |
    |---|---|---|
    | a tensor | a Variable, or its name | the Variable with the tensor |
    | a tensor | a list of parts (`partitioned_variables`), or their name | each with its part |
    | a scope | the beginning of names, with `/` at its end | Variables with tensors of equal rest |
    | a scope | a Trackable | its Variables: by global name, in the scope or after it, or by path |

    A tensor is a name, a key or an object path, as in `CheckpointReader`; `:0` at its end does not
    count. A scope ends with `/`; `/` alone is the whole checkpoint, or all Variables. Tensors of a
    scope that no Variable takes are listed in the report; a Variable without a tensor is an error.
    Where entries name a Variable twice, the longer key counts: a tensor before its scope.

    Args:
        path: a checkpoint, or a directory: its newest one.
        assignment_map: what begins with what: a mapping, or pairs of keys and values.
        variables: among which Variables names are looked for; by default those of the default
            graph (its collection "variables").

    Returns:
        which Variables begin with stored values, and which tensors of a scope are not used.

    Raises:
        ValueError: the checkpoint lacks a tensor, be it of a name or for a Variable of a scope; a
            name or scope has no Variable; a scope stands against a single name; or parts are not
            of one tensor.
        IncompatibleCheckpointError: a dtype or shape differs (it is a ValueError too).
        TypeError: something else stands in the map.
        CheckpointNotFoundError: there is no checkpoint.
        CorruptCheckpointError: it is damaged; in a graph, when the initializer runs.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     saved = ckpt.Checkpoint(encoder={"w": ckpt.Variable([1.0, 2.0])})
        ...     path = saved.write(directory + "/pretrained")
        ...     w = ckpt.Variable([0.0, 0.0], name="new/w")
        ...     report = ckpt.init_from_checkpoint(path, {"encoder/": "new/"}, [w])
        >>> w.value, [entry.path for entry in report.restored]
        (array([1., 2.]), ['new/w'])
    """
    pairs = _pairs(assignment_map)
    pool = VariablePool(variables)
    source = open_resolved(path)
    is_kept = False
    try:
        with without_collections():
            assignment = _Assignment(source, pool)
            for key, value in sorted(pairs, key=lambda pair: len(str(pair[0]))):
                assignment.add(key, value)
            report, is_kept = assignment.carry_out()
    finally:
        if not is_kept:
            source.close()
    return report


class _Assignment:
    """What the entries of the map ask for, looked up in the checkpoint."""

    def __init__(self, source: CheckpointSource, pool: VariablePool) -> None:
        self._source, self._pool = source, pool
        tensors = source.tensors
        self._numbers = {
            key: number
            for key, number in values_by_key(source)
            if number < len(tensors) and tensors[number].dtype != PYTHON
        }
        #: By identity: the Variable, how messages name it, and the key of its tensor.
        self._chosen: dict[int, tuple[Variable, str, str]] = {}
        #: Why Variables have no tensor, by identity; a later entry may have one.
        self._missing: dict[int, str] = {}
        self._scopes: list[str] = []

    def add(self, key: Any, value: Any) -> None:
        """Look up one entry.

        Raises:
            TypeError, ValueError: as `init_from_checkpoint`.
        """
        if not isinstance(key, str):
            raise TypeError(
                f"assignment_map: a key is {key!r}, expected the name of a tensor, or a scope that"
                " ends with '/'"
            )
        key = key.removesuffix(":0")
        if isinstance(value, (list, tuple)):
            self._single(key, parts_of_one(key, value))
        elif isinstance(value, Variable):
            self._single(key, [value])
        elif isinstance(value, Trackable):
            self._require_scope(key, "a Trackable")
            self._scope(key, names_below(key, value))
        elif not isinstance(value, str):
            raise TypeError(
                f"assignment_map: {key!r} stands against a {type(value).__qualname__}, expected a"
                " Variable, a list of parts of one, a Trackable, or a name"
            )
        elif value.endswith("/"):
            self._require_scope(key, repr(value))
            below = self._pool.below(value)
            self._scope(key, ((v, label_of(v), [rest]) for rest in below for v in below[rest]))
        else:
            if key.endswith("/"):
                raise ValueError(
                    f"assignment_map: the scope {key!r} stands against the single name {value!r}."
                    " Let both end with '/', or neither."
                )
            self._single(key, self._pool.named(value))

    def carry_out(self) -> tuple[Report, bool]:
        """Check that all fits, then assign; tell whether the checkpoint must stay open.

        Raises:
            ValueError: a Variable has no tensor; nothing was changed.
            IncompatibleCheckpointError: something does not fit; nothing was changed.
            CorruptCheckpointError: what is assigned now is damaged.
        """
        if self._missing:
            shown = "\n  ".join([*self._missing.values()][:_SHOWN])
            raise ValueError(
                f"assignment_map: {self._source.path} lacks {len(self._missing)} of the tensors:\n"
                f"  {shown}\nGive a scope whose Variables all have one, or single names."
            )
        chosen = self._chosen.values()
        targets = {_target(v, label, key): v for v, label, key in chosen}
        names = {key: (self._numbers[key],) for _, _, key in chosen}
        match = match_by_name(self._source, targets, names=names, remedy=_REMEDY)
        require_fit(match)
        now = [pair for pair in match.matched if targets[pair[0]].cell is None]
        later = [pair for pair in match.matched if targets[pair[0]].cell is not None]
        waiting.settle()
        give_by_name(attrs.evolve(match, matched=now))
        for target, number in later:
            read = partial(_read, self._source, number, target.part)
            targets[target].initialize_with(read)
        used = {*names, *_COUNTER}
        unused = [Entry(key) for key in self._numbers if self._is_below(key) and key not in used]
        report = match.report(target for target, _ in match.matched)
        return attrs.evolve(report, unused=unused, split=()), bool(later)

    def _single(self, key: str, variables: Sequence[Variable]) -> None:
        """Let one Variable, or all parts of one, begin with one tensor."""
        if key.endswith("/"):
            raise ValueError(
                f"assignment_map: the scope {key!r} stands against one Variable. Give the name of"
                " one tensor, without '/' at its end."
            )
        found = self._find(key)
        if found is None:
            raise ValueError(self._why_missing(key))
        self._choose(found, ((v, label_of(v)) for v in variables))

    def _scope(self, scope: str, variables: Iterable[tuple[Variable, str, Sequence[str]]]) -> None:
        """Let Variables begin with tensors of a scope, by the first name that it has."""
        beginning = "" if scope == "/" else scope
        count = 0
        for variable, label, names in variables:
            count += 1
            keys = (self._find(beginning + name) for name in names)
            found = next((key for key in keys if key is not None), None)
            if found is None:
                name = beginning + names[0]
                self._missing[id(variable)] = f"{label}: no tensor {name!r}. {self._nearest(name)}"
            else:
                self._choose(found, [(variable, label)])
        if not count:
            raise ValueError(
                f"assignment_map: there is no Variable for the scope {scope!r} of"
                f" {self._source.path}."
            )
        self._scopes.append(beginning)

    def _choose(self, key: str, variables: Iterable[tuple[Variable, str]]) -> None:
        for variable, label in variables:
            self._chosen[id(variable)] = (variable, label, key)
            self._missing.pop(id(variable), None)

    def _find(self, name: str) -> str | None:
        """Return the key that a name, key or path stands for."""
        if name in self._numbers:
            return name
        key = attribute_key(name, VARIABLE_VALUE)
        return key if key in self._numbers else None

    def _is_below(self, key: str) -> bool:
        return any(key.startswith(scope) for scope in self._scopes)

    def _require_scope(self, key: str, what: str) -> None:
        if not key.endswith("/"):
            raise ValueError(
                f"assignment_map: {what} stands against the single name {key!r}, expected a scope."
                f" Let it end with '/': {key + '/'!r}."
            )

    def _why_missing(self, key: str) -> str:
        return f"assignment_map: {self._source.path} holds no tensor {key!r}. {self._nearest(key)}"

    def _nearest(self, name: str) -> str:
        plain = attribute_key("", VARIABLE_VALUE)
        names = [key.removesuffix(plain) for key in self._numbers]
        near = get_close_matches(name, names, n=3) or sorted(names)[:5]
        return f"It holds {', '.join(near) or 'none'}."


def _pairs(assignment_map: Any) -> list[tuple[Any, Any]]:
    """Return the entries of a map, which may be a mapping or pairs."""
    if isinstance(assignment_map, Mapping):
        return list(assignment_map.items())
    is_list = isinstance(assignment_map, Iterable) and not isinstance(assignment_map, str)
    pairs: list[Any] = list(assignment_map) if is_list else [None]
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError(
            f"assignment_map is {assignment_map!r}, expected a mapping of names of tensors, or"
            " scopes, to what begins with them, or a list of such pairs"
        )
    return [(key, value) for key, value in pairs]


def _target(variable: Variable, label: str, key: str) -> NamedTarget:
    """Return what gives a Variable the tensor of a key."""
    whole, shape = variable.save_slice, variable.shape
    part = None if whole is None else whole.within(shape)
    shape = shape if whole is None else whole.full_shape
    array, given = variable.storage_array, variable.mark_initialized
    return NamedTarget(key, label, variable.dtype, shape, part, array, given)


def _read(
    source: CheckpointSource,
    number: int,
    part: tuple[slice, ...] | None,
    _: tuple[int, ...],
    dtype: np.dtype[Any],
) -> npt.NDArray[Any]:
    """Return the value that an initializer gives."""
    value = source.read(number) if part is None else source.read_slice(number, part)
    return value.astype(dtype) if source.tensors[number].dtype == STRING else value
