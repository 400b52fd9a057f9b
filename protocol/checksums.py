"""The checksum algorithms that a client may announce for one body, as a table.

The dialects offer and check the names; the server makes a running checksum of a body by `begin`.
"""

import hashlib
import zlib
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

Data = bytes | bytearray | memoryview


class Summing(Protocol):
    """A running checksum."""

    def update(self, data: Data, /) -> None:
        """Add the next bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all bytes so far."""


class Algorithm(Struct, frozen=True):
    """A row of the table."""

    # The size of the digest in bytes.
    size: int
    # Start a running checksum.
    begin: Callable[[], Summing]


class _Cyclic:
    """A 32-bit checksum of zlib, written in network byte order as in RFC 3309."""

    def __init__(self, function: Callable[[Data, int], int], start: int) -> None:
        self._function, self._value = function, start

    def update(self, data: Data, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _hashed(name: str, size: int) -> Algorithm:
    return Algorithm(size, lambda: hashlib.new(name, usedforsecurity=False))


ALGORITHMS = {
    "sha1": _hashed("sha1", 20),
    "sha256": _hashed("sha256", 32),
    "sha512": _hashed("sha512", 64),
    "md5": _hashed("md5", 16),
    "crc32": Algorithm(4, lambda: _Cyclic(zlib.crc32, 0)),
    "adler32": Algorithm(4, lambda: _Cyclic(zlib.adler32, 1)),
    "sha224": _hashed("sha224", 28),
    "sha384": _hashed("sha384", 48),
    "sha3-256": _hashed("sha3-256", 32),
    "sha3-512": _hashed("sha3-512", 64),
    "blake2b": _hashed("blake2b", 64),
}
