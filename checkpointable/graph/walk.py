"""The walk: every object that can be reached from a root, breadth-first, each once.

Shared objects are recognised by identity; plain values and numpy scalars are never shared. There
is no recursion, and memory grows linearly with the number of objects, however deep they lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import attrs

from checkpointable.errors import NotCheckpointableError
from checkpointable.format.records import Slot
from checkpointable.names import Paths, check_local_name, escape, join_all, shorten
from checkpointable.trackable.base import Trackable
from checkpointable.trackable.children import (
    Classifier,
    Kind,
    PassedOver,
    container_kind,
    type_name,
)
from checkpointable.trackable.registry import adapter_of
from checkpointable.trackable.slots import SlotTrackable, slots_of

_TRACKABLE: Final = Kind.TRACKABLE
_PLAIN: Final = Kind.PLAIN
_SCALAR: Final = Kind.SCALAR
_ARRAY: Final = Kind.ARRAY
_LIST: Final = Kind.LIST
_TUPLE: Final = Kind.TUPLE
_UNSUPPORTED: Final = Kind.UNSUPPORTED
_ADAPTED: Final = Kind.ADAPTED

Key = str | int


@attrs.frozen(slots=True)
class Untracked:
    """Something that is no part of the object graph.

    Attributes:
        path: where it stands, from the root.
        type: its type.
        reason: why it was passed over, and what to do if it is state.
    """

    path: str
    type: str
    reason: str


@attrs.define(slots=True)
class Omission:
    """A value that the walk passed over.

    Attributes:
        node: the node that holds it.
        name: the attribute, position or key under which it stands there.
        value: the value.
        reason: why, if not simply because nothing declares it.
        declared: whether it stands where all that is found is state.
    """

    node: int
    name: Key
    value: Any
    reason: str | None = None
    declared: bool = False


@attrs.define(slots=False, eq=False)
class Walk:
    """What a walk found; node 0 is the root, each node's children have higher numbers or were met.

    Attributes:
        objects: the object, container or value of each node.
        kinds: of what kind it is.
        children: its children: name or key or position, and node.
        places: how many places a list or tuple has, where not all of them are children.
        omissions: what is no part of the graph, and what should be but cannot be stored.
        classifier: what it learned about types and containers.
        slots: the slot variables of pairs of optimizer and variable that were both found. Those
            that nothing else leads to come last among the nodes.
    """

    objects: list[Any]
    kinds: list[Kind]
    children: list[Sequence[tuple[Key, int]]] = attrs.field(factory=list)
    places: dict[int, int] = attrs.field(factory=dict)
    omissions: list[Omission] = attrs.field(factory=list)
    classifier: Classifier = attrs.field(factory=Classifier)
    slots: list[Slot] = attrs.field(factory=list)
    _numbers: dict[int, int] = attrs.field(factory=dict)
    _parents: list[int] = attrs.field(factory=lambda: [0])
    _names: list[Key] = attrs.field(factory=lambda: [""])

    def number(self, obj: object) -> int | None:
        """Return the node of an object, array or container; `None` if the walk did not meet it."""
        return self._numbers.get(id(obj))

    @cached_property
    def paths(self) -> Paths:
        """The first path to each node, under its number."""
        paths = Paths()
        for parent, name in zip(self._parents[1:], self._names[1:], strict=True):
            paths.add(parent, str(name))
        for slot in self.slots:
            if slot.slot_variable == len(paths):
                paths.add_slot(slot.variable, slot.optimizer, slot.slot_name)
        return paths

    def path_of(self, omission: Omission) -> str:
        """Return the path of something that was passed over, as reports show it."""
        return _below(self.paths.full(omission.node), (str(omission.name),))

    def owner_of(self, omission: Omission) -> tuple[Any, tuple[str, ...]]:
        """Return the nearest object above something passed over, and the names from there on."""
        node = omission.node
        if node and self.kinds[node] is not _TRACKABLE:
            owner, names = self.place_of(node)
            return owner, (*names, str(omission.name))
        return self.objects[node], (str(omission.name),)

    def place_of(self, node: int) -> tuple[Any, tuple[str, ...]]:
        """Return the nearest object above a node, and the names from there on."""
        names = [str(self._names[node])]
        node = self._parents[node]
        while node and self.kinds[node] is not _TRACKABLE:
            names.insert(0, str(self._names[node]))
            node = self._parents[node]
        return self.objects[node], tuple(names)

    def is_in_foreign(self, node: int) -> bool:
        """Tell whether an object of a foreign type holds a node, directly or in containers."""
        node = self._parents[node]
        while node and self.kinds[node] is not _TRACKABLE and self.kinds[node] is not _ADAPTED:
            node = self._parents[node]
        return self.kinds[node] is _ADAPTED

    @property
    def untracked(self) -> list[Untracked]:
        """Everything that is no part of the graph, with the reason."""
        return [
            Untracked(self.path_of(omission), type_name(omission.value), self._reason(omission))
            for omission in self.omissions
        ]

    def refuse_unsupported(self) -> None:
        """Raise if something that was declared to be state cannot be stored.

        Raises:
            NotCheckpointableError: the first such value, with its path, type and remedy.
        """
        for omission in self.omissions:
            if omission.declared:
                raise self._refusal(omission)

    def _refusal(self, omission: Omission) -> NotCheckpointableError:
        trail: tuple[str, ...] = ()
        of_type, reason = type_name(omission.value), omission.reason
        if reason is None:
            refusal = self.classifier.refusal(omission.value)
            trail, of_type, reason = refusal.trail, refusal.type, refusal.reason
        path = _below(self.paths.full(omission.node), (str(omission.name), *trail))
        return NotCheckpointableError(f"{path} is a {of_type}: {reason}.", path=path)

    def _reason(self, omission: Omission) -> str:
        if omission.reason is not None:
            return omission.reason
        if self.classifier.kind(omission.value) is not _UNSUPPORTED:
            return "nothing declares it (state_attributes, tracked() or track())"
        return self.classifier.refusal(omission.value).reason


def walk(root: object, attached: Sequence[tuple[str, object]] = ()) -> Walk:
    """Find everything that can be reached from a root.

    What cannot be stored is passed over and listed; `Walk.refuse_unsupported` raises where it was
    declared.

    Args:
        root: a `Trackable`, list, tuple, dict or adapted object.
        attached: further named edges of the root, after its own.

    Returns:
        the nodes, in the order in which a breadth-first walk meets them.

    Raises:
        NotCheckpointableError: the root is none of these, a name is too long, or two keys of a
            dict have one name.
        ValueError: an attached name leads to another object in the root.
    """
    found = Walk([root], [_root_kind(root)])
    doubtful = _explore(found, attached)
    if doubtful:
        _mark_declared(found, doubtful, attached)
    return found


def _explore(found: Walk, attached: Sequence[tuple[str, object]]) -> list[Omission]:
    """Fill in the walk from node 0 on; return the omissions in containers, declared or not."""
    objects, kinds, parents, names = found.objects, found.kinds, found._parents, found._names
    numbers = found._numbers = {id(objects[0]): 0}
    classifier = found.classifier
    kind_of, children_of, items_of = classifier.kind, classifier.children, classifier.items
    checked: set[str] = set()
    doubtful: list[Omission] = []
    passed: list[PassedOver] = []
    for node, obj in enumerate(objects):  # It grows meanwhile.
        kind = kinds[node]
        if kind is _PLAIN or kind is _ARRAY or kind is _SCALAR:
            found.children.append(())
            continue
        is_object = kind is _TRACKABLE
        try:
            pairs = children_of(obj, passed) if is_object else items_of(obj, passed)
        except NotCheckpointableError as error:
            raise _at(found, node, error) from None
        except Exception as error:  # of the user's class, or of an adapter
            error.add_note(f"while looking for the children of {found.paths.shown(node)}")
            raise
        if passed:
            (found.omissions if is_object else doubtful).extend(Omission(node, *p) for p in passed)
            passed.clear()
        if node == 0 and attached:
            pairs = _with_attached(pairs, attached)
        edges = []
        for name, value in pairs:
            child_kind = kind_of(value)
            if child_kind is _UNSUPPORTED:
                doubtful.append(Omission(node, name, value, None, is_object or node == 0))
                continue
            is_shared = child_kind is not _PLAIN and child_kind is not _SCALAR
            child = numbers.get(id(value)) if is_shared else None
            if child is None:
                child = len(objects)
                objects.append(value)
                kinds.append(child_kind)
                parents.append(node)
                names.append(name)
                if is_shared:
                    numbers[id(value)] = child
            if type(name) is str and name not in checked:
                _check_name(found, node, name)
                checked.add(name)
            edges.append((name, child))
        if len(edges) < len(pairs) and (kind is _LIST or kind is _TUPLE):
            found.places[node] = len(obj)
        found.children.append(edges)
    _add_slots(found)
    return doubtful


def _add_slots(found: Walk) -> None:
    """Add the slot variables of what was found, by optimizer, then by name, then by variable."""
    optimizers = {cls for cls in set(map(type, found.objects)) if issubclass(cls, SlotTrackable)}
    if not optimizers:
        return
    objects, numbers = found.objects, found._numbers
    count = len(objects)
    for optimizer, obj in enumerate(objects[:]):
        table = slots_of(obj) if type(obj) in optimizers else None
        if table is None:
            continue
        rows = [(numbers.get(id(variable), count), slots) for variable, slots in table.rows()]
        # A slot variable that nothing else leads to has no slots itself.
        reached = sorted((row for row in rows if row[0] < count), key=lambda row: row[0])
        for name in table.names():
            for variable, slots in reached:
                if name in slots:
                    node = numbers.setdefault(id(slots[name]), len(objects))
                    if node == len(objects):
                        objects.append(slots[name])
                        found.kinds.append(_TRACKABLE)
                        found.children.append(())
                    found.slots.append(Slot(optimizer, variable, name, node))


def _at(found: Walk, node: int, error: NotCheckpointableError) -> NotCheckpointableError:
    """Return an error with the path of the node that it is about."""
    path = found.paths.full(node)
    return NotCheckpointableError(f"{shorten(path)}: {error.message}", path=path)


def _with_attached(
    pairs: Iterable[tuple[Key, Any]], attached: Sequence[tuple[str, object]]
) -> list[tuple[Key, Any]]:
    """Return the children of the root and the attached ones; a name leads to one object."""
    own = {str(name): value for name, value in pairs}
    merged = list(pairs)
    for name, value in attached:
        if name not in own:
            own[name] = value
            merged.append((name, value))
        elif own[name] is not value:
            raise ValueError(
                f"{escape(name)}: the root has a {type_name(own[name])} under this name, so that"
                f" a {type_name(value)} cannot be attached under it. Choose another name."
            )
    return merged


def _mark_declared(
    found: Walk, doubtful: list[Omission], attached: Sequence[tuple[str, object]]
) -> None:
    """Settle which omissions stand in containers that are state through and through."""
    state = {0}
    for node, obj in enumerate(found.objects):
        if found.kinds[node] is _TRACKABLE:
            declared = found.classifier.declared(obj)
            state.update(child for name, child in found.children[node] if name in declared)
    state.update(found._numbers[id(v)] for _, v in attached if id(v) in found._numbers)
    open_nodes = [n for n in state if found.kinds[n] is not _TRACKABLE]
    while open_nodes:
        for _, child in found.children[open_nodes.pop()]:
            if child not in state and found.kinds[child] is not _TRACKABLE:
                state.add(child)
                open_nodes.append(child)
    for omission in doubtful:
        omission.declared |= omission.node in state
    found.omissions.extend(doubtful)


def _check_name(found: Walk, node: int, name: str) -> None:
    """Refuse a name that no checkpoint can hold; its path is only made for the error."""
    try:
        check_local_name(name, "")
    except NotCheckpointableError:
        check_local_name(name, found.paths.full(node))


def _root_kind(root: object) -> Kind:
    if isinstance(root, Trackable):
        return _TRACKABLE
    if isinstance(root, (list, tuple, dict)) or adapter_of(root) is not None:
        return container_kind(root)
    raise NotCheckpointableError(
        f"the root is a {type_name(root)}, expected a Trackable, a list, a tuple, a dict, or an"
        " object of an adapted type. Give other values by name: Checkpoint(value=value)."
    )


def _below(path: str, names: Iterable[str]) -> str:
    return shorten(join_all(names, path))
