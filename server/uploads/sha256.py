"""A SHA-256 that can be put down and taken up again: its state is plain bytes, kept with the offset it belongs to.

hashlib's own can't be, so this calls the library that hashlib calls, OpenSSL. Where that can't be had the state is
None, and stored bytes are read again instead.
"""

import _hashlib
import ctypes
import hashlib
import struct
from typing import Any, NamedTuple, Protocol

from onward.storage.base import Block

VERSION = b"S2\x01"
_BLOCK = 64
_SPARE = 512  # bytes behind the context: one of another layout may be larger, and is written to before that is noticed
_FIXED = struct.Struct(">3s32sQ")  # version, the eight words so far, bytes so far; then what fills no whole block yet


class _Context(ctypes.Structure):
    """SHA256_CTX of OpenSSL 1.1 to 4, and spare room."""

    _fields_ = (
        ("words", ctypes.c_uint32 * 8), ("low", ctypes.c_uint32), ("high", ctypes.c_uint32),
        ("data", ctypes.c_ubyte * _BLOCK), ("held", ctypes.c_uint), ("size", ctypes.c_uint),
        ("spare", ctypes.c_ubyte * _SPARE),
    )  # fmt: skip


class Sha256(Protocol):
    """A SHA-256 on its way."""

    def update(self, data: Block, /) -> None:
        """Add bytes; other threads run meanwhile."""

    def digest(self) -> bytes:
        """Return the hash of all bytes so far."""

    def state(self) -> bytes | None:
        """Return what `resumed` goes on from, None where it can't be put down."""


class _Library(NamedTuple):
    """The functions of OpenSSL; what takes a microsecond does not let go of the interpreter, which takes longer."""

    begin: Any
    update: Any
    end: Any


def _library() -> _Library | None:
    try:
        quick, long = ctypes.PyDLL(_hashlib.__file__), ctypes.CDLL(_hashlib.__file__)
        library = _Library(quick.SHA256_Init, long.SHA256_Update, quick.SHA256_Final)
    except (OSError, AttributeError):  # a Python with OpenSSL inside, or one without
        return None
    library.begin.argtypes = (ctypes.c_void_p,)
    library.update.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    library.end.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return library


class OpenSsl:
    """By the library that hashlib uses."""

    def __init__(self, library: _Library) -> None:
        self._library, self._context = library, _Context()
        library.begin(ctypes.byref(self._context))

    def update(self, data: Block, /) -> None:
        """Add bytes; other threads run meanwhile."""
        view = memoryview(data)
        if not view.readonly:
            at: object = (ctypes.c_char * len(view)).from_buffer(view)
        else:
            at = data if isinstance(data, bytes) else bytes(data)
        self._library.update(ctypes.byref(self._context), at, len(view))

    def digest(self) -> bytes:
        """Return the hash of all bytes so far."""
        copy, told = _Context.from_buffer_copy(self._context), ctypes.create_string_buffer(32)
        self._library.end(told, ctypes.byref(copy))
        return told.raw

    def state(self) -> bytes:
        """Return what `resumed` goes on from."""
        context = self._context
        words = struct.pack(">8I", *context.words)
        count = (context.high << 32 | context.low) // 8
        return _FIXED.pack(VERSION, words, count) + bytes(context.data[: context.held])

    def resume_parser(self, words: bytes, count: int, tail: bytes) -> None:
        """Go on where another was put down."""
        context = self._context
        context.words[:] = struct.unpack(">8I", words)
        context.high, context.low = divmod(count * 8, 2**32)
        context.data[: len(tail)] = tail
        context.held = len(tail)


class HashLib:
    """By hashlib; it can't be put down."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.update, self.digest = self._hash.update, self._hash.digest

    def state(self) -> None:
        """Return nothing."""
        return


def _tried(library: _Library | None) -> _Library | None:
    """Return the library if putting down and taking up works with it, as it may not with another layout."""
    if library is None:
        return None
    data, first, second = b"onward" * 33, OpenSsl(library), OpenSsl(library)
    first.update(data)
    _, words, count = _FIXED.unpack_from(first.state())
    second.resume_parser(words, count, first.state()[_FIXED.size :])
    second.update(data)
    return library if second.digest() == hashlib.sha256(data * 2).digest() else None


_openssl = _tried(_library())


def begun() -> Sha256:
    """Begin at the first byte."""
    return HashLib() if _openssl is None else OpenSsl(_openssl)


def resumed(state: bytes | None, offset: int) -> Sha256 | None:
    """Go on behind the first `offset` bytes; None where the state isn't that of just these."""
    if _openssl is None or state is None or len(state) < _FIXED.size:
        return None
    version, words, count = _FIXED.unpack_from(state)
    tail = state[_FIXED.size :]
    if version != VERSION or count != offset or len(tail) != count % _BLOCK:
        return None
    hash_ = OpenSsl(_openssl)
    hash_.resume_parser(words, count, tail)
    return hash_
