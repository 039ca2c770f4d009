"""What keeps a checkpoint: small rules over the checkpoints of one name. No clock, no disk.

A sequence of checkpoints is in the order of saving, the oldest first; times are never sorted by,
because clocks go backwards.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import attrs

Mode = Literal["max", "min"]


@attrs.frozen
class Saved:
    """A checkpoint as policies see it.

    Attributes:
        prefix: its path.
        time: when it was saved, in seconds since 1970.
        step: how far the program was.
        metrics: how good it was, by name.
    """

    prefix: str
    time: float
    step: int | None = None
    metrics: Mapping[str, float] = attrs.field(factory=dict)


class Policy(Protocol):
    """A reason to keep checkpoints; `str()` of it completes the sentence "it is not ..."."""

    def keeps(self, saved: Sequence[Saved]) -> Mapping[str, str]:
        """Return the prefixes of those that it keeps, each with the reason."""


@attrs.frozen
class KeepLatest:
    """Keeps the last few; with `None` all."""

    count: int | None

    def keeps(self, saved: Sequence[Saved]) -> Mapping[str, str]:
        """Return the last of the sequence."""
        if self.count is None:
            return {s.prefix: "all are kept" for s in saved}
        reason = "the latest" if self.count == 1 else f"one of the latest {self.count}"
        return {s.prefix: reason for s in saved[max(0, len(saved) - self.count) :]}

    def __str__(self) -> str:
        return "the latest" if self.count == 1 else f"one of the latest {self.count}"


@attrs.frozen
class KeepBest:
    """Keeps the best few by a metric; of equal ones the older is better.

    What has no such metric, or NaN, is never best.
    """

    count: int
    metric: str
    mode: Mode

    def keeps(self, saved: Sequence[Saved]) -> Mapping[str, str]:
        """Return the best, with their rank and metric."""
        return {
            s.prefix: f"{'best' if rank == 1 else f'number {rank}'} by {self.metric}"
            f" ({s.metrics[self.metric]:g})"
            for rank, s in enumerate(self.ranking(saved)[: self.count], start=1)
        }

    def ranking(self, saved: Iterable[Saved]) -> list[Saved]:
        """Return all that have the metric, the best first."""
        sign = -1.0 if self.mode == "max" else 1.0
        rated = [s for s in saved if not math.isnan(s.metrics.get(self.metric, math.nan))]
        return sorted(rated, key=lambda s: sign * s.metrics[self.metric])  # stable: older first

    def __str__(self) -> str:
        best = "the best" if self.count == 1 else f"one of the best {self.count}"
        return f"{best} by {self.metric}"


@attrs.frozen
class KeepEverySteps:
    """Keeps the first checkpoint at or after each multiple of a number of steps, from one on.

    That is the one with the lowest step before the next multiple. What has no step is not kept.
    """

    steps: int

    def keeps(self, saved: Sequence[Saved]) -> Mapping[str, str]:
        """Return the first of each stretch of steps."""
        first: dict[int, tuple[int, str]] = {}
        for s in saved:
            if s.step is None or s.step < self.steps:
                continue
            multiple = s.step - s.step % self.steps
            if multiple not in first or s.step < first[multiple][0]:
                first[multiple] = s.step, s.prefix
        return {prefix: f"the first from step {m} on" for m, (_, prefix) in first.items()}

    def __str__(self) -> str:
        return f"the first of {self.steps} steps"


@attrs.frozen
class KeepNamed:
    """Keeps what is named, such as what the user has pinned."""

    prefixes: Collection[str]
    reason: str

    def keeps(self, saved: Sequence[Saved]) -> Mapping[str, str]:
        """Return those of the sequence that are named."""
        return {s.prefix: self.reason for s in saved if s.prefix in self.prefixes}

    def __str__(self) -> str:
        return self.reason


@attrs.frozen
class EveryHours:
    """Keeps one for good whenever so many hours have passed since the last that it kept."""

    hours: float

    def judge(
        self, leaving: Iterable[Saved], last_preserved: float
    ) -> tuple[Mapping[str, str], float]:
        """Judge those that would go otherwise, the oldest first.

        A time that is not finite says nothing: such a checkpoint is kept, and the next is judged
        as if it were not there.

        Args:
            leaving: the checkpoints that nothing else is asked about.
            last_preserved: the time of the last one that this rule kept, or when it began.

        Returns:
            those that it keeps for good, each with the reason, and the new `last_preserved`.
        """
        kept: dict[str, str] = {}
        for s in leaving:
            if s.time - self.hours * 3600 < last_preserved:
                continue
            kept[s.prefix] = f"for good: {self}"
            if math.isfinite(s.time):
                last_preserved = s.time
        return kept, last_preserved

    def __str__(self) -> str:
        return "one every hour" if self.hours == 1 else f"one every {self.hours:g} hours"
