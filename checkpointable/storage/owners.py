"""What a lock file says of its holder, and what who comes second is told.

A lock file holds one line, the owner, while its lock is held, and nothing after that. Of a process
that was killed the line stays; the next holder overwrites it. After a power cut there may be half
of it, or zeros.
"""

from __future__ import annotations

import errno
import re
from typing import Final

from checkpointable.errors import DirectoryInUseError, StorageError

#: How many bytes of a lock file are looked at: no owner has more, the line's end included.
LONGEST_OWNER: Final = 512

_LINE: Final = re.compile(rb"pid [0-9]+ on [^\n]*\n")
#: What a power cut may leave of a line.
_REST: Final = re.compile(rb"(?:pid [0-9]+ on [^\n]*\n?|pid [0-9]*(?: (?:on?)?)?|pid?|p|)\0*")


def encode_owner(owner: str) -> bytes:
    r"""Return the content of a lock file.

    >>> encode_owner("pid 7 on host")
    b'pid 7 on host\n'
    """
    return _printable(owner).encode("utf-8", "replace")[: LONGEST_OWNER - 1] + b"\n"


def decode_owner(content: bytes) -> str | None:
    r"""Return who holds a lock; `None` if its file does not say so, or not yet.

    >>> decode_owner(b"pid 7 on host\n"), decode_owner(b"pid 7 o")
    ('pid 7 on host', None)
    """
    if len(content) > LONGEST_OWNER or _LINE.fullmatch(content) is None:
        return None
    return _printable(content[:-1].decode("utf-8", "replace"))


def check_lock_file(path: str, content: bytes) -> None:
    """Refuse to overwrite what is no lock file of this library, such as a `poetry.lock`."""
    if len(content) > LONGEST_OWNER or _REST.fullmatch(content) is None:
        raise StorageError(
            f"{path}: holds something else, expected an empty file or one line that names the"
            " holder of this lock (pid 123 on host). Use another name, or another directory.",
            errno=errno.EEXIST,
            path=path,
        )


def in_use(path: str, holder: str | None, owner: str) -> DirectoryInUseError:
    """Return the error for who finds the lock held; `holder` is `None` if that is not known."""
    who = "another process or object, unknown which" if holder is None else holder
    if holder == _printable(owner):
        who = f"{holder}, which is this very process"
    return DirectoryInUseError(
        f"{path}: the lock of this name is held by {who}, expected it to be free. Close the other"
        " manager or end its process, or use another name or another directory. Reading needs no"
        " lock.",
    )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
