"""What is restored is chosen by options (docs/restore.md, R-14 to R-20, R-24, R-25)."""

import numpy as np
import pytest

import checkpointable as ckpt
from tests.restore.models import Node


def variable(*values: float, dtype=float) -> ckpt.Variable:
    """A Variable."""
    return ckpt.Variable(np.array(values, dtype))


@pytest.fixture
def path(tmp_path) -> str:
    """A checkpoint of a model with two parts, and a step."""
    model = Node(enc=Node(w=variable(1), b=variable(2)), dec=Node(w=variable(3)))
    return ckpt.Checkpoint(model=model, step=7).save(tmp_path / "ckpt")


def fresh() -> Node:
    """A model of the same parts without their values."""
    return Node(enc=Node(w=variable(0), b=variable(0)), dec=Node(w=variable(0)))


class TestSelection:
    def test_only_restores_what_its_paths_lead_to(self, path):
        """Everything else stays as it is, is listed as skipped, and fails no assertion (R-14)."""
        live = ckpt.Checkpoint(model=fresh(), step=0)
        status = live.restore(path, only="model/enc").assert_consumed()
        assert (0, 1, 2, 0) == (
            live.step,
            live.model.enc.w[0],
            live.model.enc.b[0],
            live.model.dec.w[0],
        )
        assert {"model/dec", "step"} <= {entry.path for entry in status.report().skipped}

    def test_skip_leaves_out_what_its_paths_lead_to(self, path):
        """Paths are prefixes in whole components; several may be given."""
        live = ckpt.Checkpoint(model=fresh(), step=0)
        with pytest.warns(ckpt.CheckpointWarning, match="skip='st'"):
            live.restore(path, skip=("model/enc/w", "st")).assert_consumed()
        assert (7, 0, 2, 3) == (
            live.step,
            live.model.enc.w[0],
            live.model.enc.b[0],
            live.model.dec.w[0],
        )

    def test_a_misspelt_path_draws_a_warning(self, path):
        """What only and skip name must be stored, or at least exist in the program, for skip."""
        live = ckpt.Checkpoint(model=fresh(), step=0, extra=1)
        with pytest.warns(ckpt.CheckpointWarning, match="only='model/encoder' leads to nothing"):
            live.restore(path, only="model/encoder")
        live.restore(path, skip="extra").assert_consumed()

    def test_only_and_skip_cut_edges_not_objects(self, tmp_path):
        """What another path still reaches is restored."""
        shared = variable(1)
        path = ckpt.Checkpoint(a=Node(w=shared), b=Node(w=shared)).write(tmp_path / "m")
        live = variable(0)
        ckpt.Checkpoint(a=Node(w=live), b=Node(w=live)).restore(path, skip="a").assert_consumed()
        assert 1 == live[0]

    def test_the_counter_is_restored_whatever_is_left_out(self, path):
        """Numbering goes on after a partial restore (R-3)."""
        live = ckpt.Checkpoint(step=0)
        status = live.restore(path, only="step").assert_consumed()
        assert 1 == live.save_counter.value
        assert "save_counter" not in str(status.report())

    def test_only_holds_for_values_that_come_later(self, path):
        """An object that arrives outside the selection is not restored."""
        live = ckpt.Checkpoint(step=0)
        status = live.restore(path, only="model/enc")
        live.model = fresh()
        assert (1, 0) == (live.model.enc.w[0], live.model.dec.w[0])
        status.assert_consumed()

    def test_live_values_that_are_left_out_are_listed(self, path):
        """A live value outside the selection is skipped, though nothing is stored for it."""
        live = ckpt.Checkpoint(model=fresh(), extra=variable(0))
        skipped = live.restore(path, only="model/enc").report().skipped
        assert "extra" in [entry.path for entry in skipped]

    def test_at_restores_from_a_stored_part(self, path):
        """The live root is matched with the stored object at the path (R-15)."""
        encoder = Node(w=variable(0), b=variable(0))
        holder = ckpt.Checkpoint(encoder)
        holder.restore(path, at="model/enc").assert_consumed()
        assert [1, 2] == [encoder.w[0], encoder.b[0]]
        assert 0 == holder.save_counter.value

    def test_other_paths_are_relative_to_at(self, path):
        """only and skip count from the stored object at the path."""
        encoder = Node(w=variable(0), b=variable(0))
        ckpt.Checkpoint(encoder).restore(path, at="model/enc", skip="w").assert_consumed()
        assert [0, 2] == [encoder.w[0], encoder.b[0]]

    def test_at_a_path_that_is_not_there_says_what_is(self, path):
        """The error names the children that the stored object has."""
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="enc"):
            ckpt.Checkpoint(Node()).restore(path, at="model/encoder")


