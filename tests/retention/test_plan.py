"""What is kept of many checkpoints, against naive models and sequences known by heart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.retention.plan import RetentionPlan, plan_retention, record_saved
from checkpointable.retention.policies import (
    EveryHours,
    KeepBest,
    KeepEverySteps,
    KeepLatest,
    KeepNamed,
    Saved,
)

HOUR = 3600.0
NAMES = st.sampled_from([f"ckpt-{n}" for n in range(1, 9)])
#: What a fake clock is moved by before a save: mostly forwards, sometimes back.
TICKS = st.sampled_from([0.0, 0.2, 0.5, 1.0, 1.5, 4.0, -0.5, -6.0])
METRICS = st.sampled_from([0.0, 0.5, 1.0, -1.0, math.nan, math.inf, -math.inf, None])
SAVES = st.lists(st.tuples(NAMES, TICKS), max_size=25)


@st.composite
def sequences(draw: st.DrawFn) -> list[Saved]:
    """Draw checkpoints with all kinds of steps and metrics."""
    names = draw(st.lists(NAMES, unique=True, min_size=1))
    return [
        Saved(
            name,
            draw(st.floats(0, 1e6)),
            draw(st.none() | st.integers(-3, 40)),
            {} if (metric := draw(METRICS)) is None else {"acc": metric},
        )
        for name in names
    ]


def reasons(plan: RetentionPlan) -> dict[str, tuple[str, ...]]:
    """Return why each checkpoint is kept or deleted."""
    return {decision.path: decision.reasons for decision in plan.decisions}


@attrs.define
class TheirManager:
    """TensorFlow's bookkeeping, told as a plain loop."""

    max_to_keep: int | None
    hours: float | None
    last_preserved: float
    active: list[tuple[str, float]] = attrs.field(factory=list)
    on_disk: set[str] = attrs.field(factory=set)

    def save(self, path: str, now: float) -> None:
        self.on_disk.add(path)
        self.active = [(p, t) for p, t in self.active if p != path]
        self.active.append((path, now))
        while self.max_to_keep and len(self.active) > self.max_to_keep:
            oldest, time = self.active.pop(0)
            if self.hours and time - self.hours * HOUR >= self.last_preserved:
                self.last_preserved = time
            else:
                self.on_disk.discard(oldest)


@given(SAVES, st.none() | st.integers(1, 4), st.none() | st.sampled_from([0.5, 1.0, 3.0]))
def test_counts_and_hours_decide_as_tensorflow_does(
    saves: list[tuple[str, float]], count: int | None, hours: float | None
) -> None:
    """With a count and hours alone, the same files are there after each save, whatever the clock.

    A path that was kept for good and is saved again counts as new.
    """
    now = 1000 * HOUR
    theirs = TheirManager(count, hours, now - 1)
    ours: tuple[Saved, ...] = ()
    preserved: set[str] = set()
    last_preserved = now - 1
    for path, tick in saves:
        now += tick * HOUR
        theirs.save(path, now)

        ours = record_saved(ours, Saved(path, now))
        preserved.discard(path)
        plan = plan_retention(
            ours,
            KeepLatest(count),
            every_hours=None if hours is None else EveryHours(hours),
            preserved=preserved,
            last_preserved=last_preserved,
        )
        preserved.update(plan.preserved)
        last_preserved = plan.last_preserved
        ours = tuple(s for s in ours if s.prefix in plan.kept)

        assert theirs.on_disk == {s.prefix for s in ours}
        assert theirs.last_preserved == last_preserved
        assert [p for p, _ in theirs.active] == [
            s.prefix for s in ours if s.prefix not in preserved
        ]


def test_saving_again_moves_to_the_end() -> None:
    """Of s1, s2, s3, s2 the two latest are s3 and s2; s1 then drives out s3."""
    saved: tuple[Saved, ...] = ()
    lists = []
    for path in ["s1", "s2", "s3", "s2", "s1"]:
        saved = record_saved(saved, Saved(path, 0.0))
        plan = plan_retention(saved, KeepLatest(2))
        saved = tuple(s for s in saved if s.prefix in plan.kept)
        lists.append([s.prefix for s in saved])

    assert [["s1"], ["s1", "s2"], ["s2", "s3"], ["s3", "s2"], ["s2", "s1"]] == lists
    assert ("s3",) == plan.deleted


def test_all_surplus_goes_at_once() -> None:
    """A sequence far too long is cut to size by one plan."""
    saved = [Saved(f"s{n}", float(n)) for n in range(10)]

    assert ("s8", "s9") == plan_retention(saved, KeepLatest(2)).kept


def test_hours_do_not_drift() -> None:
    """After a long pause one checkpoint is kept, not one for each of the hours that passed."""
    times = [0.0, 10.0, 10.1, 10.2, 10.3, 11.05]
    saved = [Saved(f"{t:g}", t * HOUR) for t in [*times, 99.0]]
    plan = plan_retention(saved, KeepLatest(1), every_hours=EveryHours(1), last_preserved=0.0)

    assert ("10", "11.05") == plan.preserved
    assert 11.05 * HOUR == plan.last_preserved


