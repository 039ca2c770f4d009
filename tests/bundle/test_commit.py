"""The commit: numbers, what may be replaced, what is removed, and what stays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from checkpointable.bundle.commit import Commit, begin
from checkpointable.bundle.peek import COMMIT_FILES
from checkpointable.errors import CheckpointExistsError, CheckpointWarning, StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.base import read_all
from checkpointable.storage.local import LocalStorage
from checkpointable.storage.memory import DiskImage, MemoryStorage
from tests.harness.bundles import BundleDriver
from tests.harness.driving import RawDriver
from tests.harness.processes import in_child
from tests.harness.recording import RecordingStorage, Remove, Rename, Started, Sync, SyncDir
from tests.harness.wrapping import WrappedStorage
from tests.interop.tensorflow.samples import FIXTURES

RANDOM = "00112233445566aa"
TOKEN = "aa66554433221100"
DRIVER = RawDriver(shards=2, shard_bytes=100)
OPTIONS = SaveOptions()
SINGLE = SaveOptions(single_file=True)


def _storage(*paths: str) -> MemoryStorage:
    return MemoryStorage(DiskImage(dict.fromkeys(paths, b"content")))


def _begin(storage: MemoryStorage, counter: int = 0, prefix: str = "/run/ckpt") -> Commit:
    return begin(storage, prefix, OPTIONS, numbered=True, counter=counter, reader=DRIVER.reader)


@pytest.mark.parametrize(
    ("present", "counter", "expected"),
    [
        ([], 0, 1),
        ([], 6, 7),
        (["ckpt-3.index"], 3, 4),
        (["ckpt-3.index"], 5, 6),
    ],
)
def test_the_next_number_is_taken(present: list[str], counter: int, expected: int) -> None:
    """The number is the counter plus 1 where nothing higher is present, without a warning."""
    with _begin(_storage(*(f"/run/{name}" for name in present)), counter) as commit:
        assert (commit.number, commit.prefix) == (expected, f"/run/ckpt-{expected}")


@pytest.mark.parametrize(
    "name",
    [
        "ckpt-7.index",
        "ckpt-7",
        "ckpt-7.safetensors",
        "ckpt-7.data-00000-of-00001",
        "ckpt-00000007.index",
        "ckpt-7.index/in-a-directory",
    ],
)
def test_numbers_that_are_present_are_skipped(name: str) -> None:
    """Every form on disk takes its number; skipping numbers gives one warning that says so."""
    storage = _storage("/run/ckpt-2.index", f"/run/{name}", "/run/ckpt-old-9.index")
    with pytest.warns(CheckpointWarning, match="numbers up to 7 are taken") as caught:
        commit = _begin(storage, counter=2)
    commit.abort()
    assert commit.number == 8
    assert len(caught) == 1


def test_a_warning_that_is_an_error_leaves_nothing() -> None:
    """Where warnings are errors, the one about numbers ends the save and nothing is left."""
    storage = _storage("/run/ckpt-7.index")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointWarning):
            _begin(storage)
    assert storage.list_dir("/run") == ["ckpt-7.index"]


def test_a_writer_at_work_keeps_its_number() -> None:
    """The number of a save that is not finished is taken until it ends."""
    storage = MemoryStorage()
    with _begin(storage) as first, pytest.warns(CheckpointWarning), _begin(storage) as second:
        assert (first.number, second.number) == (1, 2)
    with _begin(storage) as third:
        assert third.number == 1


@pytest.mark.parametrize("options", [OPTIONS, SINGLE])
def test_overwrite_false_refuses_a_checkpoint(options: SaveOptions) -> None:
    """With overwrite=False a checkpoint of either form is never replaced."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt", 1, options)
    before = storage.image()
    for single_file in (False, True):
        refusing = SaveOptions(single_file=single_file, overwrite=False)
        with pytest.raises(CheckpointExistsError, match="may not be replaced"):
            DRIVER.save(storage, "/run/ckpt", 2, refusing)
    assert before == storage.image()


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/run/ckpt.index", OPTIONS),
        ("/run/ckpt.index", SINGLE),
        ("/run/ckpt.index/in-a-directory", OPTIONS),
        ("/run/ckpt", SINGLE),
        ("/run/ckpt/in-a-directory", SINGLE),
        ("/run/ckpt.safetensors", SINGLE),
    ],
)
def test_what_is_no_checkpoint_is_never_replaced(path: str, options: SaveOptions) -> None:
    """A file or directory that is not ours, and in the way, ends the save before anything."""
    storage = _storage(path)
    before = storage.image()
    with pytest.raises(CheckpointExistsError, match="never replaced"):
        DRIVER.save(storage, "/run/ckpt", 2, options)
    assert before == storage.image()


