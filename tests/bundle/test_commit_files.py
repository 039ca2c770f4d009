"""The names of files: what is written can be read, and nothing else is taken for ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpointable.bundle import files
from checkpointable.bundle.files import FileKind, FileName, Form, form_for, read_name
from checkpointable.errors import StorageError
from checkpointable.options import SaveOptions

RANDOM = "00112233445566aa"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ckpt.index", FileName(FileKind.INDEX, "ckpt")),
        ("ckpt-3.index", FileName(FileKind.INDEX, "ckpt-3")),
        ("a.index.index", FileName(FileKind.INDEX, "a.index")),
        ("ckpt.safetensors", FileName(FileKind.SAFETENSORS, "ckpt")),
        (
            f"ckpt-3.data-00001-of-00002.{RANDOM}",
            FileName(FileKind.SHARD, "ckpt-3", 1, 2, RANDOM),
        ),
        ("ckpt.data-00001-of-00002", FileName(FileKind.SHARD, "ckpt", 1, 2, "")),
        (
            f"ckpt.index.{RANDOM}.tmp",
            FileName(FileKind.COMMIT_TEMPORARY, "ckpt", token=RANDOM),
        ),
        (f"ckpt.{RANDOM}.tmp", FileName(FileKind.COMMIT_TEMPORARY, "ckpt", token=RANDOM)),
        (
            f"ckpt.safetensors.{RANDOM}.tmp",
            FileName(FileKind.COMMIT_TEMPORARY, "ckpt", token=RANDOM),
        ),
        (
            f"ckpt.data-00001.{RANDOM}.tmp",
            FileName(FileKind.SHARD_TEMPORARY, "ckpt", token=RANDOM),
        ),
        (f"a\nb.{RANDOM}.tmp", FileName(FileKind.COMMIT_TEMPORARY, "a\nb", token=RANDOM)),
        *(
            (name, FileName(FileKind.BARE, name))
            for name in (
                *("ckpt", ".index", "checkpoint", "ckpt.tmp", f".{RANDOM}.tmp", "ckpt.INDEX"),
                f"ckpt.{RANDOM.upper()}.tmp",
                f"ckpt.{RANDOM[1:]}.tmp",
                f"ckpt.{RANDOM}.tmp\n",
                f"ckpt.data-00001-of-00002.{RANDOM[1:]}",
                f"ckpt.data-0001-of-00002.{RANDOM}",
                f"ckpt.data-\u0660\u0660\u0660\u0660\u0661-of-00002.{RANDOM}",
            )
        ),
    ],
)
def test_names_are_read(name: str, expected: FileName) -> None:
    """Each form of name is recognised to the letter, and whatever is close to one is not."""
    assert expected == read_name(name)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("ckpt-12", ("ckpt", 12)),
        ("ckpt-0", ("ckpt", 0)),
        ("ckpt-00000012", ("ckpt", 12)),
        ("a-1-2", ("a-1", 2)),
        ("ckpt--1", ("ckpt-", 1)),
        ("ckpt", ("ckpt", None)),
        ("ckpt-", ("ckpt-", None)),
        ("ckpt-1x", ("ckpt-1x", None)),
        ("ckpt-\u0661\u0662", ("ckpt-\u0661\u0662", None)),
        ("ckpt-" + "9" * 18, ("ckpt", 10**18 - 1)),
        ("ckpt-" + "9" * 19, ("ckpt-" + "9" * 19, None)),
    ],
)
def test_prefixes_are_split(prefix: str, expected: tuple[str, int | None]) -> None:
    """A prefix ends in a number if it ends in a dash and up to 18 ASCII digits."""
    assert expected == files.split_number(prefix)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and read_name(name).kind is FileKind.BARE)


@given(NAMES, st.integers(0, 99_998), st.sampled_from(Form))
def test_what_is_named_is_read_back(prefix: str, shard: int, form: Form) -> None:
    """Every file name of any prefix that is allowed leads back to that prefix."""
    files.check_prefix(prefix, form)
    named = {
        files.commit_file(prefix, Form.INDEX): FileKind.INDEX,
        files.commit_file(prefix, Form.SAFETENSORS): FileKind.SAFETENSORS,
        files.commit_file(prefix, Form.BARE): FileKind.BARE,
        files.shard_file(prefix, shard, shard + 1, RANDOM): FileKind.SHARD,
        files.shard_file(prefix, shard, shard + 1): FileKind.SHARD,
        files.temporary_shard_file(prefix, shard, RANDOM): FileKind.SHARD_TEMPORARY,
        files.temporary_commit_file(prefix, RANDOM, form): FileKind.COMMIT_TEMPORARY,
    }
    assert named == {name: read_name(name).kind for name in named}
    assert {prefix} == {read_name(name).prefix for name in named}


@pytest.mark.parametrize(
    "prefix", ["", "dir/", ".", "..", "dir/..", "a\0b", "ckpt.index", f"dir/ckpt.{RANDOM}.tmp"]
)
def test_what_cannot_name_a_checkpoint_is_refused(prefix: str) -> None:
    """A prefix without a name, or one that ends as a file of a checkpoint, is a ValueError."""
    with pytest.raises(ValueError, match="prefix"):
        files.check_prefix(prefix)


@pytest.mark.parametrize(
    ("form", "longest"), [(Form.INDEX, 218), (Form.SAFETENSORS, 222), (Form.BARE, 234)]
)
def test_names_fit_255_bytes(form: Form, longest: int) -> None:
    """The longest prefix has file names of 255 bytes; one byte more is refused, in UTF-8."""
    fits = "n" * longest
    files.check_prefix(f"dir/{fits}", form)
    names = [files.temporary_commit_file(fits, RANDOM, form)]
    if form.has_shards:
        names.append(files.shard_file(fits, 0, 1, RANDOM))
        names.append(files.temporary_shard_file(fits, 0, RANDOM))
    assert max(map(len, names)) == 255
    for prefix in ("n" * (longest + 1), "ü" * (longest // 2 + 1)):
        with pytest.raises(StorageError, match="bytes long, expected at most"):
            files.check_prefix(prefix, form)


def test_paths_are_split_and_joined() -> None:
    """The directory of a bare prefix is the current one, and joining it adds nothing."""
    for path in ("ckpt", "run/ckpt", "/ckpt", "/run/ckpt", "./run/ckpt", "../ckpt"):
        directory, base = files.split_path(path)
        assert base == "ckpt"
        assert path == files.in_directory(directory, base)
        assert path == files.in_directory_of(path, base)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        (SaveOptions(), Form.INDEX),
        (SaveOptions(single_file=True), Form.BARE),
        (SaveOptions(format="tensorflow"), Form.INDEX),
        (SaveOptions(format="safetensors"), Form.SAFETENSORS),
        (SaveOptions(format="safetensors", single_file=True), Form.SAFETENSORS),
    ],
)
def test_options_ask_for_a_form(options: SaveOptions, form: Form) -> None:
    """TensorFlow's format has an index, that of safetensors one file, the native one either."""
    assert form is form_for(options)


def test_parts_are_told_apart() -> None:
    """Only names numbered from 0 on, without a gap, are the parts of one checkpoint."""
    names = [
        *("m-5-00000-of-00002", "m-5-00001-of-00002", "m-5-00000-of-00001"),
        *("gap-00000-of-00003", "gap-00002-of-00003"),
        *("one-00001-of-00001", "two-00001-of-00002", "two-00002-of-00002"),
        *("m-5", "-00000-of-00001", "x-0000-of-0001", "m-5-?????-of-00002"),
    ]
    assert files.part_sets(names) == {"m-5": {2: names[:2], 1: names[2:3]}}
