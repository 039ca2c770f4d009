"""Managed directories, crashed everywhere: save, record, state file, retention and restart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import pytest

from checkpointable.bundle import files
from checkpointable.storage.base import Storage, WritableFile
from checkpointable.storage.memory import DiskImage
from tests.harness.crash import Model, crashes
from tests.harness.managed import (
    Aftermath,
    History,
    Kill,
    Run,
    Save,
    alike,
    faults,
    look,
    order_faults,
    run,
)
from tests.harness.workloads import no_watch
from tests.harness.wrapping import WrappedFile, WrappedStorage

ACCURACY = {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.9, 5: 0.6}


def _latest(count: int) -> Callable[[Sequence[int], Collection[int]], set[int]]:
    return lambda values, stay: {*values[-count:]} | ({*values} & {*stay})


def _latest_and_best(values: Sequence[int], stay: Collection[int]) -> set[int]:
    best = max(values, key=lambda value: (ACCURACY.get(value, 0.0), -value), default=0)
    return _latest(1)(values, stay) | ({best} & {*values})


def _saves(*values: int, pin: Collection[int] = ()) -> list[Save]:
    return [Save(value, ACCURACY[value], value in pin) for value in values]


HISTORIES = {
    history.name: history
    for history in (
        History("the first save", {"max_to_keep": 1}, _latest(1), [], _saves(1)),
        History("one of two goes", {"max_to_keep": 1}, _latest(1), _saves(1), _saves(2)),
        History("two go", {"max_to_keep": 1}, _latest(1), [], _saves(1, 2, 3)),
        History(
            "the best stays",
            {"max_to_keep": 1, "keep_best": 1, "metric": "accuracy"},
            _latest_and_best,
            _saves(1, 2),
            _saves(3, 4, 5),
        ),
        History(
            "what is pinned stays",
            {"max_to_keep": 1},
            _latest(1),
            _saves(1),
            _saves(2, 3, pin={2}),
            staying={2: 2},
        ),
        History(
            "more is pinned",
            {"max_to_keep": 1},
            _latest(1),
            _saves(1),
            _saves(2, 3, 4, 5, pin={2, 4}),
            staying={2: 2, 4: 4},
        ),
        History(
            "an hour has passed",
            {"max_to_keep": 1, "keep_checkpoint_every_n_hours": 1.0},
            _latest(1),
            [],
            [Save(1, hours=0), Save(2, hours=0.5), Save(3, hours=1.5), Save(4, hours=2)],
            staying={3: 4},  # the first that is an hour older than the start
            certain=False,
        ),
        *(
            History(
                f"killed after {operations}",
                {"max_to_keep": 2},
                _latest(2),
                _saves(1, 2),
                [Kill(Save(3), operations), Save(4)],
            )
            for operations in (10, 13, 16, 20)
        ),
    )
}
QUICK = ["the first save", "one of two goes", "what is pinned stays", "killed after 20"]


def _findings(
    happened: Run, models: Iterable[Model], same: Callable[[DiskImage], DiskImage] = alike
) -> Iterator[list[str]]:
    """Yield for each image that a crash may leave of a history what is wrong with it.

    Of images that `same` makes equal one is looked at.
    """
    known: dict[frozenset[tuple[str, bytes]], Aftermath] = {}
    for model in models:
        for crash in crashes(happened.storage.recording(), model):
            aftermath = _known(known, same(crash.image), happened.history)
            found = faults(aftermath, happened.storage.log[: crash.after], happened)
            where = f"{happened.history.name}, {model.value}, after {crash.after}"
            yield [f"{where}: {fault}" for fault in found]


def _known(
    known: dict[frozenset[tuple[str, bytes]], Aftermath], image: DiskImage, history: History
) -> Aftermath:
    key = frozenset(image.files.items())
    if key not in known:
        known[key] = look(image, history)
    return known[key]


def _check(
    figures: dict[str, str], name: str, same: Callable[[DiskImage], DiskImage] = alike
) -> None:
    happened = run(HISTORIES[name])
    findings = list(_findings(happened, Model, same))
    images, bad = len(findings), [found for found in findings if found]
    before = figures.get("crash images, managed directories", "0 (").partition(" (")[0]
    total = int(before.replace(",", "")) + images
    figures["crash images, managed directories"] = f"{total:,} ({len(bad)} bad)"
    assert bad == []
    assert order_faults(happened.storage.recording()) == []


@pytest.mark.parametrize("name", QUICK)
def test_no_crash_breaks_a_promise(figures: dict[str, str], name: str) -> None:
    """A power cut at any moment leaves what was told, and a manager that goes on as before."""
    _check(figures, name)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [name for name in HISTORIES if name not in QUICK])
def test_campaign_of_crashes(figures: dict[str, str], name: str) -> None:
    """The same holds of longer histories."""
    _check(figures, name)


@pytest.mark.campaign
@pytest.mark.parametrize("name", QUICK)
def test_campaign_of_contents(figures: dict[str, str], name: str) -> None:
    """The same holds with everything that a file without a sync may hold."""
    _check(figures, name, same=lambda image: image)


class _DeletesFirst(WrappedStorage):
    """Deletes the older checkpoint when the newer one is begun."""

    def create(self, path: str) -> WritableFile:
        prefix = path.partition(".index.")[0]
        name, number = files.split_number(prefix)
        if prefix != path and number is not None:
            for entry in self.inner.list_dir("/run"):
                if f"/run/{entry}".startswith(f"{name}-{number - 1}."):
                    self.inner.remove(f"/run/{entry}")
        return super().create(path)


class _DeletesBeforeTheSync(WrappedStorage):
    """Lets the sync after a commit wait until something is deleted."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._waits = False

    def rename(self, source: str, destination: str) -> None:
        super().rename(source, destination)
        self._waits = self._waits or destination.endswith(".index")

    def sync_dir(self, path: str) -> None:
        if not self._waits:
            super().sync_dir(path)

    def remove(self, path: str) -> None:
        super().remove(path)
        self._waits = False


