"""Turns what a caller gives to a saver into `SaveableObject`s, each with a name of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from checkpointable.name_based.saveable import PlainSaveable, SaveableObject, SaveSpec
from checkpointable.session.graph import Graph
from checkpointable.trackable.base import Variable

#: What may stand under a name, and, arrays apart, in a list.
Item: TypeAlias = Variable | SaveableObject | npt.NDArray[Any] | Sequence[Variable]
VarList: TypeAlias = Mapping[str, Item] | Sequence[Item]

_EXPECTED = (
    "a list of Variables, SaveableObjects and lists of slices, or a dict of names to these or to"
    " arrays"
)


def saveables_of(var_list: VarList) -> list[SaveableObject]:
    """Return what a saver saves, sorted by name.

    Raises:
        TypeError: something cannot be saved by name.
        ValueError: a name, or a thing, is not unique; a Variable has no name; slices are of
            different tensors.
    """
    if isinstance(var_list, Mapping):
        named = [(_checked_name(name), item) for name, item in var_list.items()]
    elif isinstance(var_list, (list, tuple)):
        named = _named(var_list)
    else:
        raise TypeError(f"var_list is a {type(var_list).__qualname__}, expected {_EXPECTED}")
    found = [_saveable(name, item) for name, item in sorted(named, key=lambda pair: pair[0])]
    _check_things(found)
    _check_names(found)
    return found


def saveables_of_graph(graph: Graph) -> list[Item]:
    """Return what a graph has collected to be saved: its Variables and its SaveableObjects."""
    return graph.get_collection("variables") + graph.get_collection("saveable_objects")


def has_any(var_list: VarList, allow_empty: bool) -> bool:
    """Tell whether there is anything to save.

    Raises:
        ValueError: there is nothing, and that is not allowed.
    """
    is_container = isinstance(var_list, (Mapping, list, tuple))
    if is_container and not var_list and not allow_empty:
        raise ValueError(
            "there is nothing to save: no Variables are given, or in the graph. Create them first,"
            " or use allow_empty=True."
        )
    return not is_container or bool(var_list)


def graph_of(saveables: Iterable[SaveableObject], graph: Graph | None = None) -> Graph | None:
    """Return the graph that Variables among these belong to; `None` if all are eager.

    Args:
        saveables: what is saved.
        graph: the graph that it must be, if there is one.

    Raises:
        ValueError: they belong to another graph, or to several.
    """
    for saveable in saveables:
        for spec in saveable.specs:
            cell = spec.tensor.cell if isinstance(spec.tensor, Variable) else None
            if cell is not None and graph is not None and cell.graph is not graph:
                raise ValueError(
                    f"{cell.label} belongs to another graph than the Saver. Make a Saver for each"
                    " graph, inside `with graph.as_default():`."
                )
            graph = graph if cell is None else cell.graph
    return graph


def _named(items: Sequence[Item]) -> list[tuple[str, Item]]:
    """Give every item of a list its name; slices of one tensor come together under one."""
    named: list[tuple[str, Item]] = []
    slices: defaultdict[str, list[Variable]] = defaultdict(list)
    for item in items:
        if isinstance(item, SaveableObject):
            named.append((item.name, item))
        elif isinstance(item, Variable):
            if item.save_slice is None:
                named.append((_name_of(item), item))
            else:
                slices[item.save_slice.full_name].append(item)
        elif isinstance(item, (list, tuple)):
            for part in _checked_slices(item, "a list in var_list"):
                if part.save_slice is not None:
                    slices[part.save_slice.full_name].append(part)
        elif isinstance(item, np.ndarray):
            raise TypeError(
                "an array in var_list has no name. Give a dict: Saver({'weights': array})."
            )
        else:
            raise TypeError(
                f"var_list holds a {type(item).__qualname__}, expected {_EXPECTED}. Objects with"
                " state of their own are saved by Checkpoint, or as SaveableObjects."
            )
    return named + list(slices.items())


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"var_list has the key {name!r}, expected names as strings")
    if not name:
        raise ValueError("var_list has an empty name; give what it is called in the file")
    return name


def _name_of(variable: Variable) -> str:
    if not variable.name:
        raise ValueError(
            f"{variable!r} has no name to be saved under. Make it with name=..., or give a dict of"
            " names to Variables."
        )
    return variable.name


def _checked_slices(items: Sequence[Any], where: str) -> Sequence[Variable]:
    """Return slices of one tensor, having checked that they are."""
    for item in items:
        if not isinstance(item, Variable):
            raise TypeError(
                f"{where} holds a {type(item).__qualname__}, expected the slices of one tensor, as"
                " partitioned_variables() makes them"
            )
        if item.save_slice is None:
            raise ValueError(
                f"{where} holds {item!r}, which is no slice. Give Variables that are whole by"
                " themselves, not in a list."
            )
    wholes = {(s.full_name, s.full_shape): 0 for i in items if (s := i.save_slice) is not None}
    if len(wholes) != 1:
        names = ", ".join(f"{name!r} {shape}" for name, shape in wholes) or "none"
        raise ValueError(f"{where} has slices of {names}, expected those of one tensor")
    return items


def _saveable(name: str, item: Item) -> SaveableObject:
    """Return what saves and restores an item under a name."""
    if isinstance(item, SaveableObject):
        return item
    if isinstance(item, Variable):
        return PlainSaveable(item, [SaveSpec(item, item.save_slice, name)], name)
    if isinstance(item, np.ndarray):
        return PlainSaveable(item, [SaveSpec(item, None, name)], name)
    if isinstance(item, (list, tuple)):
        parts = _checked_slices(item, f"{name!r} in var_list")
        specs = [SaveSpec(part, part.save_slice, name) for part in parts]
        return PlainSaveable(None, specs, name)
    raise TypeError(
        f"{name!r} in var_list is a {type(item).__qualname__}, expected a Variable, an array, a"
        " SaveableObject, or a list of slices"
    )


def _check_things(saveables: Sequence[SaveableObject]) -> None:
    """Refuse the same Variable, array or object twice, be it under one name or two."""
    seen: dict[int, str] = {}
    for saveable in saveables:
        things = [saveable] if saveable.op is None else [saveable.op]
        if isinstance(saveable, PlainSaveable):
            things = [spec.tensor for spec in saveable.specs]
        for thing in things:
            if id(thing) in seen:
                first, second = repr(seen[id(thing)]), repr(saveable.name)
                how = f"to be saved under two names, {first} and {second}"
                if first == second:
                    how = f"given twice, with the name {first}"
                raise ValueError(f"the same {type(thing).__qualname__} is {how}. Give it once.")
            seen[id(thing)] = saveable.name


def _check_names(saveables: Sequence[SaveableObject]) -> None:
    """Refuse a name of two tensors, and of a tensor and slices of one."""
    specs: defaultdict[str, list[SaveSpec]] = defaultdict(list)
    for saveable in saveables:
        for spec in saveable.specs:
            specs[spec.name].append(spec)
    for name, own in specs.items():
        whole = sum(spec.slice_spec is None for spec in own)
        if whole and whole < len(own):
            raise ValueError(
                f"{name!r} is the name of slices and of something whole, mixed. Rename one of them."
            )
        if whole > 1:
            raise ValueError(
                f"{whole} of what is to be saved have the same name {name!r}. Names must be unique:"
                " rename them, or give a dict of names to Variables."
            )