def test_what_is_not_in_the_way_stays() -> None:
    """A file called as the prefix is left alone by a checkpoint with an index."""
    storage = _storage("/run/ckpt", "/run/ckpt.safetensors", "/run/ckpt.meta")
    DRIVER.save(storage, "/run/ckpt", 1, OPTIONS)
    assert DRIVER.load(storage, "/run/ckpt") == 1
    assert read_all(storage, "/run/ckpt") == b"content"


def test_what_came_meanwhile_is_not_replaced() -> None:
    """What may not be replaced is looked for again at the commit, under the lock."""
    storage = MemoryStorage()
    with _begin(storage) as commit:
        DRIVER.save(storage, "/run/ckpt-1", 5, OPTIONS)
        with pytest.raises(CheckpointExistsError):
            commit.finish([])
    assert len(storage.list_dir("/run")) == 3
    assert DRIVER.load(storage, "/run/ckpt-1") == 5


def test_leftovers_of_the_name_go_and_nothing_else() -> None:
    """Of the dead, temporaries and unnamed shards of the same name go, whatever the number."""
    storage = MemoryStorage()
    DRIVER.save(storage, "/run/ckpt-1", 1, OPTIONS)
    kept = [
        *("/run/notes", "/run/ckpt", "/run/ckpt-4.data-00000-of-00001", "/run/ckpt-4.meta"),
        *(f"/run/ckptx.{RANDOM}.tmp", f"/run/ckpt-x.index.{RANDOM}.tmp"),
        *(f"/run/ckpt.{RANDOM}.TMP", f"/run/other.data-00000-of-00001.{TOKEN}"),
        *(f"/run/ckpt-8.index.{RANDOM}.tmp/in-a-directory", "/run/checkpoint"),
        f"/run/sub/ckpt.{RANDOM}.tmp",
    ]
    leftovers = [
        *(f"/run/ckpt.index.{RANDOM}.tmp", f"/run/ckpt-9.{RANDOM}.tmp"),
        *(f"/run/ckpt-2.data-00003.{RANDOM}.tmp", f"/run/ckpt-3.data-00000-of-00001.{TOKEN}"),
        f"/run/ckpt-1.data-00000-of-00002.{TOKEN}",  # beside those that its index names
    ]
    own = dict(storage.image().files)
    content = dict.fromkeys(kept + leftovers, b"content")
    storage = MemoryStorage(DiskImage(own | content))
    DRIVER.save(storage, "/run/ckpt-5", 2, OPTIONS)
    left = {p for p in storage.image().files if not p.startswith("/run/ckpt-5.")}
    assert left == own.keys() | set(kept)


def test_shards_of_an_unreadable_index_stay() -> None:
    """Where an index cannot be read nobody knows which shards it names, so all stay."""
    paths = [f"/run/ckpt-3.data-0000{n}-of-00001.{TOKEN}" for n in range(2)]
    storage = _storage("/run/ckpt-3.index", *paths)
    DRIVER.save(storage, "/run/ckpt-4", 1, OPTIONS)
    assert {"/run/ckpt-3.index", *paths} <= storage.image().files.keys()


def test_without_locks_nothing_is_removed() -> None:
    """Where the storage cannot lock, a writer may be at work: its temporaries stay, and count."""

    class Lockless(WrappedStorage):
        def lock_dir(self, path: str) -> AbstractContextManager[bool]:
            return self._unlocked()

        @contextmanager
        def _unlocked(self) -> Iterator[bool]:
            yield False

    storage = _storage(f"/run/ckpt-1.index.{RANDOM}.tmp")
    with pytest.warns(CheckpointWarning):
        DRIVER.save(Lockless(storage), "/run/ckpt", 1, OPTIONS, numbered=True)
    assert DRIVER.load(storage, "/run/ckpt-2") == 1
    assert f"ckpt-1.index.{RANDOM}.tmp" in storage.list_dir("/run")


