"""`SaveableObject` and `SaveSpec`: what a name-based saver saves, and how it is restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from checkpointable.session.graph import Operation
from checkpointable.session.session import get_default_session
from checkpointable.trackable.base import Variable
from checkpointable.trackable.save_slice import SaveSlice

_Array: TypeAlias = npt.NDArray[Any]
#: Where the value of a spec comes from.
SpecTensor: TypeAlias = Variable | Operation | npt.ArrayLike | Callable[[], npt.ArrayLike]


def _slice(spec: SaveSlice | str | None) -> SaveSlice | None:
    """Bring a slice spec to a slice; the empty text means the whole tensor, as `None` does."""
    if spec is None or isinstance(spec, SaveSlice):
        return spec
    if spec == "":
        return None
    raise TypeError(f"slice_spec is {spec!r}, expected a SaveSlice, or '' for the whole tensor")


def _name(_: object, __: Any, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a SaveSpec is {name!r}, expected a string")
    if not name:
        raise ValueError("the name of a SaveSpec is empty; give what it is called in the file")


@attrs.frozen(eq=False)
class SaveSpec:
    """One tensor of a checkpoint, or a slice of one, and where its value comes from.

    Attributes:
        tensor: a Variable, an array, or a callable that returns an array at each save. In a graph
            also an operation, which is run.
        slice_spec: which part of the tensor it is; `None` or the empty text: all of it.
        name: the name of the tensor in the checkpoint.
        dtype: its dtype in the checkpoint; by default that of the value.
        device: with a sharded saver, specs of one device share a shard; by default that of the
            Variable.

    Example:
        >>> spec = SaveSpec(lambda: [1, 2], "", "numbers")
        >>> spec.value()
        array([1, 2])
    """

    tensor: SpecTensor
    slice_spec: SaveSlice | None = attrs.field(converter=_slice)
    name: str = attrs.field(validator=_name)
    dtype: np.dtype[Any] | None = attrs.field(
        default=None, converter=attrs.converters.optional(np.dtype)
    )
    device: str | None = None

    def value(self) -> _Array:
        """Return the array to be saved; Variables of a graph are read in the default session.

        Raises:
            RuntimeError: it has none, or there is no session.
        """
        tensor = self.tensor
        if isinstance(tensor, Variable):
            return tensor.storage_array()
        if isinstance(tensor, Operation):
            session = get_default_session()
            if session is None:
                raise RuntimeError(f"{self.name}: {tensor!r} is run in a session; there is none.")
            return np.asarray(session.run(tensor), self.dtype)
        return np.asarray(tensor() if callable(tensor) else tensor, self.dtype)

    @property
    def shard_device(self) -> str:
        """The device that decides about its shard; the empty text: none."""
        own = self.tensor.device if isinstance(self.tensor, Variable) else None
        return self.device or own or ""


class SaveableObject:
    """Something that a name-based saver saves as one or several tensors, and restores by itself.

    Subclass it for state that is neither a Variable nor an array: give `__init__` the specs of
    its tensors, and override `restore`. Variables and arrays need none; a `Saver` takes them.

    Args:
        op: what it stands for; a saver takes each only once.
        specs: its tensors.
        name: how messages call it.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> class Words(ckpt.SaveableObject):
        ...     def __init__(self, words):
        ...         spec = ckpt.SaveSpec(lambda: sorted(words), "", "words")
        ...         super().__init__(words, [spec], "words")
        ...
        ...     def restore(self, restored_tensors, restored_shapes):
        ...         self.op.clear()
        ...         self.op.update(restored_tensors[0].tolist())
        >>> words = {"red", "green"}
        >>> saver = ckpt.Saver([Words(words)])
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = saver.save(None, directory + "/model")
        ...     words.add("blue")
        ...     saver.restore(None, path)
        >>> sorted(words)
        ['green', 'red']
    """

    def __init__(self, op: Any, specs: Sequence[SaveSpec], name: str) -> None:
        self.op = op
        self.specs = list(specs)
        self.name = name

    @property
    def device(self) -> str | None:
        """The device of its first tensor."""
        return self.specs[0].shard_device or None if self.specs else None

    def restore(
        self,
        restored_tensors: Sequence[_Array],
        restored_shapes: Sequence[tuple[int, ...]] | None,
    ) -> Any:
        """Take back what was saved. Override it.

        It is called at each restore, after all names and dtypes have been found right and all data
        has been read. Other shapes than the present ones are its own affair. In a graph it is
        called with the session as the default one.

        Args:
            restored_tensors: new arrays, one for each spec.
            restored_shapes: with `reshape=True`, the present shapes of the specs, else `None`.

        Returns:
            in a graph perhaps an `Operation`, recorded beforehand, which is then run in the
            session; anything else is ignored.

        Raises:
            NotImplementedError: it is not overridden.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} is restored by its method restore(), which it does not"
            " override."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} {self.name!r}>"


class PlainSaveable(SaveableObject):
    """A Variable, an array, or slices of one tensor: restored straight into where they are."""
