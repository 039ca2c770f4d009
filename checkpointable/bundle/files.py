"""The names of a checkpoint's files, and how to read a name.

    PREFIX.index                                   the commit file of the usual form
    PREFIX.data-00000-of-00002.<16 hex>            its shards; the 16 digits are the content's token
    PREFIX.data-00000-of-00002                     its shards in TensorFlow's format: no token
    PREFIX.safetensors                             the safetensors form
    PREFIX                                         the one-file form
    PREFIX.index.<16 hex>.tmp                      temporaries of one save, all with one random
    PREFIX.data-00000.<16 hex>.tmp                 number (how many shards there will be is not
    PREFIX.safetensors.<16 hex>.tmp                known yet when the first one is created)
    PREFIX.<16 hex>.tmp

    PREFIX-00000-of-00002                          TensorFlow's first format, read only: the parts
                                                   of a checkpoint that has several

Nothing here touches a disk.
"""

from __future__ import annotations

import errno
import posixpath
import re
from collections.abc import Collection, Iterable
from enum import Enum
from typing import Final

import attrs

from checkpointable.errors import StorageError
from checkpointable.options import SaveOptions
from checkpointable.storage.base import TEMPORARY_SUFFIX

#: The most shards of one checkpoint: five digits count them.
MOST_SHARDS: Final = 99_999

#: What the name of a file ends with that lists the parts of a safetensors checkpoint.
LIST_OF_PARTS: Final = ".safetensors.index.json"

#: The longest file name that file systems allow, in bytes.
_LONGEST_NAME: Final = 255

#: Longer runs of digits are part of the name: they would not fit a counter.
_NUMBERED: Final = re.compile(r"(?P<name>.*)-(?P<number>[0-9]{1,18})", re.DOTALL)

_TEMPORARY: Final = re.compile(
    r"(?P<prefix>.+?)(?P<part>\.index|\.safetensors|\.data-[0-9]{5})?\.(?P<random>[0-9a-f]{16})"
    + re.escape(TEMPORARY_SUFFIX),
    re.DOTALL,
)
_SHARD: Final = re.compile(
    r"(?P<prefix>.+)\.data-(?P<shard>[0-9]{5})-of-(?P<count>[0-9]{5})(\.(?P<token>[0-9a-f]{16}))?",
    re.DOTALL,
)


#: What a sharded `Saver` returns, in TensorFlow and here: the question marks stand as they are.
_PATTERN: Final = re.compile(r"(?P<prefix>.+)-\?{5}-of-(?P<count>[0-9]{5})", re.DOTALL)

#: A part of a checkpoint of TensorFlow's first format.
_PART: Final = re.compile(r"(?P<prefix>.+)-(?P<part>[0-9]{5})-of-(?P<count>[0-9]{5})", re.DOTALL)


class Form(Enum):
    """How the files of a checkpoint are laid out, in the order in which readers take them.

    The value is what the name of the commit file adds to the prefix.
    """

    INDEX = ".index"  #: an index and shards: the native format's usual form, and TensorFlow's
    SAFETENSORS = ".safetensors"  #: one file
    BARE = ""  #: one file, called exactly as the prefix

    @property
    def has_shards(self) -> bool:
        """Whether there are files beside the commit file."""
        return self is Form.INDEX

    @property
    def hiding(self) -> tuple[Form, ...]:
        """The forms that readers would take rather than this one, the first choice first."""
        forms = tuple(Form)
        return forms[: forms.index(self)]


def form_for(options: SaveOptions) -> Form:
    """Return the form in which a checkpoint is saved with these options.

    >>> form_for(SaveOptions(format="safetensors"))
    <Form.SAFETENSORS: '.safetensors'>
    """
    if options.format == "safetensors":
        return Form.SAFETENSORS
    return Form.BARE if options.single_file else Form.INDEX


class FileKind(Enum):
    """What a file name says about the file."""

    INDEX = "index"
    SHARD = "shard"
    SAFETENSORS = "safetensors"
    COMMIT_TEMPORARY = "temporary commit file"
    SHARD_TEMPORARY = "temporary shard"
    BARE = "bare"  #: perhaps the one-file form, perhaps no file of a checkpoint at all


