"""Our index within the metadata of a safetensors file, bound to the whole header (ST-8).

The index is base64 text after a digest of the header in which the digits of the digest are zeros.
So any change of the header is seen, be it damage or another program that wrote the file anew.
"""

from __future__ import annotations

import base64
from typing import Final

from checkpointable.bundle.peek import OWN_MARK
from checkpointable.errors import UnsupportedFormatError
from checkpointable.format.frame import corrupt, digest
from checkpointable.interop.safetensors.header import Header

#: The name of the metadata that holds our index.
KEY: Final = "checkpointable"
_VERSION: Final = "1"

_ZEROS: Final = b"0" * 32
_BEFORE: Final = f'"{KEY}":"{OWN_MARK}'.encode()


def index_text(index: bytes) -> str:
    """Return the text for an index, not yet bound to a header."""
    encoded = base64.b64encode(index).decode("ascii")
    return f"{OWN_MARK}{_ZEROS.decode()} {_VERSION} {encoded}"


def bind(text: bytes) -> bytes:
    """Return the text of a header with the digest of all of it in its place."""
    place = text.index(_BEFORE) + len(_BEFORE)
    bound = bytearray(text)
    bound[place : place + len(_ZEROS)] = digest(text).hex().encode()
    return bytes(bound)


def stored_index(header: Header) -> bytes | None:
    """Return the index in a header; `None` if it has none: another program wrote the file.

    Ask before the tensors are looked at: in a file of ours whatever is wrong there is damage.

    Raises:
        CorruptCheckpointError: there is one, but it does not belong to this header.
        UnsupportedFormatError: a newer version of the library wrote it.
    """
    value = header.metadata.get(KEY)
    if value is None and not any(OWN_MARK in other for other in header.metadata.values()):
        return None
    place = header.text.find(_BEFORE) + len(_BEFORE)
    found = header.text[place : place + len(_ZEROS)]
    zeroed = bytearray(header.text)
    zeroed[place : place + len(_ZEROS)] = _ZEROS
    computed = digest(zeroed).hex().encode()
    if value is None or not value.startswith(OWN_MARK) or found != computed:
        raise corrupt(
            header.file,
            "ST-8",
            "the header is damaged, or another program wrote the file anew and kept the index of"
            f" this library in it. In that case write it once more without the metadata {KEY!r},"
            " and it is read as any other file",
            expected=computed.decode(),
            found=found.decode("latin-1"),
        )
    version, _, encoded = value[len(OWN_MARK) + len(_ZEROS) + 1 :].partition(" ")
    if version != _VERSION:
        raise UnsupportedFormatError(
            f"{header.file}: a newer version of checkpointable wrote this file (its index is of"
            f" version {version[:20]}, expected {_VERSION}). Install a newer version."
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise corrupt(header.file, "ST-8", f"the index is no base64 text: {error}") from None