@pytest.mark.parametrize("old", [OPTIONS, SINGLE])
@pytest.mark.parametrize("new", [OPTIONS, SINGLE])
def test_what_is_replaced_goes(old: SaveOptions, new: SaveOptions) -> None:
    """After a save over another, in whatever form, there are the files of the new one alone."""
    storage, fresh = MemoryStorage(), MemoryStorage()
    DRIVER.save(storage, "/run/ckpt", 1, old)
    for disk in (storage, fresh):
        DRIVER.save(disk, "/run/ckpt", 2, new)
    assert storage.image() == fresh.image()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_inside_leaves_nothing(error: type[BaseException]) -> None:
    """An exception inside the block, an interrupt too, removes the temporaries and arrives."""
    storage = MemoryStorage()

    def fail() -> None:
        with _begin(storage) as commit:
            commit.create_shard(0).write([b"half"])
            raise error

    with pytest.raises(error):
        fail()
    assert storage.list_dir("/run") == []


def test_leaving_without_finish_commits_nothing() -> None:
    """A block that ends without `finish` leaves nothing behind."""
    storage = MemoryStorage()
    with _begin(storage) as commit:
        commit.file.write([b"index"])
    assert storage.list_dir("/run") == []


def test_a_clean_up_that_fails_masks_nothing() -> None:
    """Where the temporaries cannot be removed, the first error is the one that arrives."""

    class Stubborn(WrappedStorage):
        def remove(self, path: str) -> None:
            raise StorageError("cannot", path=path)

    with pytest.raises(ZeroDivisionError), _begin(Stubborn(MemoryStorage())):  # type: ignore[arg-type]
        raise ZeroDivisionError


def test_shards_must_be_sealed_and_named() -> None:
    """A commit with an unsealed shard, or another number of tokens, is refused."""
    storage = MemoryStorage()
    for sealed, tokens in [(0, [TOKEN] * 2), (1, [TOKEN] * 2), (2, [TOKEN]), (2, [TOKEN] * 3)]:
        with _begin(storage) as commit:
            for shard in range(2):
                commit.create_shard(shard)
            for shard in range(sealed):
                commit.seal_shard(shard)
            with pytest.raises(RuntimeError, match="tokens were given"):
                commit.finish(tokens)
    with pytest.raises(ValueError, match="at most 99,999 shards"), _begin(storage) as commit:
        commit.create_shard(99_999)


def test_durable_false_skips_syncs_and_nothing_else() -> None:
    """Without `durable` the same operations happen in the same order, only no sync among them."""
    logs = []
    for durable in (True, False):
        storage = RecordingStorage()
        storage.log.append(Started(1, durable))
        DRIVER.save(storage, "/run/ckpt", 1, SaveOptions(durable=durable))
        logs.append([type(step) for step in storage.log])
    durable, scratch = logs
    assert [step for step in durable if step not in {Sync, SyncDir}] == scratch
    assert Sync in durable


def test_a_forked_child_cannot_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child forked in mid-save cannot finish it, and does not remove its parent's files."""
    storage = LocalStorage()

    def child(commit: Commit) -> bool:
        try:
            with commit:
                commit.finish([])
        except StorageError as error:
            return "forked" in str(error)
        return False

    monkeypatch.chdir(tmp_path)
    with begin(storage, "ckpt", OPTIONS, numbered=True, reader=DRIVER.reader) as commit:
        assert in_child(lambda: child(commit))
        commit.file.write([b"index"])
        commit.finish([])
    assert storage.list_dir(".") == ["ckpt-1.index"]


@pytest.mark.parametrize("options", [OPTIONS, SINGLE])
def test_real_commit_files_are_recognised(options: SaveOptions) -> None:
    """An index and a one-file checkpoint are ours; damaged ones too, other files are not."""
    storage = MemoryStorage()
    BundleDriver().save(storage, "/run/ckpt", 1, options)
    path = "/run/ckpt" if options.single_file else "/run/ckpt.index"
    content = read_all(storage, path)
    middle = len(content) // 2
    for data, expected in [
        (content, True),
        (content[:middle] + b"?" + content[middle + 1 :], True),
        (b"", not options.single_file),
        (b"other", False),
        (bytes(len(content)), False),
    ]:
        disk = MemoryStorage(DiskImage({path: data}))
        assert COMMIT_FILES.is_checkpoint(disk, path) == expected
    if not options.single_file:
        tokens = COMMIT_FILES.tokens(storage, path)
        assert tokens is not None
        assert {name.rpartition(".")[2] for name in storage.list_dir("/run")} == {"index", *tokens}
        assert COMMIT_FILES.tokens(_storage("/run/ckpt.index"), "/run/ckpt.index") is None


