"""The two kinds of sides: how the values of a checkpoint are read."""

import numpy as np
import pytest

from checkpointable.bundle.reader import BundleSource
from checkpointable.checkpoint import Checkpoint
from checkpointable.comparison import side
from checkpointable.comparison.side import stored_side
from checkpointable.interop.opening import open_checkpoint
from checkpointable.storage.local import LOCAL


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read of tensors has read."""
    found: list[int] = []
    read_into = BundleSource.read_into

    def counting(self: BundleSource, numbers: list[int], targets: list, done: None = None) -> None:
        found.append(sum(target.nbytes for target in targets))
        read_into(self, numbers, targets, done)

    monkeypatch.setattr(BundleSource, "read_into", counting)
    return found


def test_small_tensors_are_read_together(tmp_path, reads, monkeypatch):
    """In batches of bounded size, in the order that is asked for; a larger one alone."""
    monkeypatch.setattr(side, "_READ_AT_ONCE", 1000)
    values = [np.full(n, i, np.uint8) for i, n in enumerate((400, 600, 1, 5000, 999, 2))]
    path = Checkpoint(values).write(tmp_path / "model")
    source = open_checkpoint(LOCAL, str(path))
    with_values = stored_side(source)
    numbers = [5, 0, 5, 1, 2, 3, 4, 0]
    found = [np.asarray(content) for content in with_values.contents(numbers)]
    source.close()

    assert [values[n].tolist() for n in numbers] == [content.tolist() for content in found]
    assert [404, 601, 5000, 999, 400] == reads


def test_values_without_item_size_are_read_one_at_a_time(tmp_path, reads):
    """Texts, plain values and bytes stand between tensors, and come in their places."""
    values = [np.zeros(3), "x" * 5000, np.array(["a", "b"], object), np.ones(2)]
    path = Checkpoint(values).write(tmp_path / "model")
    source = open_checkpoint(LOCAL, str(path))
    kinds = [type(content) for content in stored_side(source).contents(range(4))]
    source.close()

    assert 2 == kinds.count(bytes)
    assert 2 == kinds.count(np.ndarray)
    assert [40] == reads