class TestFit:
    def test_no_cast_happens_unasked(self, path):
        """A float64 value is not put into a float32 variable."""
        live = ckpt.Checkpoint(model=Node(enc=Node(w=variable(0, dtype=np.float32))))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"casting=\"same_kind\""):
            live.restore(path)

    def test_casting_converts_and_lists_what_it_converted(self, tmp_path):
        """numpy's words say which casts are allowed (R-17)."""
        path = ckpt.Checkpoint(w=variable(1.5, 2.5)).write(tmp_path / "m")
        live = variable(0, 0, dtype=np.float32)
        status = ckpt.Checkpoint(w=live).restore(path, casting="same_kind").assert_consumed()
        assert [1.5, 2.5] == live.value.tolist()
        assert ["w: float64 to float32"] == [str(entry) for entry in status.report().cast]
        with pytest.raises(ckpt.IncompatibleCheckpointError):
            ckpt.Checkpoint(w=variable(0, 0, dtype=int)).restore(path, casting="same_kind")

    def test_reshape_fits_another_shape_of_the_same_size(self, tmp_path):
        """Elements keep their C order (R-18)."""
        path = ckpt.Checkpoint(w=np.arange(6)).write(tmp_path / "m")
        live = np.zeros((2, 3), int)
        ckpt.Checkpoint(w=live).restore(path, shapes="reshape").assert_consumed()
        assert [[0, 1, 2], [3, 4, 5]] == live.tolist()
        with pytest.raises(ckpt.IncompatibleCheckpointError):
            ckpt.Checkpoint(w=np.zeros(5, int)).restore(path, shapes="reshape")

    def test_skip_leaves_values_of_another_shape(self, tmp_path):
        """They are listed as skipped and fail no assertion; the others are restored (R-16)."""
        path = ckpt.Checkpoint(w=variable(1, 2), v=variable(3)).write(tmp_path / "m")
        w, v = variable(0), variable(0)
        status = ckpt.Checkpoint(w=w, v=v).restore(path, shapes="skip").assert_consumed()
        assert [0, 3] == [w[0], v[0]]
        assert ["w"] == [entry.path for entry in status.report().skipped]


class TestStrictness:
    def test_defer_false_raises_before_anything_is_assigned(self, path):
        """A value without an object, or an object without a value, fails the restore (R-19)."""
        live = ckpt.Checkpoint(model=Node(enc=Node(w=variable(0), b=variable(0))), step=0)
        with pytest.raises(ckpt.UnmatchedError, match="model/dec/w") as caught:
            live.restore(path, defer=False)
        assert (0, 0) == (live.step, live.model.enc.w[0])
        assert ["model/dec/w"] == [entry.path for entry in caught.value.report.pending]

    def test_defer_false_passes_where_all_matches(self, path):
        """It is the condition of assert_consumed."""
        live = ckpt.Checkpoint(model=fresh(), step=0)
        live.restore(path, defer=False)
        assert 7 == live.step

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"casting": "maybe"}, ValueError),
            ({"shapes": "any"}, ValueError),
            ({"verify": "never"}, ValueError),
            ({"defer": 1}, TypeError),
            ({"only": 3}, TypeError),
            ({"unknown": 1}, TypeError),
        ],
    )
    def test_wrong_options_are_refused_by_name(self, path, fields, error):
        """A value that an option does not take is an error that names the option."""
        with pytest.raises(error, match=next(iter(fields)) if error is ValueError else None):
            ckpt.Checkpoint(model=fresh()).restore(path, **fields)


class TestStatus:
    def test_restore_of_none_fails_every_assertion(self):
        """restore(None) says that nothing was restored (R-23)."""
        status = ckpt.Checkpoint(step=0).restore(None)
        assert isinstance(status, ckpt.InitializationOnlyStatus)
        for check in (
            status.assert_consumed,
            status.assert_existing_objects_matched,
            status.assert_nontrivial_match,
        ):
            with pytest.raises(AssertionError, match=r"restore\(None\)"):
                check()
        assert status is status.expect_partial()

    def test_missing_values_are_named_with_candidates(self, tmp_path):
        """A renamed attribute is recognised by dtype and shape."""
        path = ckpt.Checkpoint(m=Node(kernel=variable(1, 2))).write(tmp_path / "m")
        status = ckpt.Checkpoint(m=Node(w=variable(0, 0))).restore(path)
        with pytest.raises(ckpt.UnmatchedError, match=r"m/w .* it holds m/kernel .*Renamed\?"):
            status.assert_existing_objects_matched()
        assert ("m/kernel",) == status.report().missing[0].candidates

    def test_deleting_an_unmatched_attribute_makes_the_assertion_pass(self, path):
        """Assertions look at the objects as they are now."""
        live = ckpt.Checkpoint(model=fresh(), step=0)
        live.extra = variable(0)
        status = live.restore(path)
        with pytest.raises(ckpt.UnmatchedError, match="extra"):
            status.assert_existing_objects_matched()
        del live.extra
        status.assert_consumed()

    def test_nothing_in_common_is_not_a_match(self, path):
        """assert_nontrivial_match fails where nothing but the root was matched."""
        status = ckpt.Checkpoint(other=variable(0)).restore(path)
        with pytest.raises(ckpt.UnmatchedError, match="nothing but the root"):
            status.assert_nontrivial_match()
        ckpt.Checkpoint(step=0).restore(path).assert_nontrivial_match()

    def test_the_counter_is_never_in_a_report(self, tmp_path):
        """write and read, save and restore: all four combinations are consumed."""
        saved = ckpt.Checkpoint(step=1)
        written, numbered = saved.write(tmp_path / "a"), saved.save(tmp_path / "b")
        for source in (written, numbered):
            ckpt.Checkpoint(step=0).restore(source).assert_consumed()
            status = ckpt.Checkpoint(step=0).read(source).assert_consumed()
            assert "save_counter" not in str(status.report())

    def test_a_report_prints_as_a_tree(self, path):
        """The text groups the paths under their categories (R-22)."""
        live = ckpt.Checkpoint(model=Node(enc=Node(w=variable(0))), step=0, more=[variable(1)])
        text = str(live.restore(path).report())
        assert "2 restored" in text
        assert "pending:\n  model/\n    enc/\n      b float64 (1,)" in text
        assert "missing:\n  more/\n    0 float64 (1,): not in the checkpoint" in text