def test_leftovers_without_token_do_not_add_up() -> None:
    """What dead writers of one prefix left goes before shards are named, once it is certain."""
    storage = MemoryStorage()
    options = SaveOptions(format="tensorflow")
    DRIVER.save(storage, "/run/ckpt", 1, options)
    left = [f"/run/ckpt.data-00000-of-0000{count}" for count in (1, 3, 4, 7)]
    own = dict(storage.image().files)
    storage = RecordingStorage(DiskImage(own | dict.fromkeys(left, b"left")))
    DRIVER.save(storage, "/run/ckpt", 2, options)
    assert DRIVER.load(storage, "/run/ckpt") == 2
    names = {name for name in storage.list_dir("/run") if "data" in name}
    assert names == {f"ckpt.data-0000{shard}-of-00003" for shard in range(3)}


def test_shards_of_a_damaged_index_stay_until_it_is_replaced() -> None:
    """Where it is not certain what an index names, nothing goes before the commit point."""
    storage = MemoryStorage()
    options = SaveOptions(format="tensorflow")
    DRIVER.save(storage, "/run/ckpt", 1, options)
    content = dict(storage.image().files)
    content["/run/ckpt.index"] = b"RAW-CHECKPOINT, but damaged"
    storage = RecordingStorage(DiskImage(content))
    DRIVER.save(storage, "/run/ckpt", 2, options)
    steps = [step for step in storage.log if isinstance(step, (Remove, Rename))]
    commit = [isinstance(s, Rename) and s.destination.endswith(".index") for s in steps].index(True)
    assert not any(isinstance(step, Remove) for step in steps[:commit])


def test_every_number_of_shards_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no number of shards is free the save fails and says what to do."""
    monkeypatch.setattr("checkpointable.bundle.files.MOST_SHARDS", 3)
    storage = _storage(*(f"/run/ckpt.data-00000-of-0000{count}/x" for count in (2, 3)))
    with pytest.raises(StorageError, match="a number that is free"):
        DRIVER.save(storage, "/run/ckpt", 1, SaveOptions(format="tensorflow"))


@pytest.mark.parametrize("sample", ["all_dtypes/ckpt-1", "sharded_multi/ckpt-1"])
def test_the_number_of_shards_is_read_from_an_index_of_tensorflow(sample: str) -> None:
    """How many shards without token an index names is known, unless it is damaged."""
    index = str(FIXTURES / f"{sample}.index")
    shards = len(list(FIXTURES.glob(f"{sample}.data-*")))
    assert COMMIT_FILES.count_without_tokens(LocalStorage(), index) == shards
    for content, count in [(b"\0\0\3" + bytes(60), None), (b"", None), (b"\x93ckpt\r\n\x1a", 0)]:
        disk = MemoryStorage(DiskImage({"/x.index": content}))
        assert COMMIT_FILES.count_without_tokens(disk, "/x.index") is count


@pytest.mark.parametrize("sample", ["all_dtypes/ckpt-1", "synthetic_big_endian/ckpt-1"])
def test_an_index_of_tensorflow_that_is_cut_short_is_a_checkpoint(sample: str) -> None:
    """TensorFlow does not write it at once; so much of it is enough to know what it is."""
    content = (FIXTURES / f"{sample}.index").read_bytes()
    for length in (16, 48, len(content) - 1):
        disk = MemoryStorage(DiskImage({"/x.index": content[:length]}))
        assert COMMIT_FILES.is_checkpoint(disk, "/x.index")
        assert COMMIT_FILES.count_without_tokens(disk, "/x.index") is None


def test_finishing_without_tokens_needs_sealed_shards_and_an_index() -> None:
    """A form without shards, or another number of sealed shards, is refused."""
    storage = MemoryStorage()
    with _begin(storage) as commit, pytest.raises(RuntimeError, match="shards are to be named"):
        commit.finish_without_tokens(1, lambda count: None)
    with (
        begin(storage, "/run/x", SINGLE, numbered=False, reader=DRIVER.reader) as commit,
        pytest.raises(RuntimeError, match="has no shards"),
    ):
        commit.finish_without_tokens(0, lambda count: None)
