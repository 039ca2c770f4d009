"""The names of a checkpoint's files, and how to read a name.

    PREFIX.index                                   the commit file of the usual form
    PREFIX.data-00000-of-00002.<16 hex>            its shards; the 16 digits are the content's token
    PREFIX                                         the one-file form
    PREFIX.safetensors                             the safetensors form
    PREFIX.index.<16 hex>.tmp                      temporaries of one save, all with one random
    PREFIX.data-00000.<16 hex>.tmp                 number (how many shards there will be is not
    PREFIX.<16 hex>.tmp                            known yet when the first one is created)

Nothing here touches a disk.
"""

from __future__ import annotations

import errno
import posixpath
import re
from enum import Enum
from typing import Final

import attrs

from checkpointable.errors import StorageError
from checkpointable.storage.base import TEMPORARY_SUFFIX

#: The most shards of one checkpoint: five digits count them.
MOST_SHARDS: Final = 99_999

#: The longest file name that file systems allow, in bytes.
_LONGEST_NAME: Final = 255
_LONGEST_SUFFIX: Final = len(".data-00000-of-00000.0123456789abcdef")
_LONGEST_SUFFIX_SINGLE: Final = len(".0123456789abcdef.tmp")

#: Longer runs of digits are part of the name: they would not fit a counter.
_NUMBERED: Final = re.compile(r"(?P<name>.*)-(?P<number>[0-9]{1,18})", re.DOTALL)

_TEMPORARY: Final = re.compile(
    r"(?P<prefix>.+?)(?P<part>\.index|\.data-[0-9]{5})?\.(?P<random>[0-9a-f]{16})"
    + re.escape(TEMPORARY_SUFFIX),
    re.DOTALL,
)
_SHARD: Final = re.compile(
    r"(?P<prefix>.+)\.data-(?P<shard>[0-9]{5})-of-(?P<count>[0-9]{5})(\.(?P<token>[0-9a-f]{16}))?",
    re.DOTALL,
)


#: What a sharded `Saver` returns, in TensorFlow and here: the question marks stand as they are.
_PATTERN: Final = re.compile(r"(?P<prefix>.+)-\?{5}-of-[0-9]{5}", re.DOTALL)


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


def index_file(prefix: str) -> str:
    """Return the path of the commit file of the usual form."""
    return f"{prefix}.index"


def safetensors_file(prefix: str) -> str:
    """Return the path of the safetensors form."""
    return f"{prefix}.safetensors"


def commit_file(prefix: str, *, single_file: bool) -> str:
    """Return the path of the file whose appearance makes the checkpoint."""
    return prefix if single_file else index_file(prefix)


def shard_file(prefix: str, shard: int, count: int, token: str) -> str:
    """Return the path of a shard."""
    return f"{prefix}.data-{shard:05d}-of-{count:05d}.{token}"


def temporary_commit_file(prefix: str, random: str, *, single_file: bool) -> str:
    """Return the path under which the commit file is written."""
    return f"{commit_file(prefix, single_file=single_file)}.{random}{TEMPORARY_SUFFIX}"


def temporary_shard_file(prefix: str, shard: int, random: str) -> str:
    """Return the path under which a shard is written."""
    return f"{prefix}.data-{shard:05d}.{random}{TEMPORARY_SUFFIX}"


def check_prefix(prefix: str, *, single_file: bool) -> None:
    """Refuse a prefix that cannot name a checkpoint.

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
    room = _LONGEST_NAME - (_LONGEST_SUFFIX_SINGLE if single_file else _LONGEST_SUFFIX)
    length = len(base.encode("utf-8", "surrogatepass"))
    if length > room:
        raise StorageError(
            f"{prefix[:80]} ...: the name of the checkpoint is {length} bytes long, expected at"
            f" most {room}, because a file name has at most {_LONGEST_NAME} bytes and the files of"
            " a checkpoint have longer names than their prefix. Use a shorter name.",
            errno=errno.ENAMETOOLONG,
            path=prefix,
        )