@pytest.mark.parametrize("time", [math.inf, math.nan])
def test_times_that_say_nothing_keep(time: float) -> None:
    """What has no finite time is kept by the rule of hours, and the rule goes on as before."""
    saved = [Saved("a", time), Saved("b", HOUR), Saved("c", 0.0)]
    plan = plan_retention(saved, KeepLatest(1), every_hours=EveryHours(1), last_preserved=0.0)

    assert ("a", "b") == plan.preserved
    assert HOUR == plan.last_preserved


@given(sequences(), st.integers(1, 4), st.sampled_from(["max", "min"]))
def test_the_best_are_those_that_few_beat(saved: list[Saved], count: int, mode: str) -> None:
    """Kept is whoever is beaten by fewer than so many: better, or equal and older; NaN never."""

    def better(a: float, b: float) -> bool:
        return a > b if mode == "max" else a < b

    rated = [(i, s.metrics["acc"]) for i, s in enumerate(saved) if s.metrics.get("acc") is not None]
    rated = [(i, value) for i, value in rated if value == value]  # noqa: PLR0124
    expected = set()
    for i, value in rated:
        beaten_by = [j for j, v in rated if better(v, value) or (v == value and j < i)]
        if len(beaten_by) < count:
            expected.add(saved[i].prefix)

    assert expected == set(KeepBest(count, "acc", mode).keeps(saved))  # type: ignore[arg-type]


@given(sequences(), st.integers(1, 12))
def test_every_stretch_of_steps_keeps_its_first(saved: list[Saved], steps: int) -> None:
    """For each multiple, the lowest step before the next one is kept, the older of equal ones."""
    expected = set()
    for multiple in range(steps, 100, steps):
        stretch = [s for s in saved if s.step in range(multiple, multiple + steps)]
        lowest = [s for s in stretch if s.step == min(t.step or 0 for t in stretch)]
        expected |= {s.prefix for s in lowest[:1]}

    assert expected == set(KeepEverySteps(steps).keeps(saved))


@given(sequences(), st.integers(1, 3), st.integers(1, 3), st.sets(NAMES), st.integers(5, 20))
def test_a_plan_keeps_what_any_policy_keeps(
    saved: list[Saved], latest: int, best: int, pinned: set[str], steps: int
) -> None:
    """Kept is the union; the newest always; and what is left then needs no further plan."""
    others = [KeepBest(best, "acc", "max"), KeepEverySteps(steps), KeepNamed(pinned, "pinned")]
    plan = plan_retention(saved, KeepLatest(latest), others)
    union = {s.prefix for s in saved[-latest:]} | {p for o in others for p in o.keeps(saved)}
    left = [s for s in saved if s.prefix in plan.kept]

    assert [s.prefix for s in saved] == [d.path for d in plan.decisions]
    assert union == set(plan.kept)
    assert saved[-1].prefix in plan.kept
    assert {s.prefix for s in saved} - union == set(plan.deleted)
    assert () == plan_retention(left, KeepLatest(latest), others).deleted


@given(sequences(), st.integers(1, 3), st.floats(0.1, 100))
def test_a_plan_carried_out_is_the_end_of_it(saved: list[Saved], count: int, hours: float) -> None:
    """What was kept for good stays so, and a second plan deletes nothing."""
    rule = EveryHours(hours)
    plan = plan_retention(saved, KeepLatest(count), every_hours=rule, last_preserved=0.0)
    left: Sequence[Saved] = [s for s in saved if s.prefix in plan.kept]
    again = plan_retention(
        left,
        KeepLatest(count),
        every_hours=rule,
        preserved=plan.preserved,
        last_preserved=plan.last_preserved,
    )

    assert () == again.deleted
    assert () == again.preserved
    assert plan.last_preserved == again.last_preserved


def test_reasons_are_told() -> None:
    """Each decision says what keeps the checkpoint, or all that does not."""
    saved = [
        Saved("run/ckpt-9", 0.0, 9, {"acc": 0.5}),
        Saved("run/ckpt-10", 1.0, 10, {"acc": 0.75}),
        Saved("run/ckpt-11", 2.0, 11, {"acc": 0.25}),
        Saved("run/ckpt-12", 3 * HOUR, 12),
        Saved("run/ckpt-13", 4 * HOUR, 13),
    ]
    others = [KeepBest(1, "acc", "max"), KeepEverySteps(10), KeepNamed({"run/ckpt-9"}, "pinned")]
    plan = plan_retention(
        saved, KeepLatest(1), others, every_hours=EveryHours(2), last_preserved=0.0
    )
    expected = """\
keep    ckpt-9   pinned
keep    ckpt-10  best by acc (0.75), the first from step 10 on
delete  ckpt-11  not the latest, not the best by acc, not the first of 10 steps, not pinned,\
 not one every 2 hours
keep    ckpt-12  for good: one every 2 hours
keep    ckpt-13  the latest"""

    assert expected == str(plan)
    assert "no checkpoints" == str(RetentionPlan(()))


def test_newest_is_kept_whatever_the_policies_say() -> None:
    """Even a policy that keeps none of the latest leaves the newest."""
    plan = plan_retention([Saved("a", 0.0), Saved("b", 0.0)], KeepLatest(0))

    assert {"a": ("not one of the latest 0",), "b": ("the newest",)} == reasons(plan)
