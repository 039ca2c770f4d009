"""Which of many checkpoints to keep, and why: the policies put together."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Sequence

import attrs

from checkpointable.retention.policies import EveryHours, KeepLatest, KeepNamed, Policy, Saved


@attrs.frozen
class Decision:
    """What is to become of one checkpoint, and why.

    Attributes:
        path: the checkpoint.
        keep: whether it is kept.
        reasons: what keeps it; if it is not kept, what does not.

    Example:
        >>> str(Decision("run/ckpt-3", True, ("one of the latest 3",)))
        'keep    ckpt-3  one of the latest 3'
    """

    path: str
    keep: bool
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return _row(self, 0)


@attrs.frozen
class RetentionPlan:
    """What is kept and what is deleted of the checkpoints of one name, and why.

    `str()` of it is a table with one line for each checkpoint.

    Attributes:
        decisions: one for each checkpoint, the oldest first, in the order of saving.
        preserved: those that are kept for good from now on.
        last_preserved: when the last one that is kept for good was saved, or since when there
            could be one; in seconds since 1970.

    Example:
        >>> plan = RetentionPlan((
        ...     Decision("run/ckpt-1", False, ("not the latest",)),
        ...     Decision("run/ckpt-2", True, ("the latest",)),
        ... ))
        >>> plan.kept, plan.deleted
        (('run/ckpt-2',), ('run/ckpt-1',))
        >>> print(plan)
        delete  ckpt-1  not the latest
        keep    ckpt-2  the latest
    """

    decisions: tuple[Decision, ...]
    preserved: tuple[str, ...] = ()
    last_preserved: float = 0.0

    @property
    def kept(self) -> tuple[str, ...]:
        """The paths of those that are kept, the oldest first."""
        return tuple(d.path for d in self.decisions if d.keep)

    @property
    def deleted(self) -> tuple[str, ...]:
        """The paths of those that are deleted, the oldest first."""
        return tuple(d.path for d in self.decisions if not d.keep)

    def __str__(self) -> str:
        width = max((len(posixpath.basename(d.path)) for d in self.decisions), default=0)
        return "\n".join(_row(d, width) for d in self.decisions) or "no checkpoints"


def record_saved(saved: Iterable[Saved], newest: Saved) -> tuple[Saved, ...]:
    """Return the sequence with one more at its end; what was saved before under its path goes."""
    return (*(s for s in saved if s.prefix != newest.prefix), newest)


def plan_retention(
    saved: Sequence[Saved],
    latest: KeepLatest,
    others: Sequence[Policy] = (),
    *,
    every_hours: EveryHours | None = None,
    preserved: Collection[str] = (),
    last_preserved: float = 0.0,
) -> RetentionPlan:
    """Decide what is kept: whatever any policy keeps, and always the newest.

    Args:
        saved: the checkpoints, in the order of saving, the oldest first.
        latest: how many of the latest are kept.
        others: what else keeps a checkpoint.
        every_hours: judges those that `latest` no longer keeps, and keeps them for good.
        preserved: prefixes of those that it has kept for good before.
        last_preserved: when the last of them was saved; at first, when this began.
    """
    policies: list[Policy] = [*others, KeepNamed(preserved, "kept for good")]
    # What is kept for good is not among the latest, wherever it stands.
    judged = [s for s in saved if s.prefix not in preserved]
    answers = [latest.keeps(judged), *(policy.keeps(saved) for policy in policies)]
    newly: tuple[str, ...] = ()
    if every_hours is not None:
        leaving = [s for s in judged if s.prefix not in answers[0]]
        kept, last_preserved = every_hours.judge(leaving, last_preserved)
        answers.append(kept)
        newly = tuple(kept)
    refusals = [f"not {rule}" for rule in (latest, *others, every_hours) if rule is not None]
    decisions = []
    for s in saved:
        reasons = [answer[s.prefix] for answer in answers if s.prefix in answer]
        if s is saved[-1] and not reasons:
            reasons = ["the newest"]
        decisions.append(Decision(s.prefix, bool(reasons), tuple(reasons or refusals)))
    return RetentionPlan(tuple(decisions), newly, last_preserved)


def _row(decision: Decision, width: int) -> str:
    verdict = "keep" if decision.keep else "delete"
    name = posixpath.basename(decision.path)
    return f"{verdict:6}  {name:{width}}  {', '.join(decision.reasons)}"
