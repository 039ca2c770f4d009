"""From one kind of checkpoint to the other and back, with the real savers, in both modes."""

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Node


def model(mode) -> Node:
    """Objects whose Variables have global names that differ from their paths."""
    return Node(kernel=mode.variable([1.0, 2.0], "layer/w"), bias=mode.variable([3.0], "layer/b"))


def test_names_to_objects_and_back(tmp_path, mode):
    """The object API restores what a Saver wrote, and a Saver what the object API wrote (R-32)."""
    live = model(mode)
    variables = [live.kernel, live.bias]
    saver = ckpt.Saver(variables)
    by_name = saver.save(mode.session, tmp_path / "named")
    for variable in variables:
        mode.write(variable, 0)
    with mode.default():
        status = ckpt.Checkpoint(root=live).restore(by_name)
        assert 0 == mode.read(live.bias)[0]
        status.run_restore_ops(mode.session).assert_consumed()
        assert [[1, 2], [3]] == [mode.read(v).tolist() for v in variables]

        by_object = ckpt.Checkpoint(root=live).save(tmp_path / "objects")
    for variable in variables:
        mode.write(variable, 0)
    saver.restore(mode.session, by_object)
    assert [[1, 2], [3]] == [mode.read(v).tolist() for v in variables]


@pytest.mark.parametrize("form", [{"sharded": True}, {"write_version": ckpt.SaverDef.V1}])
def test_every_form_that_a_saver_writes(tmp_path, mode, form):
    """Shards by device, and one file: the object API takes what `save` returned (R-32)."""
    live = model(mode)
    path = ckpt.Saver([live.kernel, live.bias], **form).save(mode.session, tmp_path / "named")
    mode.write(live.kernel, 0)
    ckpt.CheckpointableSaver(live).restore(path).run_restore_ops(mode.session).assert_consumed()
    assert [1, 2] == mode.read(live.kernel).tolist()


def test_a_directory_of_a_saver(tmp_path, mode):
    """Its newest checkpoint is restored."""
    live = model(mode)
    saver = ckpt.Saver([live.kernel, live.bias])
    for step in (1, 2):
        mode.write(live.bias, step)
        saver.save(mode.session, tmp_path / "named", global_step=step)
    mode.write(live.bias, 0)
    ckpt.Checkpoint(live).restore(tmp_path).initialize_or_restore(mode.session).assert_consumed()
    assert 2 == mode.read(live.bias)[0]


def test_parts_come_from_a_whole_and_go_into_one(tmp_path, mode):
    """The object API reads a partitioned variable into a whole one, and the other way round."""
    values = np.arange(10.0).reshape(5, 2)
    whole = mode.variable(values, "whole")
    parts = ckpt.partitioned_variables((5, 2), (2, 1), dtype=float, name="table")
    path = ckpt.Saver({"table": whole}).save(mode.session, tmp_path / "named")
    live = ckpt.Checkpoint(parts=parts)
    live.restore(path).run_restore_ops(mode.session).assert_consumed()
    assert values.tolist() == np.concatenate([mode.read(part) for part in parts]).tolist()

    path = ckpt.Saver([parts]).save(mode.session, tmp_path / "parts")
    mode.write(whole, 0)
    renamed = ckpt.Checkpoint(whole=whole).restore(path, rename={"whole": "table"})
    renamed.run_restore_ops(mode.session).assert_consumed()
    assert values.tolist() == mode.read(whole).tolist()


def test_what_a_saver_misses_in_an_object_based_checkpoint(tmp_path, mode):
    """One error says what is missing, what is extra, how many matched, and what to do (R-31)."""
    live = model(mode)
    with mode.default():
        path = ckpt.Checkpoint(root=live, step=7).save(tmp_path / "objects")
    other = mode.variable([5.0], "layer/other")
    with pytest.raises(ckpt.TensorNotFoundError) as raised:
        ckpt.Saver([live.kernel, other]).restore(mode.session, path)
    for part in (
        "1 of 2 names are not in the checkpoint; 1 matched",
        "It is object-based, so the global names that its Variables had",
        "missing: layer/other float64 (1,)",
        "extra: layer/b float64 (1,)",
        "with Checkpoint.restore()",
    ):
        assert part in str(raised.value)
    assert "save_counter" not in str(raised.value)
    assert 5 == mode.read(other)[0]