@attrs.frozen
class FileName:
    """A file name, read.

    Attributes:
        kind: what the name says about the file.
        prefix: the prefix it belongs to, without directory.
        shard: the number of the shard, and
        count: of how many; 0 where the name does not say.
        token: the token of a shard, the random number of a temporary, or "".
    """

    kind: FileKind
    prefix: str
    shard: int = 0
    count: int = 0
    token: str = ""


def read_name(name: str) -> FileName:
    """Tell what a file name, without directory, says.

    >>> read_name("ckpt-3.data-00001-of-00002.00112233445566aa").prefix
    'ckpt-3'
    """
    # Most names are ruled out by their end, without a pattern: directories may be large.
    if name.endswith(TEMPORARY_SUFFIX) and (match := _TEMPORARY.fullmatch(name)):
        is_shard = (match["part"] or "").startswith(".data")
        kind = FileKind.SHARD_TEMPORARY if is_shard else FileKind.COMMIT_TEMPORARY
        return FileName(kind, match["prefix"], token=match["random"])
    if ".data-" in name and (match := _SHARD.fullmatch(name)):
        shard, count = int(match["shard"]), int(match["count"])
        return FileName(FileKind.SHARD, match["prefix"], shard, count, match["token"] or "")
    for kind in (FileKind.INDEX, FileKind.SAFETENSORS):
        if name.endswith(f".{kind.value}") and len(name) > len(kind.value) + 1:
            return FileName(kind, name.removesuffix(f".{kind.value}"))
    return FileName(FileKind.BARE, name)


def split_number(prefix: str) -> tuple[str, int | None]:
    """Split a prefix into its name and its number.

    >>> split_number("ckpt-12"), split_number("ckpt")
    (('ckpt', 12), ('ckpt', None))
    """
    match = _NUMBERED.fullmatch(prefix)
    return (match["name"], int(match["number"])) if match else (prefix, None)


def without_pattern(path: str) -> str:
    """Return the prefix that a path means, which may be a sharded pattern `PREFIX-?????-of-NNNNN`.

    >>> without_pattern("run/model-5-?????-of-00002"), without_pattern("run/model-5")
    ('run/model-5', 'run/model-5')
    """
    match = _PATTERN.fullmatch(path)
    return match["prefix"] if match else path


def pattern_count(path: str) -> int | None:
    """Return how many parts a sharded pattern speaks of; `None` if the path is none.

    >>> pattern_count("run/model-5-?????-of-00002"), pattern_count("run/model-5")
    (2, None)
    """
    match = _PATTERN.fullmatch(path)
    return int(match["count"]) if match else None


def read_part_name(name: str) -> tuple[str, int, int] | None:
    """Return of which prefix a file may be a part, which one, and of how many.

    Only what is in the file tells whether it is: a one-file checkpoint may be called so too.

    >>> read_part_name("model-5-00000-of-00002")
    ('model-5', 0, 2)
    """
    if "-of-" not in name:
        return None
    match = _PART.fullmatch(name)
    return (match["prefix"], int(match["part"]), int(match["count"])) if match else None


def part_sets(names: Iterable[str]) -> dict[str, dict[int, list[str]]]:
    """Return the complete sets of names of parts: by prefix and count the names, in order."""
    found: dict[tuple[str, int], list[tuple[int, str]]] = {}
    for name in names:
        read = read_part_name(name)
        if read is not None:
            prefix, part, count = read
            found.setdefault((prefix, count), []).append((part, name))
    sets: dict[str, dict[int, list[str]]] = {}
    for (prefix, count), parts in found.items():
        parts.sort()
        if [part for part, _ in parts] == list(range(count)):
            sets.setdefault(prefix, {})[count] = [name for _, name in parts]
    return sets


