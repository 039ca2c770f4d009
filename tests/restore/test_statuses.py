"""Every method of every status, in eager execution (graphs: tests/session/)."""

import gc
import weakref

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Node


class TestLoadStatus:
    def test_every_method_returns_the_status(self, tmp_path):
        """So that calls can be chained."""
        path = ckpt.Checkpoint(m=Node(w=ckpt.Variable(1.0))).save(tmp_path / "m")
        status = ckpt.Checkpoint(m=Node(w=ckpt.Variable(0.0))).restore(path)
        assert isinstance(status, ckpt.CheckpointLoadStatus)
        for method in (
            status.assert_consumed,
            status.assert_existing_objects_matched,
            status.assert_nontrivial_match,
            status.run_restore_ops,
            status.initialize_or_restore,
            status.expect_partial,
            status.settle,
        ):
            assert status is method()

    def test_running_restores_does_nothing_in_eager_execution(self, tmp_path):
        """What the program assigned after the restore stays, whatever the session."""
        path = ckpt.Checkpoint(w=ckpt.Variable(1.0)).write(tmp_path / "m")
        live = ckpt.Checkpoint(w=ckpt.Variable(0.0))
        status = live.restore(path)
        live.w.assign(5.0)
        for session in (None, ckpt.Session(ckpt.Graph())):
            status.run_restore_ops(session).initialize_or_restore(session)
        assert 5.0 == live.w.value

    def test_running_restores_looks_for_what_has_come(self, tmp_path):
        """Items of plain lists receive their values, as at any call of a status."""
        path = ckpt.Checkpoint(m=Node(layers=[Node(w=ckpt.Variable(1.0))])).write(tmp_path / "m")
        live = Node(layers=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers.append(late := Node(w=ckpt.Variable(0.0)))
        status.run_restore_ops()
        assert 1.0 == late.w.storage_array()

    @pytest.mark.parametrize("dtype", ["f4", "i8", "?", "U3", "M8[s]", "c8"])
    def test_what_was_made_without_a_value_becomes_zeros(self, tmp_path, dtype):
        """Unless it was restored; what has a value keeps it (R-26)."""
        path = ckpt.Checkpoint(a=ckpt.Variable(np.ones(2, dtype))).write(tmp_path / "m")
        a, b = (ckpt.Variable(shape=2, dtype=dtype) for _ in range(2))
        live = ckpt.Checkpoint(a=a, b=b, c=ckpt.Variable(3))
        status = live.restore(path)
        assert (True, False) == (a.initialized, b.initialized)
        status.initialize_or_restore()
        assert np.ones(2, dtype).tolist() == a.value.tolist()
        assert np.zeros(2, dtype).tolist() == b.value.tolist()
        assert 3 == live.c.value

    def test_what_a_failed_restore_left_is_overwritten(self, tmp_path):
        """Zeros are written, whatever bytes an unfinished read put there."""
        live = ckpt.Checkpoint(w=ckpt.Variable(shape=3))
        live.w.storage_array()[:] = 7
        live.restore(None).initialize_or_restore()
        assert [0, 0, 0] == live.w.value.tolist()

    def test_values_that_wait_come_before_zeros(self, tmp_path):
        """An object that has come unnoticed is restored, not initialized."""
        path = ckpt.Checkpoint(m=Node(layers=[Node(w=ckpt.Variable(1.0))])).write(tmp_path / "m")
        live = Node(layers=[])
        status = ckpt.Checkpoint(m=live).restore(path)
        live.layers.append(Node(w=ckpt.Variable(shape=(), dtype=float)))
        status.initialize_or_restore()
        assert 1.0 == live.layers[0].w.value

    def test_it_keeps_a_weak_root_alive(self, tmp_path):
        """As long as the status lives, the objects do that it speaks of."""
        root = Node(w=ckpt.Variable(1.0))
        checkpoint = ckpt.Checkpoint(weakref.ref(root))
        status = checkpoint.restore(checkpoint.write(tmp_path / "m"))
        del root, checkpoint
        assert ["w"] == [entry.path for entry in status.report().restored]


class TestInitializationOnly:
    def test_what_speaks_of_a_restore_raises(self):
        """Every assertion, and running restores: there was no checkpoint."""
        status = ckpt.Checkpoint(w=ckpt.Variable(1.0)).restore(None)
        assert isinstance(status, ckpt.InitializationOnlyStatus)
        for method in (
            status.assert_consumed,
            status.assert_existing_objects_matched,
            status.assert_nontrivial_match,
            status.run_restore_ops,
        ):
            with pytest.raises(ckpt.UnmatchedError, match=r"restore\(None\)"):
                method()

    def test_the_others_return_the_status(self):
        """Nothing waits, so there is nothing to expect or to settle."""
        status = ckpt.Checkpoint(w=ckpt.Variable(1.0)).restore(None)
        for method in (status.initialize_or_restore, status.expect_partial, status.settle):
            assert status is method()
        assert [] == [*status.report().restored, *status.report().missing]
        assert "<InitializationOnlyStatus: there was no checkpoint>" == repr(status)

    @pytest.mark.parametrize("weak", [False, True])
    def test_initializing_gives_zeros_to_what_has_no_value(self, weak):
        """In everything that the root and the dependencies lead to."""
        root = Node(a=ckpt.Variable(shape=2), b=[Node(c=ckpt.Variable(shape=()))])
        checkpoint = ckpt.Checkpoint(weakref.ref(root) if weak else root, d=ckpt.Variable(shape=1))
        root.e = ckpt.Variable(5)
        checkpoint.restore(None).initialize_or_restore()
        found = (root.a, root.b[0].c, checkpoint.d, root.e)
        assert [[0, 0], 0, [0], 5] == [variable.value.tolist() for variable in found]

    def test_it_keeps_the_objects_alive(self):
        """A root that was given as a weak reference too, until the status is dropped."""
        root = Node(w=ckpt.Variable(shape=2))
        variable = weakref.ref(root.w)
        status = ckpt.Checkpoint(weakref.ref(root)).restore(None)
        del root
        gc.disable()
        try:
            status.initialize_or_restore()
            assert [0, 0] == variable().value.tolist()
            del status
            assert variable() is None
        finally:
            gc.enable()

    def test_objects_that_come_later_are_initialized_too(self):
        """The roots are looked at when it is called."""
        root = Node()
        status = ckpt.Checkpoint(root).restore(None)
        root.w = ckpt.Variable(shape=2)
        status.initialize_or_restore()
        assert root.w.initialized
