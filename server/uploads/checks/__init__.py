"""Checks: judgements about the content of a file, made before it is published.

    all bytes are there, and the SHA-256 is right
      -> check 1, check 2, …      each returns: the file passes
                                  or raises Rejected: the upload fails, and is never published
                                  or raises Later: the upload is held (`verifying`), and is checked again later
      -> publish

A check is any `async (upload, content) -> None`, such as a function; `create_app(config, checks=[…])` takes a list of
them, and they are called in that order. After a crash, and for an upload that was held, all of them are called again.
Partial uploads are not published, so they are not checked; their final upload is.

The metrics call a check by its attribute `name`, or by the name of the function. `async probe()`, if it has one, raises
Later while it can't judge any file; `/readyz` tells that.

A check with the attribute `early = True` looks at `content.head()` only. It is called a first time while the body
arrives, as soon as the first HEAD bytes are there, so that a wrong file is refused before the rest is sent.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from onward.protocol.errors import Failed
from onward.protocol.model import Failure, Place, Upload
from onward.storage.base import Blobs

HEAD = 4096  # bytes at the beginning of a file, from which its type is recognised
_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)


class Rejected(Failed):
    """The file is not to be published: the upload fails, and the request that brought the last byte gets this answer.

    `code` is for programs (words in lower case, joined by hyphens), `status` is from 400 to 499, `title` is a sentence
    that is the same for all such files, and `detail` is a sentence about this one. Raises ValueError for others.
    """

    def __init__(self, code: str, status: int, title: str, detail: str = "") -> None:
        if not _CODE.fullmatch(code) or not 400 <= status <= 499:
            raise ValueError(f"{code!r} is no code, or {status} is no status from 400 to 499")
        super().__init__(Failure(code=code, status=status, title=title, detail=detail))


class Later(Exception):
    """A check can't judge at the moment. The upload is held, and is checked again after `retry_after` seconds or more.

    The text of the exception is for the log.
    """

    def __init__(self, retry_after: float, why: str = "") -> None:
        super().__init__(why or "a check asks to be called again later")
        self.retry_after = retry_after


class Content:
    """The stored bytes of an upload, as a check reads them; nothing is read before it is asked for.

    A check may set `content_type` to the media type that it has recognised; it is recorded with the upload. It may set
    `is_unjudged` if it lets the file pass without a judgement; that is counted.
    """

    def __init__(self, blobs: Blobs, place: Place, length: int, *, head: bytes | None = None) -> None:
        self.length = length  # bytes that can be read: all of them, or what has arrived when an early check is called
        self.content_type: str | None = None
        self.is_unjudged = False
        self._blobs, self._place, self._head = blobs, place, head

    async def head(self) -> bytes:
        """Return the first HEAD bytes, or all if there are fewer. Raises StorageError."""
        if self._head is None:
            self._head = b"".join([block async for block in self.blocks(0, min(HEAD, self.length))])
        return self._head

    @asynccontextmanager
    async def file(self) -> AsyncIterator[int | None]:
        """Open a descriptor for reading; None if the store has no files, or the upload no bytes. Raises StorageError.

        The file may be longer than `length`; what comes after is not part of the upload.
        """
        if not self.length:
            yield None
            return
        async with self._blobs.file(self._place, self.length) as descriptor:
            yield descriptor

    async def blocks(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) in blocks, to the end if `stop` is None. Raises StorageError."""
        stop = self.length if stop is None else stop
        if start < stop:
            async with aclosing(self._blobs.read(self._place, start, stop)) as blocks:
                async for block in blocks:
                    yield block


class Check(Protocol):
    """A judgement about a file before it is published."""

    async def __call__(self, upload: Upload, content: Content, /) -> None:
        """Return if the file may be published; raise Rejected or Later otherwise.

        A StorageError, or any other exception, holds the upload too. It may be called several times for one upload,
        and is cancelled when the server stops.
        """
