"""`MetaGraphDef`: the variables, collections and saver of a graph, written down."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, final

import attrs

from checkpointable.format.dtypes import BYTES, PYTHON, STRING, is_dtype_name, item_size
from checkpointable.format.limits import MOST_DIMENSIONS, TENSOR_BYTES
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.names import shorten
from checkpointable.session.graph import SourceLine
from checkpointable.trackable.initializers import normal_shape
from checkpointable.trackable.save_slice import SaveSlice
from checkpointable.version import VERSION

#: Collections that a graph fills itself.
VARIABLES: Final = "variables"
TRAINABLE_VARIABLES: Final = "trainable_variables"

#: The bytes of one element in memory where files have no fixed size: a string of any length.
_UNSIZED_ITEM: Final = 16


def _is_name(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{attribute.name} is {_shown(value)}, expected a text")


def _is_dtype(_: object, __: Any, value: str) -> None:
    if not is_dtype_name(value) or value in {PYTHON, BYTES}:
        raise ValueError(f"{_shown(value)} is no dtype of a variable")


def _is_possible(self: VariableDef, _: object, shape: tuple[int, ...]) -> None:
    """Refuse a shape that no array of the dtype can have."""
    size = _UNSIZED_ITEM if self.dtype == STRING else item_size(self.dtype)
    fits = len(shape) <= MOST_DIMENSIONS and all(n < TENSOR_BYTES for n in shape)
    if not fits or math.prod(max(n, 1) for n in shape) * size >= TENSOR_BYTES:
        raise ValueError(f"{shorten(self.name)}: no {self.dtype} variable has such a shape")


@final
@attrs.frozen
class VariableDef:
    """A variable of a graph, written down.

    Attributes:
        name: its global name.
        dtype: the name of its dtype, such as "float32".
        shape: its shape.
        trainable: the mark for optimizers.
        device: the mark for people.
        save_slice: which part of a larger tensor it is, if it is one.
        created_at: the line that led to it; not in the file, and not compared.
    """

    name: str = attrs.field(validator=_is_name)
    dtype: str = attrs.field(validator=_is_dtype)
    shape: tuple[int, ...] = attrs.field(converter=normal_shape, validator=_is_possible)
    trainable: bool = True
    device: str | None = None
    save_slice: SaveSlice | None = None
    created_at: SourceLine | None = attrs.field(default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        """Refuse a part that does not lie within its whole."""
        if self.save_slice is not None:
            self.save_slice.check_part(self.shape)


@final
@attrs.frozen
class VariableReference:
    """Stands in a described collection for a variable.

    Attributes:
        name: the name of the variable.
    """

    name: str


#: What a described collection holds: variables, savers and plain values.
CollectionItem: TypeAlias = VariableReference | SaverDef | Any


def _tuple(value: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(value)


def _items_of(value: Mapping[str, Sequence[Any]]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(items) for name, items in value.items()}


@final
@attrs.frozen(kw_only=True)
class MetaGraphDef:
    """A graph written down: enough to rebuild its variables, its collections and its saver.

    It is what `export_meta_graph` returns and `import_meta_graph` takes. Operations and values
    are not in it: values are in checkpoints.

    Attributes:
        variables: the variables, in the order in which they were made: records with `name`,
            `dtype`, `shape`, `trainable`, `device`, `save_slice` and `created_at`.
        collections: names and what these collections hold: a `VariableReference(name)` for a
            variable, a `SaverDef` for a saver, and plain values.
        saver_def: the saver, if there is one.
        items: what the saver saves: names in the checkpoint, and for each the name of the variable,
            or the names of those that are its parts.
        left_out: what could not be described, in words.
        tags: marks for people.
        library_version: the version of this library that described it.
        stripped_default_attrs: whether fields at their default are left out of the file.

    Raises:
        ValueError: two variables have one name, a name is of none, or a saver cannot be made.

    Example:
        >>> import checkpointable as ckpt
        >>> with ckpt.Graph().as_default():
        ...     w = ckpt.Variable([1.0, 2.0], name="w")
        ...     described = ckpt.export_meta_graph()
        >>> [(v.name, v.dtype, v.shape) for v in described.variables]
        [('w', 'float64', (2,))]
    """

    variables: tuple[VariableDef, ...] = attrs.field(default=(), converter=_tuple)
    collections: Mapping[str, tuple[CollectionItem, ...]] = attrs.field(
        factory=dict, converter=_items_of
    )
    saver_def: SaverDef | None = None
    items: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=_items_of)
    left_out: tuple[str, ...] = attrs.field(default=(), converter=_tuple)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tuple)
    library_version: str = VERSION
    stripped_default_attrs: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse names that are not unique, or of no variable."""
        known = {variable.name: variable for variable in self.variables}
        if len(known) != len(self.variables):
            raise ValueError("two variables of a meta graph have one name")
        for key, held in self.collections.items():
            for item in held:
                if isinstance(item, VariableReference) and item.name not in known:
                    raise _unknown(f"the collection {shorten(key)!r}", item.name)
                if isinstance(item, SaverDef):
                    check_saver_def(item)
        if self.saver_def is not None:
            check_saver_def(self.saver_def)
        for key, names in self.items.items():
            for name in names:
                if name not in known:
                    raise _unknown(f"the saver's item {shorten(key)!r}", name)
            _check_one_tensor(key, [known[name] for name in names])

    def saved_items(self) -> Mapping[str, tuple[str, ...]]:
        """Return the saver's items; without a saver all variables, parts under one name."""
        if self.saver_def is not None or self.items:
            return self.items
        grouped: dict[str, list[str]] = {}
        for variable in self.variables:
            part = variable.save_slice
            key = variable.name if part is None else part.full_name
            grouped.setdefault(key, []).append(variable.name)
        return {key: tuple(names) for key, names in grouped.items()}


def check_saver_def(saver_def: SaverDef) -> None:
    """Refuse a description of which no saver can be made.

    Raises:
        ValueError: its names are no texts, or what it keeps is no number of at least 0.
    """
    count, hours = saver_def.max_to_keep, saver_def.keep_checkpoint_every_n_hours
    names = saver_def.filename_tensor_name, saver_def.save_tensor_name, saver_def.restore_op_name
    if not all(type(name) is str for name in names) or type(saver_def.sharded) is not bool:
        raise ValueError("the description of a saver has names that are no text")
    if type(count) is not int or count < 0 or type(hours) not in (int, float) or not hours >= 0:
        raise ValueError("the description of a saver keeps no possible number of checkpoints")


def _check_one_tensor(key: str, variables: Sequence[VariableDef]) -> None:
    """Refuse an item of no variable, and one of several that are not parts of one tensor."""
    slices = [variable.save_slice for variable in variables]
    wholes = {None if part is None else part.full_shape for part in slices}
    if not variables or len(wholes) > 1 or (len(variables) > 1 and None in wholes):
        raise ValueError(
            f"the saver's item {shorten(key)!r} is {len(variables)} variables, expected one, or the"
            " parts of one tensor"
        )


def _unknown(where: str, name: object) -> ValueError:
    return ValueError(f"{where} names {_shown(name)}, which is no variable of the meta graph")


def _shown(value: object) -> str:
    return repr(shorten(value)) if isinstance(value, str) and value else f"{type(value).__name__}"
