"""What a manager was asked to do, checked."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind
from checkpointable.retention.policies import (
    EveryHours,
    KeepBest,
    KeepEverySteps,
    KeepLatest,
    Mode,
    Policy,
)
from checkpointable.trackable.base import Variable

#: Numbers beyond this are no numbers to whoever reads the directory.
_LARGEST = 10**18 - 1


@attrs.frozen(kw_only=True)
class Settings:
    """What to keep, how often to save, and how far the program is.

    Attributes:
        name: what stands before the number.
        latest: how many of the latest are kept.
        every_hours: what is kept for good.
        best: which are the best; `None` without a metric.
        keep_best: how many of the best are kept.
        every_steps: which steps are kept.
        step_counter: how far the program is.
        interval: how often to save.
    """

    name: str
    latest: KeepLatest
    every_hours: EveryHours | None
    best: KeepBest | None
    keep_best: int | None
    every_steps: KeepEverySteps | None
    step_counter: Variable | None
    interval: int | datetime.timedelta | None

    def policies(self) -> list[Policy]:
        """Return what keeps checkpoints beside the latest, the hours and the pins."""
        policies: list[Policy] = []
        if self.best is not None and self.keep_best is not None:
            policies.append(self.best)
        if self.every_steps is not None:
            policies.append(self.every_steps)
        return policies

    def step(self) -> int | None:
        """Return the value of the step counter, in the default session if it is of a graph.

        Raises:
            RuntimeError: it has no value.
        """
        return None if self.step_counter is None else int(self.step_counter.fetch())

    def restored_step(self, *, has_run: bool) -> int | None:
        """Return the step that a restore brought; `None` if the step counter has no value (yet).

        Args:
            has_run: whether restore operations have been run; a counter of a graph has its value
                only then.
        """
        counter = self.step_counter
        if counter is None or (counter.cell is not None and not has_run):
            return None
        return self.step() if counter.initialized else None


def check_settings(
    *,
    max_to_keep: Any,
    hours: Any,
    name: Any,
    step_counter: Any,
    interval: Any,
    keep_best: Any,
    metric: Any,
    mode: Any,
    every_steps: Any,
) -> Settings:
    """Check the arguments of a `CheckpointManager`.

    Raises:
        TypeError, ValueError: one is wrong; the message names it as the user wrote it.
        StorageError: the name is too long.
    """
    max_to_keep = _count("max_to_keep", max_to_keep)
    keep_best = _count("keep_best", keep_best)
    every_steps = _count("keep_every_n_steps", every_steps)
    if hours is not None:
        _check_hours(hours)
    _check_name(name)
    _check_step_counter(step_counter)
    interval = _interval(interval, step_counter)
    best = _best(keep_best, metric, mode)
    return Settings(
        name=name,
        latest=KeepLatest(max_to_keep),
        every_hours=None if hours is None else EveryHours(float(hours)),
        best=best,
        keep_best=keep_best,
        every_steps=None if every_steps is None else KeepEverySteps(every_steps),
        step_counter=step_counter,
        interval=interval,
    )


def check_number(given: Any) -> int | None:
    """Return the checkpoint number that a save was given: an integer, or a Variable of one.

    Raises:
        TypeError: it is neither.
        ValueError: it is negative, or has more than 18 digits.
    """
    if given is None:
        return None
    found = given.fetch()[()] if isinstance(given, Variable) else given
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)):
        raise TypeError(
            f"checkpoint_number is {given!r}, expected an integer, or a Variable of one. Convert it"
            " with int()."
        )
    number = operator.index(found)
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"checkpoint_number is {number}, expected at least 0, and 18 digits")
    return number


def check_callable(name: str, value: Any) -> Callable[[], Any] | None:
    """Return a callable that an argument may be.

    Raises:
        TypeError: it cannot be called.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{name} is {value!r}, expected a callable without arguments, or None")
    found: Callable[[], Any] | None = value
    return found


def _count(argument: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{argument} is {value!r}, expected an int of at least 1, or None")
    if value < 1:
        more = ". To keep all, give None" if argument == "max_to_keep" else ", or None"
        raise ValueError(f"{argument} is {value}, expected at least 1{more}.")
    return int(value)


def _check_hours(hours: Any) -> None:
    if isinstance(hours, bool) or not isinstance(hours, (int, float, np.integer, np.floating)):
        raise TypeError(
            f"keep_checkpoint_every_n_hours is {hours!r}, expected a number of hours, or None"
        )
    if not hours > 0:
        raise ValueError(f"keep_checkpoint_every_n_hours is {hours}, expected more than 0, or None")


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name is {name!r}, expected a str such as 'ckpt'")
    if not name or "/" in name or "\0" in name:
        raise ValueError(
            f"checkpoint_name is {name!r}, expected a name without directories, such as 'ckpt'."
            " Give the directory as `directory`."
        )
    if files.read_name(name).kind is not FileKind.BARE:
        raise ValueError(
            f"checkpoint_name is {name!r}, which ends as a file of a checkpoint does. Give the name"
            f" alone: {files.read_name(name).prefix!r}."
        )
    for form in files.Form:
        files.check_prefix(f"{name}-{_LARGEST}", form)


def _check_step_counter(step_counter: Any) -> None:
    if step_counter is None:
        return
    if not isinstance(step_counter, Variable):
        raise TypeError(
            f"step_counter is a {type(step_counter).__qualname__}, expected a Variable of an"
            " integer: Variable(0)"
        )
    if step_counter.shape != () or step_counter.dtype.kind not in "iu":
        raise ValueError(
            f"step_counter is of dtype {step_counter.dtype} and shape {step_counter.shape},"
            " expected one integer: Variable(0)"
        )


def _interval(interval: Any, step_counter: Any) -> int | datetime.timedelta | None:
    if interval is None:
        return None
    if isinstance(interval, datetime.timedelta):
        if interval <= datetime.timedelta(0):
            raise ValueError(f"checkpoint_interval is {interval}, expected more than no time")
        return interval
    if isinstance(interval, bool) or not isinstance(interval, (int, np.integer)):
        raise TypeError(
            f"checkpoint_interval is {interval!r}, expected a number of steps (an int), a"
            " datetime.timedelta, or None"
        )
    if interval < 1:
        raise ValueError(f"checkpoint_interval is {interval}, expected at least 1, or None")
    if step_counter is None:
        raise ValueError(
            f"checkpoint_interval is {interval} steps, but there is no step_counter. Give the"
            " Variable that counts the steps, or the interval as a datetime.timedelta."
        )
    return int(interval)


def _best(keep_best: int | None, metric: Any, mode: Any) -> KeepBest | None:
    modes: tuple[Mode, Mode] = ("max", "min")
    if mode not in modes:
        raise ValueError(f"mode is {mode!r}, expected 'max' or 'min'")
    if metric is None:
        if keep_best is not None:
            raise ValueError(
                f"keep_best is {keep_best}, but there is no metric to judge by. Give its name:"
                " metric='accuracy'"
            )
        return None
    if not isinstance(metric, str):
        raise TypeError(f"metric is {metric!r}, expected the name of a metric, such as 'accuracy'")
    return KeepBest(keep_best or 1, metric, mode)
