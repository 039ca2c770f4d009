"""Two managers of one name that begin at the same moment: one gets the directory, always."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpointable as ckpt
from tests.harness.processes import end_of, start

RACES = 1000
SAVED = 50  # whoever wins every 50th race saves, too
SCRATCH = ckpt.SaveOptions(durable=False)


def _race(directory: Path, meet: Callable[[], object], save: bool) -> str:
    """Try to get the directory, and hold it until all have tried; return what came of that.

    That is `won`, or the message of the refusal.
    """
    meet()
    try:
        manager = ckpt.CheckpointManager(
            ckpt.Checkpoint(x=1), directory, max_to_keep=1, save_options=SCRATCH
        )
    except ckpt.DirectoryInUseError as error:
        meet()
        return str(error)
    meet()
    with manager:
        if save:
            manager.save()
        return "won"


def _meeting(parties: int, barrier: Any) -> Callable[[], object]:
    made = barrier(parties)
    return lambda: made.wait(timeout=60)


def test_races_of_two_processes(tmp_path: Path, figures: dict[str, str]) -> None:
    """Of two processes exactly one gets the directory, a thousand times; the other names it."""
    directory = tmp_path / "run"
    meet = _meeting(2, multiprocessing.get_context("fork").Barrier)

    def run(results: Path) -> bool:
        lines = [_race(directory, meet, save=number % SAVED == 0) for number in range(RACES)]
        results.write_text("\n".join(lines))
        return True

    files = [tmp_path / "first", tmp_path / "second"]
    children = [start(lambda file=file: run(file)) for file in files]
    assert [0, 0] == [end_of(child) for child in children]

    rounds = list(zip(*(file.read_text().splitlines() for file in files), strict=True))
    assert RACES == len(rounds)
    assert [] == [outcomes for outcomes in rounds if outcomes.count("won") != 1]
    for loser, winner in enumerate(reversed(children)):
        refusals = [outcomes[loser] for outcomes in rounds if outcomes[loser] != "won"]
        named = (f"held by pid {winner} on ", "held by another process or object, unknown which")
        assert [] == [text for text in refusals if not any(name in text for name in named)]
    wins = sum(outcomes[0] == "won" for outcomes in rounds)
    figures["races of two managers, processes"] = (
        f"{RACES:,}, one winner each ({wins} and {RACES - wins})"
    )
    assert [f"ckpt-{RACES // SAVED}"] == [Path(path).name for path in _checkpoints(directory)]


def test_races_of_two_threads(tmp_path: Path, figures: dict[str, str]) -> None:
    """The same holds of two threads of one process, and the refusal says so."""
    meet = _meeting(2, threading.Barrier)
    outcomes: list[list[str]] = [[], []]

    def run(mine: list[str]) -> None:
        mine.extend(_race(tmp_path, meet, save=False) for _ in range(RACES))

    threads = [threading.Thread(target=run, args=[mine]) for mine in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rounds = list(zip(*outcomes, strict=True))
    assert RACES == len(rounds)
    assert [] == [pair for pair in rounds if pair.count("won") != 1]
    named = (f"pid {os.getpid()} on", "which is this very process", "unknown which")
    refusals = [text for pair in rounds for text in pair if text != "won"]
    assert [] == [text for text in refusals if not any(name in text for name in named)]
    wins = outcomes[0].count("won")
    figures["races of two managers, threads"] = (
        f"{RACES:,}, one winner each ({wins} and {RACES - wins})"
    )


def _checkpoints(directory: Path) -> list[str]:
    with ckpt.CheckpointManager(ckpt.Checkpoint(), directory, max_to_keep=1) as manager:
        return manager.checkpoints
