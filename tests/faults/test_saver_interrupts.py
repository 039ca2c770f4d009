"""Ctrl-C at every moment of a save by a `Saver` that deletes an older checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpointable as ckpt
from tests.harness.interrupts import Interrupt


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::checkpointable.CheckpointWarning")
@pytest.mark.parametrize(
    ("first", "step"),
    [(1, 97), *(pytest.param(first, 16, marks=pytest.mark.campaign) for first in range(1, 17))],
)
def test_a_saver_interrupted_at_any_moment(
    tmp_path: Path, figures: dict[str, str], first: int, step: int
) -> None:
    """Every checkpoint that is there is whole, and the next save deletes all that is listed.

    (By default every 97th moment is tried, in the campaign each.)
    """
    with ckpt.Graph().as_default(), ckpt.Session() as session:
        value = ckpt.Variable(0, name="value")
        counted = value.assign_add(1)
        session.run(value.initializer)
        saver = ckpt.Saver(max_to_keep=1, options=ckpt.SaveOptions(durable=False))
        saver.save(session, tmp_path / "m", global_step=counted)
        at, is_over, unlisted = first, False, 0
        while not is_over:
            interrupt = Interrupt(at)
            try:
                with interrupt:
                    saver.save(session, tmp_path / "m", global_step=counted)
                is_over = not interrupt.has_come
            except KeyboardInterrupt:
                pass
            for index in tmp_path.glob("*.index"):
                path = str(index).removesuffix(".index")
                assert [] == ckpt.verify(path)
                assert f"{tmp_path}/m-{ckpt.load(path)['value']}" == path
            newest = saver.save(session, tmp_path / "m", global_step=counted)
            assert [newest] == saver.last_checkpoints
            assert newest == ckpt.latest_checkpoint(tmp_path)
            unlisted = max(unlisted, len(list(tmp_path.glob("*.index"))) - 1)
            for index in tmp_path.glob("*.index"):
                if str(index) != f"{newest}.index":
                    ckpt.remove_checkpoint(str(index).removesuffix(".index"))
            at += step
    assert ckpt.get_default_session() is None
    assert ckpt.get_default_graph() is None
    assert unlisted <= 1, "one may have been saved, and interrupted before it was listed"
    assert [] == list(tmp_path.glob("*.tmp"))
    before = int(figures.get("interrupts, Saver", "0").replace(",", ""))
    figures["interrupts, Saver"] = f"{before + at // step:,}"