def split_path(path: str) -> tuple[str, str]:
    """Split a path into its directory and its last part; no directory is `.`.

    >>> split_path("runs/ckpt"), split_path("ckpt")
    (('runs', 'ckpt'), ('.', 'ckpt'))
    """
    directory, base = posixpath.split(path)
    return directory or ".", base


def in_directory(directory: str, name: str) -> str:
    """Return the path of a name in a directory, as `split_path` gives it."""
    return name if directory == "." else posixpath.join(directory, name)


def in_directory_of(prefix: str, name: str) -> str:
    """Return the path of a name in the directory of a prefix."""
    return in_directory(split_path(prefix)[0], name)


def listed_parts(names: Collection[str]) -> set[str]:
    """Return the safetensors files that are parts of a checkpoint which another file lists.

    >>> sorted(listed_parts(["m-00001-of-00001.safetensors", "m.safetensors.index.json"]))
    ['m-00001-of-00001.safetensors']
    """
    lists = {name.removesuffix(LIST_OF_PARTS) for name in names if name.endswith(LIST_OF_PARTS)}
    if not lists:
        return set()
    parts = ((name, read_part_name(name.removesuffix(Form.SAFETENSORS.value))) for name in names)
    return {name for name, part in parts if part is not None and part[0] in lists}


def index_file(prefix: str) -> str:
    """Return the path of the commit file of the usual form."""
    return commit_file(prefix, Form.INDEX)


def commit_file(prefix: str, form: Form) -> str:
    """Return the path of the file whose appearance makes the checkpoint."""
    return f"{prefix}{form.value}"


def commit_files(prefix: str) -> list[str]:
    """Return the paths of the commit files of all forms, in the order in which readers look."""
    return [commit_file(prefix, form) for form in Form]


def shard_file(prefix: str, shard: int, count: int, token: str = "") -> str:
    """Return the path of a shard; without a token it is one of TensorFlow's format."""
    name = f"{prefix}.data-{shard:05d}-of-{count:05d}"
    return f"{name}.{token}" if token else name


def temporary_commit_file(prefix: str, random: str, form: Form) -> str:
    """Return the path under which the commit file is written."""
    return f"{commit_file(prefix, form)}.{random}{TEMPORARY_SUFFIX}"


def temporary_shard_file(prefix: str, shard: int, random: str) -> str:
    """Return the path under which a shard is written."""
    return f"{prefix}.data-{shard:05d}.{random}{TEMPORARY_SUFFIX}"


def check_prefix(prefix: str, form: Form | None = None) -> None:
    """Refuse a prefix that cannot name a checkpoint.

    Args:
        prefix: the prefix.
        form: in which the checkpoint is to be saved; `None`: the names may have any length.

    Raises:
        ValueError: it has no name, or ends as the files of a checkpoint end.
        StorageError: a file name would be longer than 255 bytes.
    """
    base = split_path(prefix)[1]
    if base in {"", ".", ".."} or "\0" in base:
        raise ValueError(
            f"{prefix!r} is no prefix of a checkpoint: expected a directory and a name, such as"
            " 'runs/ckpt'."
        )
    if read_name(base).kind is not FileKind.BARE:
        raise ValueError(
            f"{prefix!r} ends as a file of a checkpoint does. Give the prefix alone:"
            f" {read_name(base).prefix!r}."
        )
    room = _LONGEST_NAME - (0 if form is None else _longest_suffix(form))
    length = len(base.encode("utf-8", "surrogatepass"))
    if length > room:
        raise StorageError(
            f"{prefix[:80]} ...: the name of the checkpoint is {length} bytes long, expected at"
            f" most {room}, because a file name has at most {_LONGEST_NAME} bytes and the files of"
            " a checkpoint have longer names than their prefix. Use a shorter name.",
            errno=errno.ENAMETOOLONG,
            path=prefix,
        )


def _longest_suffix(form: Form) -> int:
    """Return how much the longest of the files' names adds to the prefix."""
    digits = "0" * 16
    names = [temporary_commit_file("", digits, form)]
    if form.has_shards:
        names += [shard_file("", 0, 1, digits), temporary_shard_file("", 0, digits)]
    return max(map(len, names))
