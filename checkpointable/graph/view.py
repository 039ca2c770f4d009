"""A look at the graph of live objects: what a save would write, and what it would pass over."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, Final, final

import numpy as np

from checkpointable.errors import UndeclaredStateWarning, warn
from checkpointable.graph.walk import Omission, Untracked, Walk, walk
from checkpointable.names import join_all
from checkpointable.plain import PLAIN_CONTAINERS, PLAIN_SCALARS
from checkpointable.trackable.base import Trackable
from checkpointable.trackable.children import Classifier, type_name
from checkpointable.trackable.contents import raw_values
from checkpointable.trackable.registry import (
    adapted_children,
    adapter_of,
    is_plain_dataclass,
)
from checkpointable.trackable.state import PythonState

#: The classes that were warned about.
_warned: Final[weakref.WeakSet[type[Any]]] = weakref.WeakSet()

#: Tensors, modules and the like of other frameworks, told by name: none is imported here.
_FRAMEWORKS: Final = frozenset({"flax", "jax", "jaxlib", "keras", "tensorflow", "torch"})
_FRAMEWORK_STATE: Final = frozenset(
    {
        "Array",
        "ArrayImpl",
        "Generator",
        "Layer",
        "Model",
        "Module",
        "Optimizer",
        "PRNGKeyArray",
        "Tensor",
        "Variable",
    }
)


@final
class TrackableView:
    """The object graph of a live root, as a save would see it at this moment.

    Nothing is remembered: each call looks at the objects as they are then. Not thread-safe.

    Args:
        root: a Trackable, a list, a tuple, a dict or an object of an adapted type.

    Example:
        >>> from checkpointable.trackable.base import Variable
        >>> class Model(Trackable):
        ...     def __init__(self):
        ...         self.w = Variable(1.0)
        ...         self.rate = 0.1
        >>> view = TrackableView(Model())
        >>> list(view.children(view.root)), len(view.descendants())
        (['w'], 2)
        >>> [(u.path, u.type) for u in view.untracked()]
        [('rate', 'float')]
    """

    def __init__(self, root: Any) -> None:
        self.root = root

    def children(self, obj: Any) -> dict[str, Any]:
        """Return the children of an object or container by local name; values have none."""
        classifier = Classifier()
        if isinstance(obj, Trackable):
            return dict(classifier.children(obj))
        if isinstance(obj, (list, tuple, dict)) or adapter_of(obj) is not None:
            return {str(name): value for name, value in classifier.items(obj)}
        return {}

    def descendants(self) -> list[Any]:
        """Return the root and whatever is reached from it, breadth-first, shared objects once.

        Raises:
            NotCheckpointableError: the root is nothing that can be saved.
        """
        return list(walk(self.root).objects)

    def untracked(self) -> list[Untracked]:
        """Return what a save would pass over or refuse: path, type, and the reason."""
        return walk(self.root).untracked


def warn_undeclared(found: Walk) -> None:
    """Warn, once for each class, of attributes that look like state and were passed over.

    Names that begin with `_`, and classes that serialize themselves, draw no warning.

    Args:
        found: what was found, and what was passed over.
    """
    suspects: dict[type[Any], dict[str, str]] = {}
    for omission in found.omissions:
        owner, names = found.owner_of(omission)
        if _is_suspect(found, omission, owner, names[0]):
            attributes = suspects.setdefault(type(owner), {})
            attributes[join_all(names)] = type_name(omission.value)
    for cls, attributes in suspects.items():
        _warned.add(cls)
        listed = ", ".join(f"{name} ({of_type})" for name, of_type in sorted(attributes.items()))
        warn(
            f"{cls.__qualname__}: not saved, because nothing declares it: {listed}. If this is"
            " state, name it in state_attributes (attrs classes: tracked()), or hold arrays in"
            " Variables. If it is not, assign NoDependency(x), or begin its name with _.",
            UndeclaredStateWarning,
        )


def _is_suspect(found: Walk, omission: Omission, owner: Any, name: str) -> bool:
    if type(omission.value) in PLAIN_SCALARS or name.startswith("_") or omission.declared:
        return False
    if not isinstance(owner, Trackable) or isinstance(owner, PythonState):
        return False
    if type(owner) in _warned:
        return False
    serializes_itself = type(owner).serialize_to_tensors is not Trackable.serialize_to_tensors
    return not serializes_itself and _looks_like_state(found, omission.value)


def _looks_like_state(found: Walk, value: object) -> bool:
    if _is_state_type(type(value)):
        return True
    if isinstance(value, PLAIN_CONTAINERS) and found.classifier.holds_array(value):
        return True
    return any(_is_state_type(cls) for cls in set(map(type, _members(value))))


def _members(value: object) -> Iterable[object]:
    if is_plain_dataclass(type(value)):
        return [child for _, child in adapted_children(value)]
    return raw_values(value) if isinstance(value, PLAIN_CONTAINERS) else ()


def _is_state_type(cls: type[Any]) -> bool:
    if issubclass(cls, (np.ndarray, np.random.BitGenerator, Trackable)):
        return True
    return any(
        base.__name__ in _FRAMEWORK_STATE and base.__module__.partition(".")[0] in _FRAMEWORKS
        for base in cls.__mro__
    )
