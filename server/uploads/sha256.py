"""A SHA-256 that can be saved in the middle and continued later: its state is plain bytes that belong to an offset.

hashlib offers no such state. So this calls the library that hashlib itself calls, OpenSSL, by ctypes, and reads the
state from its context. It is tried once at the start against hashlib. If that fails, for example because this Python
has another library, the state is None, and the stored bytes are read again when an upload is continued.
"""

import _hashlib
import ctypes
import hashlib
import struct
from typing import Any, NamedTuple, Protocol

from onward.storage.base import Block

VERSION = b"S2\x01"
_BLOCK = 64
_SPARE = 512  # bytes behind the context: that of another library may be larger, and is written to before it is noticed
_FIXED = struct.Struct(">3s32sQ")  # version, the eight words, the count of bytes; the rest of a block follows
_STORED, _NATIVE = struct.Struct(">8I"), struct.Struct("=8I")  # the words as they are saved, and as OpenSSL has them


class _Context(ctypes.Structure):
    """SHA256_CTX of OpenSSL 1.1 to 4, and spare room."""

    _fields_ = (
        ("words", ctypes.c_uint32 * 8), ("low", ctypes.c_uint32), ("high", ctypes.c_uint32),
        ("data", ctypes.c_ubyte * _BLOCK), ("held", ctypes.c_uint), ("size", ctypes.c_uint),
        ("spare", ctypes.c_ubyte * _SPARE),
    )  # fmt: skip


class Sha256(Protocol):
    """A SHA-256 of the bytes so far."""

    def update(self, data: Block, /) -> None:
        """Add bytes; other threads run meanwhile."""

    def digest(self) -> bytes:
        """Return the hash of all bytes so far."""

    def state(self) -> bytes | None:
        """Return what `resumed` needs to continue, or None if that is impossible."""


class _Library(NamedTuple):
    """The functions of OpenSSL. Short ones keep the interpreter lock: to release it would take longer than the call."""

    begin: Any
    update: Any
    end: Any


def _library() -> _Library | None:
    try:
        quick, long = ctypes.PyDLL(_hashlib.__file__), ctypes.CDLL(_hashlib.__file__)
        library = _Library(quick.SHA256_Init, long.SHA256_Update, quick.SHA256_Final)
    except (OSError, AttributeError):  # OpenSSL is linked statically, or missing
        return None
    library.begin.argtypes = (ctypes.c_void_p,)
    library.update.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    library.end.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return library


class OpenSsl:
    """The SHA-256 of the OpenSSL that hashlib uses."""

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
        copy, digest = _Context.from_buffer_copy(self._context), ctypes.create_string_buffer(32)
        self._library.end(digest, ctypes.byref(copy))
        return digest.raw

    def state(self) -> bytes:
        """Return what `resumed` needs to continue."""
        context = self._context
        words = _STORED.pack(*_NATIVE.unpack_from(context))
        count = (context.high << 32 | context.low) // 8
        return _FIXED.pack(VERSION, words, count) + bytes(context.data)[: context.held]

    def restore(self, words: bytes, count: int, tail: bytes) -> None:
        """Continue from a saved state: the eight words, the count of bytes, and the rest of a block."""
        context = self._context
        _NATIVE.pack_into(context, 0, *_STORED.unpack(words))
        context.high, context.low = divmod(count * 8, 2**32)
        context.data[: len(tail)] = tail
        context.held = len(tail)


class HashLib:
    """The SHA-256 of hashlib, which has no state to save."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.update, self.digest = self._hash.update, self._hash.digest

    def state(self) -> None:
        """Return None."""
        return


def _tried(library: _Library | None) -> _Library | None:
    """Return the library if a saved hash can be continued with it; its context may have another layout."""
    if library is None:
        return None
    data, first, second = b"onward" * 33, OpenSsl(library), OpenSsl(library)
    first.update(data)
    _, words, count = _FIXED.unpack_from(first.state())
    second.restore(words, count, first.state()[_FIXED.size :])
    second.update(data)
    return library if second.digest() == hashlib.sha256(data * 2).digest() else None


_openssl = _tried(_library())


def begun() -> Sha256:
    """Begin a hash at the first byte."""
    return HashLib() if _openssl is None else OpenSsl(_openssl)


def reached(state: bytes | None) -> int | None:
    """Return how many bytes are in a saved state; None if it is none of this version."""
    if state is None or len(state) < _FIXED.size:
        return None
    version, _, count = _FIXED.unpack_from(state)
    return int(count) if version == VERSION else None


def resumed(state: bytes | None, offset: int) -> Sha256 | None:
    """Continue a hash after the first `offset` bytes; None if the state does not belong to exactly these bytes."""
    if _openssl is None or state is None or reached(state) != offset:
        return None
    _, words, count = _FIXED.unpack_from(state)
    tail = state[_FIXED.size :]
    if len(tail) != count % _BLOCK:
        return None
    hash_ = OpenSsl(_openssl)
    hash_.restore(words, count, tail)
    return hash_
