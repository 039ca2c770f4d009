"""The mark by which a manager knows its own checkpoints: one key in their metadata."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np

from checkpointable.errors import CheckpointError
from checkpointable.interop.opening import summarize
from checkpointable.storage.base import Storage

#: The key in the metadata of a checkpoint that a manager saved; users may not use it.
STAMP_KEY: Final = "checkpointable.manager"


@attrs.frozen
class Stamp:
    """What a manager writes into the metadata of a checkpoint.

    Attributes:
        name: the manager's `checkpoint_name`.
        time: when the save began, by the manager's clock, in seconds since 1970.
        step: the value of its step counter, if it has one.
        metrics: what the caller of `save` said of this checkpoint.
    """

    name: str
    time: float
    step: int | None
    metrics: Mapping[str, float]


def stamped(metadata: Mapping[str, Any] | None, stamp: Stamp) -> dict[str, Any]:
    """Return the user's metadata with the stamp.

    Raises:
        ValueError: the user's metadata use the key of the stamp.
    """
    refuse_stamp(metadata)
    content = attrs.asdict(stamp, recurse=False)
    return {**(metadata or {}), STAMP_KEY: {**content, "metrics": dict(stamp.metrics)}}


def refuse_stamp(metadata: Mapping[str, Any] | None) -> None:
    """Refuse metadata of the user that have a stamp already.

    Raises:
        ValueError: they use the key of the stamp.
    """
    if metadata is not None and STAMP_KEY in metadata:
        raise ValueError(
            f"metadata has the key {STAMP_KEY!r}, which is reserved for CheckpointManager. Use"
            " another key."
        )


def read_stamp(storage: Storage, prefix: str, name: str) -> Stamp | str:
    """Return the stamp of a checkpoint that a manager of this name saved; reads the index alone.

    Returns:
        the stamp; or why the checkpoint is none of the manager's.
    """
    try:
        metadata = summarize(storage, prefix).metadata
    except CheckpointError as error:
        return f"cannot be read: {error}"
    stamp = _decode(metadata.get(STAMP_KEY))
    if stamp is None or stamp.name != name:
        return "no manager of this name saved it"
    return stamp


def _decode(content: Any) -> Stamp | None:
    """Return a stamp; `None` if it is missing, or is not as this library writes it."""
    if type(content) is not dict or content.keys() != {"name", "time", "step", "metrics"}:
        return None
    name, step, metrics = content["name"], content["step"], content["metrics"]
    time = content["time"]
    if type(time) is not float or not math.isfinite(time):
        return None
    if type(name) is not str or type(metrics) is not dict:
        return None
    if step is not None and type(step) is not int:
        return None
    if not all(type(k) is str and type(v) is float for k, v in metrics.items()):
        return None
    return Stamp(name, time, step, metrics)


def check_metrics(metrics: Any) -> dict[str, float]:
    """Return the metrics of one save as floats.

    Raises:
        TypeError: they are no mapping of names to real numbers.
        ValueError: a number is too large for a float.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"metrics is a {type(metrics).__qualname__}, expected a mapping of names to numbers,"
            " such as {'accuracy': 0.93}"
        )
    return {_metric_name(name): _number(name, value) for name, value in metrics.items()}


def _metric_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"metrics has the name {name!r}, expected a str")
    return str(name)


def _number(name: str, value: Any) -> float:
    is_scalar = isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_scalar and not is_number:
        raise TypeError(
            f"the metric {name!r} is {value!r}, a {type(value).__qualname__}, expected a real"
            " number. Convert it with float()."
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number) and value not in (math.inf, -math.inf):
        raise ValueError(f"the metric {name!r} is too large for a float")
    return number
