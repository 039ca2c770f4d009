"""The version of the library, written into every index for messages."""

from typing import Final

VERSION: Final = "0.1.0"
