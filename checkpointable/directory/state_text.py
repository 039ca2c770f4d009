"""Protocol buffer text, as far as state files need it: fields with strings, numbers and lists.

It is read with tolerance: what is unknown or cannot be understood is passed over. Reading takes
time linear in the length, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

#: One piece of text. A quote that nothing closes on its line, and all that is odd, is `other`.
_TOKEN: Final = re.compile(
    r"""(?P<space> \s++ | \#[^\n]*+ )
    | (?P<string> "(?:[^"\\\n]|\\.)*+" | '(?:[^'\\\n]|\\.)*+' )
    | (?P<number> (?:[0-9]++(?:\.[0-9]*+)? | \.[0-9]++) (?:[eE][-+]?[0-9]++)? [fF]? (?![\w.]) )
    | (?P<word> [A-Za-z_]\w*+ )
    | (?P<other> . )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_SPECIAL: Final = ("inf", "infinity", "nan")
_ESCAPE: Final = re.compile(
    rb"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})"
    rb"|u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS: Final = {
    bytes([a]): bytes([b]) for a, b in zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True)
}
_LITERAL: Final = (b"\\", b"'", b'"', b"?")
_WRITTEN: Final = {b: f"\\{c}" for b, c in zip(b"\n\r\t\"'\\", "nrt\"'\\", strict=True)}


@attrs.frozen
class Value:
    """One value of a field, as it stands in the text.

    Attributes:
        literals: what stands in the quoted strings that make it up; none if it is a number.
        number: a number, or a word; "" if it is a string.
    """

    literals: Sequence[str] = ()
    number: str = ""

    def text(self) -> str:
        """Return it as a text.

        Raises:
            ValueError: it is a number or a word, or holds an unknown escape.
        """
        if not self.literals:
            raise ValueError(f"expected a quoted text, found {self.number[:40]!r}")
        return unquoted(self.literals)

    def seconds(self) -> float:
        """Return it as a number.

        Raises:
            ValueError: it is none.
        """
        sign, digits = self.number.startswith("-"), self.number.lower().removeprefix("-")
        if digits[:1].isalpha() and digits not in _SPECIAL:
            raise ValueError(f"expected a number, found {self.number[:40]!r}")
        found = float(digits if digits in _SPECIAL else digits.removesuffix("f"))
        return -found if sign else found


def read_fields(text: str) -> Iterator[tuple[str, Value]]:
    """Yield the fields of a text, each value of a list by itself; those of messages are left out.

    >>> [(name, value.text()) for name, value in read_fields("a: ['x', 'y' 'z']; b { a: 'no' }")]
    [('a', 'x'), ('a', 'yz')]
    """
    tokens, depth = _Tokens(text), 0
    while tokens.kind:
        kind, token = tokens.take()
        if kind == "word" and tokens.text == ":":
            tokens.take()
            for value in _read_values(tokens):
                if not depth:
                    yield token, value
        elif token in {"{", "}"}:
            depth = max(0, depth + (1 if token == "{" else -1))


class _Tokens:
    """The pieces of a text, one at a time, without space and comments.

    Attributes:
        kind: of the next piece; "" at the end.
        text: the next piece.
    """

    def __init__(self, text: str) -> None:
        self._matches = _TOKEN.finditer(text)
        self.kind = self.text = ""
        self.take()

    def take(self) -> tuple[str, str]:
        """Return the next piece, and go on."""
        taken = self.kind, self.text
        self.kind = self.text = ""
        for match in self._matches:
            if match.lastgroup != "space":
                self.kind, self.text = str(match.lastgroup), match[0]
                break
        return taken


def _read_values(tokens: _Tokens) -> Iterator[Value]:
    """Yield what follows a colon: one value, or those of a list."""
    in_list = tokens.text == "["
    if in_list:
        tokens.take()
    while (value := _read_value(tokens)) is not None:
        yield value
        if not in_list or tokens.text != ",":
            break
        tokens.take()


def _read_value(tokens: _Tokens) -> Value | None:
    """Read one string, number or word; return `None` if there is none."""
    literals: list[str] = []
    while tokens.kind == "string":
        literals.append(tokens.take()[1][1:-1])
    if literals:
        return Value(literals=literals)
    sign = tokens.take()[1] if tokens.text == "-" else ""
    if tokens.kind in {"number", "word"}:
        return Value(number=sign + tokens.take()[1])
    return None


def quoted(text: str) -> str:
    r"""Return a text in quotes, in plain ASCII; bytes that are no UTF-8 are kept.

    >>> print(quoted("a\nb"))
    "a\nb"
    """
    data = text.encode("utf-8", "surrogateescape")
    escaped = (_WRITTEN.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data)
    return f'"{"".join(escaped)}"'


def unquoted(literals: Iterable[str]) -> str:
    r"""Return what stands between quotes, with its escapes carried out; several literals are one.

    >>> unquoted([r"\303\274 \u00fc", r" \ud83d\ude00"])
    'ü ü 😀'

    Raises:
        ValueError: there is an unknown escape.
    """
    data = bytearray()
    for literal in literals:
        data += _ESCAPE.sub(_unescape, literal.encode("utf-8", "surrogateescape"))
    return data.decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[bytes]) -> bytes:
    if match["octal"] is not None:
        return bytes([int(match["octal"], 8) & 0xFF])
    if match["hex"] is not None:
        return bytes([int(match["hex"], 16)])
    if match["high"] is not None:  # two halves of one character
        halves = bytes.fromhex((match["high"] + match["low"]).decode())
        return halves.decode("utf-16-be").encode()
    code = match["short"] or match["long"]
    if code is not None:
        return chr(int(code, 16)).encode()
    letter = match["letter"]
    if letter in _LITERAL:
        return letter
    if letter not in _LETTERS:
        raise ValueError(f"unknown escape {match[0]!r}")
    return _LETTERS[letter]
