"""`Trackable`, and the `Variable` that it makes: each needs the other.

A Trackable is an object whose state is saved and restored by the names of its dependencies.
A Variable is one with a value: an array that can be restored into.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import numpy.typing as npt

from checkpointable.names import VARIABLE_VALUE, check_local_name
from checkpointable.trackable import children, waiting
from checkpointable.trackable.array_value import ArrayValue
from checkpointable.trackable.children import ABSENT, Classifier, check_storable
from checkpointable.trackable.declarations import check_declarations
from checkpointable.trackable.generated import (
    check_base_order,
    unwrap_frozen_fields,
    wrap_attrs_class,
    wrap_post_init,
)
from checkpointable.trackable.initializers import (
    Initializer,
    Shape,
    initial_shape,
)
from checkpointable.trackable.tracking import (
    NoDependency,
    Owner,
    Tracking,
    arrived,
    assigned,
    deleted,
    peek_tracking,
    tracking_of,
    unwrapped,
)

__all__ = [
    "NoDependency",
    "Trackable",
    "Tracking",
    "Variable",
    "peek_tracking",
    "tracking_of",
]

_Value = TypeVar("_Value")


class Trackable(Owner):
    """An object with named dependencies: what is saved, and where it is restored.

    Its children are computed from the live object at each save and restore: every attribute that
    is a Trackable, every list, tuple or dict that holds one, whatever the class declares in
    `state_attributes`, and whatever was given to `track`. Subclasses need not call
    `super().__init__()`; dataclasses and attrs classes work, with slots, validators and
    converters too. Objects are told apart by identity, never hashed or compared.

    Not thread-safe: one object is assigned to by one thread at a time.

    Attributes:
        state_attributes: names of attributes that are state though they are not Trackables:
            arrays, numbers, lists ... Those of all base classes count.
        renamed: paths of today, relative to the object, and for each its path in older checkpoints,
            or a tuple of these, newest first. What lies below moves along. Those of all base
            classes count.
        declares_all: whether every attribute is state whose name begins with no underscore.

    Example:
        >>> class Layer(Trackable):
        ...     state_attributes = ("steps",)
        ...
        ...     def __init__(self):
        ...         self.w = self.add_variable("w", (2, 3))
        ...         self.steps = 0
        >>> list(Layer().trackable_children())
        ['w', 'steps']
    """

    __slots__ = ()

    state_attributes: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}
    declares_all: ClassVar[bool] = False

    trackable_children = children.trackable_children

    def serialize_to_tensors(self) -> Mapping[str, npt.ArrayLike | Callable[[], npt.ArrayLike]]:
        """Return values of this object's own, beside its children, by name.

        Override it, together with `restore_from_tensors`, for state that is no attribute. A
        callable is called once per save.

        Returns:
            arrays, or callables that return one; by default none.
        """
        return {}

    def restore_from_tensors(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back the values that `serialize_to_tensors` gave.

        Override it to assign them, and to validate them first: what it raises is passed on.

        Args:
            tensors: new arrays under the names that `serialize_to_tensors` gives.
        """

    def track(self, name: str, value: _Value, *, overwrite: bool = False) -> _Value:
        """Declare a dependency under any name.

        An attribute of the same name is the same edge: `track` declares it, whatever it holds now
        or later, until it is deleted or assigned a `NoDependency`.
        A value that waits for this name in a deferred restore comes in at once.

        Args:
            name: the local name: any text of at most 4 KiB.
            value: a Trackable, an array, a plain value or a container of these.
            overwrite: replace what stands under this name.

        Returns:
            what stands under the name now: the value, or what was restored in its place.

        Raises:
            NotCheckpointableError: the value can never be saved.
            ValueError: another object stands under this name, or it was assigned a `NoDependency`.

        Example:
            >>> model = Trackable()
            >>> model.track("a/b", [1, 2])
            [1, 2]
            >>> dict(model.trackable_children())
            {'a/b': [1, 2]}
        """
        _check_name(self, name)
        _check_free(self, name, value, overwrite)
        return _declare(self, name, value)

    def add_variable(
        self,
        name: str,
        shape: Shape | None = None,
        dtype: npt.DTypeLike = np.float32,
        initializer: Initializer = None,
        *,
        trainable: bool = True,
    ) -> Variable:
        """Create and track a Variable; where a restored value waits for it, take that instead.

        Args:
            name: the local name, also the name of the Variable.
            shape: its shape; by default that of an array-like `initializer`, else `()`.
            dtype: its dtype.
            initializer: `None` or "zeros", "ones", an array-like, or a callable of shape and dtype.
                It is not looked at where a restored value waits for the name.
            trainable: a mark for optimizers.

        Returns:
            the Variable, which has a value. In a graph it has none: the initializer is recorded,
            and so is the restore where a value waits; a callable is run at each initialization.

        Raises:
            ValueError: something stands under this name, or the initializer gives another shape.

        Example:
            >>> model = Trackable()
            >>> model.add_variable("w", (2,), initializer="ones").value
            array([1., 1.], dtype=float32)
        """
        shape = initial_shape(shape, initializer)
        _check_name(self, name)
        _check_free(self, name, None, overwrite=False)
        variable = Variable(shape=shape, dtype=dtype, name=name, trainable=trainable)
        try:
            _declare(self, name, variable)
        finally:  # A restore that fails must not leave a Variable that cannot be read.
            _initialize(self, name, variable, initializer)
        return variable

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, unwrapped(value))
        assigned(self, name, value)

    def __delattr__(self, name: str) -> None:
        was_declared = deleted(self, name)
        if not was_declared or children.stored_attribute(self, name) is not ABSENT:
            super().__delattr__(name)

    def __post_init__(self, *_: Any) -> None:
        """Complete a dataclass: what a frozen one stored as `NoDependency` is unwrapped."""
        unwrap_frozen_fields(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_declarations(cls)
        check_base_order(cls)
        wrap_post_init(cls)

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Let the methods that attrs has just generated for this class track what they store."""
        wrap_attrs_class(cls)


class Variable(ArrayValue, Trackable):
    """An array that can be saved, and restored into in place.

    It behaves in numpy expressions as its `value`; in-place operators and item assignment change
    that very array. The array is owned, writable, C-contiguous and of native byte order.
    A Variable that nothing has restored yet lets waiting values come in before it is read or
    written, so it is never seen unrestored. `==` is elementwise; the hash is the identity.

    One that is made while a `Graph` is the default is recorded there: it has an `initializer` and
    no value of its own, but one in each `Session`; its name is made unique. Reading it raises.

    Not thread-safe: one thread at a time writes to it.

    Args:
        initial_value: an array-like, or a callable that returns one, called at once. Without one,
            `shape` is needed: the Variable has no value then, and reading it raises.
        dtype: by default that of the initial value; float32 where there is only a shape.
        shape: the shape, where there is no initial value; else it is compared with that.
        name: a global name, for name-based checkpoints.
        trainable: a mark for optimizers.
        device: a mark for people; a numpy array is in main memory. In a graph, by default that of
            `Graph.device`.

    Raises:
        NotCheckpointableError: values of this dtype cannot be stored.
        ValueError: neither a value nor a shape is given, or they differ.

    Example:
        >>> w = Variable([1.0, 2.0], name="w")
        >>> w += 1
        >>> w.value, (w * 2)[0].item()
        (array([2., 3.]), 4.0)
    """

    __slots__ = ()

    def trackable_children(self) -> Mapping[str, object]:
        """Return no children: attributes of a Variable are not tracked."""
        return {}

    def serialize_to_tensors(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the value."""
        return {VARIABLE_VALUE: self.value}

    def restore_from_tensors(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Assign the value."""
        self.assign(tensors[VARIABLE_VALUE])

    # Nothing waits for the attributes of a Variable.
    __setattr__ = object.__setattr__  # type: ignore[assignment]

    def __copy__(self) -> Variable:
        return copy.deepcopy(self)


def _check_name(owner: Trackable, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{_where(owner)}: a local name is {name!r}, expected a string")
    check_local_name(name, _where(owner))


def _check_free(owner: Trackable, name: str, value: object, overwrite: bool) -> None:
    """Refuse a value that can never be saved, or a name that leads to something else."""
    classifier = Classifier()
    check_storable(classifier, name, value)
    tracking = peek_tracking(owner)
    if tracking is not None and name in tracking.untracked:
        raise ValueError(
            f"{_where(owner)}: {name!r} was assigned a NoDependency. Delete that attribute first."
        )
    present = classifier.peek(owner, name)
    if not overwrite and present is not value and present is not ABSENT and present is not None:
        raise ValueError(
            f"{_where(owner)}: a {type(present).__name__} stands under the name {name!r} already."
            " Choose another name, or use track(..., overwrite=True)."
        )


def _declare(owner: Trackable, name: str, value: _Value) -> _Value:
    """Declare what was checked, and return what stands under the name then."""
    declared = tracking_of(owner).declared
    declared[name] = value
    held = children.stored_attribute(owner, name)
    if held is not ABSENT and held is not value:
        setattr(owner, name, value)
    elif waiting.anything():
        arrived(owner, name, value)
    return cast(_Value, declared.get(name, value))


def _initialize(owner: Trackable, name: str, variable: Variable, initializer: Initializer) -> None:
    """Give a new Variable its first value; if that fails, nothing stands under its name."""
    try:
        variable.initialize_with(initializer)
    except BaseException:
        if children.stored_attribute(owner, name) is variable:
            setattr(owner, name, None)  # as it was: nothing else could be there
        deleted(owner, name)
        raise


def _where(owner: Trackable) -> str:
    return f"a {type(owner).__qualname__}"
