"""Describes a graph: its variables, collections and saver, as a `MetaGraphDef`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.dtypes import dtype_name
from checkpointable.format.values import decode_value, encode_value
from checkpointable.name_based.meta_graph import (
    VARIABLES,
    CollectionItem,
    MetaGraphDef,
    VariableDef,
    VariableReference,
    check_saver_def,
)
from checkpointable.name_based.saveable import PlainSaveable, SaveableObject
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.names import shorten
from checkpointable.session.graph import Graph, Operation
from checkpointable.trackable.base import Variable


def describe_graph(
    graph: Graph,
    *,
    saver_def: SaverDef | None = None,
    items: Mapping[str, Sequence[str]] | None = None,
    collection_list: Sequence[str] | None = None,
    export_scope: str | None = None,
    clear_devices: bool = False,
    clear_extraneous_savers: bool = False,
    strip_default_attrs: bool = False,
    tags: Iterable[str] = (),
) -> MetaGraphDef:
    """Describe a graph; what cannot be described is left out and listed in the record.

    Args:
        graph: the graph; nothing is added to it.
        saver_def: the saver that is described with it.
        items: what that saver saves: names in the checkpoint, and the names of the variables.
        collection_list: describe only these collections; the variables themselves always are.
        export_scope: describe only variables under this name scope, and take it off their names.
        clear_devices: leave out where variables are.
        clear_extraneous_savers: leave other savers than this one out of the collections.
        strip_default_attrs: leave fields at their default out of the file.
        tags: marks for people.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no such scope in the graph.
    """
    _check_types(graph, saver_def, collection_list, export_scope)
    scope = _scope_of(graph, export_scope)
    variables = _Variables(graph, scope, clear_devices)
    left_out: list[str] = []
    kept = _items_in(items or {}, variables, left_out)
    # A saver of which nothing is under the scope is not exported either.
    has_saver = saver_def is not None and (kept or not items)
    described = scope.without(saver_def) if saver_def is not None and has_saver else None
    savers = _Savers(scope, saver_def, described, clear_extraneous_savers)
    keys = graph.get_all_collection_keys() if collection_list is None else collection_list
    collections = {
        key: _describe_collection(graph, key, variables, savers, left_out)
        for key in _names_among(keys, left_out)
    }
    return MetaGraphDef(
        variables=variables.described,
        collections={key: held for key, held in collections.items() if held},
        saver_def=described,
        items=kept,
        left_out=left_out,
        tags=tags,
        stripped_default_attrs=strip_default_attrs,
    )


@attrs.frozen
class _Scope:
    """The name scope that is exported.

    Attributes:
        prefix: what names under it begin with; empty: all names are.
    """

    prefix: str

    def holds(self, name: str) -> bool:
        """Tell whether a name is under the scope."""
        return name.startswith(self.prefix) and name != self.prefix

    def relative(self, name: str) -> str:
        """Return a name without the scope; one that is not under it as it is."""
        return name[len(self.prefix) :] if self.holds(name) else name

    def without(self, saver_def: SaverDef) -> SaverDef:
        """Return a description of a saver whose names are without the scope."""
        return attrs.evolve(
            saver_def,
            filename_tensor_name=self.relative(saver_def.filename_tensor_name),
            save_tensor_name=self.relative(saver_def.save_tensor_name),
            restore_op_name=self.relative(saver_def.restore_op_name),
        )


def _scope_of(graph: Graph, export_scope: str | None) -> _Scope:
    """Return the scope that is asked for, which must be one of the graph."""
    name = (export_scope or "").rstrip("/")
    prefix = f"{name}/" if name else ""
    held = graph.get_collection(VARIABLES)
    names = (str(variable.name) for variable in held if isinstance(variable, Variable))
    if name and not graph.has_name(name) and not any(n.startswith(prefix) for n in names):
        raise ValueError(
            f"export_scope is {shorten(name)!r}, and nothing in the graph has a name under it."
            " Give the whole scope, as `with graph.name_scope(...) as scope:` does."
        )
    return _Scope(prefix)


@attrs.frozen
class _Savers:
    """How savers in collections are described.

    Attributes:
        scope: the scope that is exported.
        own: the saver that is described with the graph, and
        described: its description; `None`: it is left out.
        only: whether all others are left out.
    """

    scope: _Scope
    own: SaverDef | None
    described: SaverDef | None
    only: bool

    def describe(self, found: SaverDef) -> list[SaverDef]:
        """Return the description of a saver, unless it is left out."""
        if found == self.own:
            return [] if self.described is None else [self.described]
        outside = None if self.only else found.outside(self.scope.prefix)
        return [] if outside is None else [outside]


class _Variables:
    """The variables of a graph: those that are described, and how each is called there."""

    def __init__(self, graph: Graph, scope: _Scope, clear_devices: bool) -> None:
        self.described: list[VariableDef] = []
        #: By identity. `None`: it is not under the scope.
        self._references: dict[int, str | None] = {}
        #: By the name in the graph.
        self.names: dict[str, str | None] = {}
        for variable in graph.get_collection(VARIABLES):
            if not isinstance(variable, Variable) or id(variable) in self._references:
                continue
            if variable.cell is None or variable.cell.graph is not graph:
                continue
            name = variable.cell.name
            new = scope.relative(name) if scope.holds(name) else None
            self._references[id(variable)] = self.names[name] = new
            if new is not None:
                device = None if clear_devices else variable.device
                self.described.append(_describe_variable(variable, new, device, scope))

    def knows(self, value: object) -> bool:
        """Tell whether a value is a variable of the graph."""
        return id(value) in self._references

    def reference(self, value: object) -> str | None:
        """Return the name of a variable of the graph; `None` if it is not under the scope."""
        return self._references[id(value)]


def _describe_variable(variable: Variable, name: str, device: object, scope: _Scope) -> VariableDef:
    part = variable.save_slice
    if part is not None:
        part = attrs.evolve(part, full_name=scope.relative(part.full_name))
    return VariableDef(
        name=name,
        dtype=dtype_name(variable.dtype),
        shape=variable.shape,
        trainable=variable.trainable,
        device=None if device is None else str(device),
        save_slice=part,
        created_at=variable.initializer.created_at,
    )


def _names_among(keys: Iterable[Any], left_out: list[str]) -> list[str]:
    """Return the names of collections that are texts; the others are left out."""
    found = []
    for key in keys:
        if isinstance(key, str):
            found.append(key)
        else:
            left_out.append(f"a collection named by a {type(key).__qualname__}")
    return found


def _describe_collection(
    graph: Graph, key: str, variables: _Variables, savers: _Savers, left_out: list[str]
) -> tuple[CollectionItem, ...]:
    """Describe what a collection holds, as far as it can be."""
    found: list[CollectionItem] = []
    for value in graph.get_collection(key):
        if variables.knows(value):
            name = variables.reference(value)
            found += [] if name is None else [VariableReference(name)]
            continue
        try:
            saver_def = _saver_of(value)
            found += [exact_copy(value)] if saver_def is None else savers.describe(saver_def)
        except (NotCheckpointableError, ValueError):
            left_out.append(f"in the collection {shorten(key)!r}: {_spelled(value)}")
    return tuple(found)


def items_of(saveables: Iterable[SaveableObject]) -> dict[str, list[str]]:
    """Return what a saver saves as `describe_graph` takes it: Variables of graphs by their names.

    A name has no Variables if what is saved there is something else, which cannot be described.
    """
    items: dict[str, list[str]] = {}
    for saveable in saveables:
        for spec in saveable.specs:
            names = items.setdefault(spec.name, [])
            cell = spec.tensor.cell if isinstance(spec.tensor, Variable) else None
            if isinstance(saveable, PlainSaveable) and cell is not None:
                names.append(cell.name)
    return items


def exact_copy(value: Any) -> Any:
    """Return a copy of a plain value, which later changes of the value do not reach.

    Raises:
        NotCheckpointableError: it is no plain value.
    """
    return decode_value(encode_value(value))


def _saver_of(value: object) -> SaverDef | None:
    """Return the description of a saver, if this is one or its description.

    Raises:
        ValueError: it was not built yet, or is no possible description.
    """
    describe = getattr(type(value), "as_saver_def", None)
    try:
        found = describe(value) if callable(describe) else value
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, SaverDef):
        return None
    check_saver_def(found)
    return found


def _items_in(
    items: Mapping[str, Sequence[str]], variables: _Variables, left_out: list[str]
) -> dict[str, list[str]]:
    """Return the items whose variables are all described, with their names there."""
    kept = {}
    for key, names in items.items():
        unknown = [name for name in names if name not in variables.names]
        described = [new for n in names if (new := variables.names.get(n)) is not None]
        if unknown or not names:
            what = repr(shorten(unknown[0])) if unknown else "what it saves"
            left_out.append(
                f"the saver's item {shorten(key)!r}: {what} is no variable of the graph"
            )
        elif len(described) == len(names):
            kept[key] = described
    return kept


def _spelled(value: object) -> str:
    if isinstance(value, Operation):
        return f"the operation {shorten(value.name)!r}"
    return f"a {type(value).__qualname__}"


def _check_types(graph: Any, saver_def: Any, collection_list: Any, export_scope: Any) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(f"graph is a {type(graph).__qualname__}, expected a Graph")
    if saver_def is not None and not isinstance(saver_def, SaverDef):
        raise TypeError(f"saver_def is a {type(saver_def).__qualname__}, expected a SaverDef")
    if isinstance(collection_list, str):
        raise TypeError(f"collection_list is {collection_list!r}, expected a list of names")
    if export_scope is not None and not isinstance(export_scope, str):
        raise TypeError(f"export_scope is {export_scope!r}, expected a name scope")
