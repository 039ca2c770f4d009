"""Every error is ours and the builtin that a caller expects."""

import warnings

import pytest

import checkpointable as ckpt
from checkpointable.errors import storage_error, warn


@pytest.mark.parametrize(
    ("error", "builtins"),
    [
        (ckpt.CheckpointNotFoundError, (FileNotFoundError, ValueError)),
        (ckpt.CheckpointExistsError, (FileExistsError,)),
        (ckpt.TensorNotFoundError, (KeyError,)),
        (ckpt.CorruptCheckpointError, (ValueError,)),
        (ckpt.IncompatibleCheckpointError, (ValueError,)),
        (ckpt.UnmatchedError, (AssertionError,)),
        (ckpt.NotCheckpointableError, (TypeError, ValueError)),
        (ckpt.StorageError, (OSError,)),
        (ckpt.DirectoryInUseError, (RuntimeError,)),
        (ckpt.UnsupportedFormatError, (ValueError,)),
        (ckpt.MissingDependencyError, (ImportError,)),
    ],
)
def test_each_error_is_a_builtin_too_and_prints_its_message(error, builtins):
    """Either can be caught, and the text is the message as it is, without quotes."""
    raised = error("where: what is wrong. What to do.")
    assert isinstance(raised, (ckpt.CheckpointError, *builtins))
    assert all(isinstance(raised, builtin) for builtin in builtins)
    assert "where: what is wrong. What to do." == str(raised)
    assert raised.report is None


def test_a_storage_error_keeps_errno_and_path():
    """What the system said can be told apart by a program."""
    raised = storage_error(PermissionError(13, "Permission denied"), "create the file", "/a/b")
    assert (13, "/a/b") == (raised.errno, raised.filename)
    assert "/a/b: could not create the file: Permission denied." == str(raised)


def test_a_warning_points_at_the_users_line(tmp_path):
    """However deep in the library it arises, a warning names the file of the caller."""
    ckpt.Checkpoint(x=1).save(tmp_path / "ckpt")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ckpt.Checkpoint(x=1).save(tmp_path / "ckpt")
        warn("directly")
    assert [__file__, __file__] == [warning.filename for warning in caught]
    assert all(issubclass(warning.category, ckpt.CheckpointWarning) for warning in caught)
