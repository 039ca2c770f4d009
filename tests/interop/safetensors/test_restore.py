"""Safetensors files restored into objects."""

from pathlib import Path

import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.safetensors.files import entry, file_of


def test_what_cannot_be_verified_is_told(tmp_path: Path) -> None:
    """A file of another program has no checksums; the report and its text say so (R-39)."""
    content = file_of({"w": entry("F32", [2], 0, 8)}, np.ones(2, np.float32).tobytes())
    (tmp_path / "m.safetensors").write_bytes(content)
    live = ckpt.Checkpoint(w=np.zeros(2, np.float32))
    report = live.restore(tmp_path / "m.safetensors").assert_consumed().report()
    own = live.restore(live.write(tmp_path / "own", format="safetensors")).report()

    assert [1, 1] == live.w.tolist()
    assert "has no checksums" in report.unverified
    assert f"not verified: {report.unverified}" in str(report)
    assert "" == own.unverified


def test_a_dotted_path_is_told_apart_from_a_wrong_one(tmp_path: Path) -> None:
    """Whoever writes a path as a model hub writes names learns how paths are written."""
    content = file_of({"model.w": entry("F32", [2], 0, 8)}, bytes(8))
    (tmp_path / "m.safetensors").write_bytes(content)

    with pytest.raises(ckpt.IncompatibleCheckpointError, match="with '/', not with dots"):
        ckpt.Checkpoint().restore(tmp_path / "m.safetensors", at="model.w")
    with pytest.raises(ckpt.IncompatibleCheckpointError, match="Correct the path"):
        ckpt.Checkpoint().restore(tmp_path / "m.safetensors", at="modell/w")