class _RemovalNotSynced(WrappedStorage):
    """Skips the sync after the removal of an index."""

    _removed = False

    def remove(self, path: str) -> None:
        super().remove(path)
        self._removed = path.endswith(".index")

    def sync_dir(self, path: str) -> None:
        if not self._removed:
            super().sync_dir(path)
        self._removed = False


class _RecordNotSynced(WrappedStorage):
    """Never syncs what is remembered of pins."""

    def create(self, path: str) -> WritableFile:
        made = super().create(path)
        return _NeverSynced(made) if path.startswith("/run/ckpt.manager.") else made


class _NeverSynced(WrappedFile):
    def sync(self) -> None:
        pass


class _StateFileLast(WrappedStorage):
    """Replaces the state file only after a shard of what is deleted is gone."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self._held: list[tuple[str, str]] = []

    def rename(self, source: str, destination: str) -> None:
        if destination == "/run/checkpoint":
            self._held.append((source, destination))
        else:
            super().rename(source, destination)

    def remove(self, path: str) -> None:
        super().remove(path)
        if ".data-" in path:
            for held in self._held:
                super().rename(*held)
            self._held.clear()


MUTANTS = [
    _DeletesFirst,
    _DeletesBeforeTheSync,
    _RemovalNotSynced,
    _RecordNotSynced,
    _StateFileLast,
]


def _caught(name: str, mutant: Callable[[Storage], Storage]) -> list[str]:
    """Return what first gives a mutant away."""
    with no_watch():
        happened = run(HISTORIES[name], mutant)
    found = order_faults(happened.storage.recording())
    return found or next(filter(None, _findings(happened, [Model.WEAK])), [])


def test_what_is_no_mutant_is_not_caught() -> None:
    """Without this no mutant proves a thing."""
    assert [] == _caught("one of two goes", lambda storage: storage)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_mutant_is_caught(
    figures: dict[str, str], mutant: Callable[[Storage], Storage]
) -> None:
    """A deletion that comes too early, a sync that is left out, a wrong order is noticed."""
    found = _caught("what is pinned stays", mutant)
    before, _, of = figures.get("mutants caught, managed directories", "0 of 0").partition(" of ")
    caught = int(before) + bool(found)
    figures["mutants caught, managed directories"] = f"{caught} of {int(of) + 1}"
    assert found != []
