"""How the checks are asked: all of them before a file is published, and the early ones while its body arrives.

The callers are:

    completion.py  -> Checks.judge    the whole file, after its SHA-256; what a check raises decides what happens
    engine.py      -> Checks.head     the first bytes of an upload that has more to come
      receive.py   -> Head.judge      as soon as HEAD bytes are there
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from onward.protocol.errors import Failed
from onward.protocol.model import Licence, Role, Upload
from onward.server.uploads.body_writer import Write
from onward.server.uploads.checks import HEAD, Check, Content, Later
from onward.server.uploads.interrupt import Interrupt
from onward.storage.base import Blobs, Block, StorageError
from onward.storage.running.uncancellable import disregard, uncancellable

AFTER_FAULT = 60.0  # seconds until a check is asked again that has raised an unexpected error
WORTHWHILE = 2**16  # bytes; a file that is not larger is only judged as a whole
LOOK = 0.1  # seconds between two looks whether the work is to stop
log = logging.getLogger("onward")


class Checks:
    """The checks of a server, in their order."""

    def __init__(self, checks: Sequence[Check], blobs: Blobs) -> None:
        self._checks, self._blobs = tuple(checks), blobs
        self._early = tuple(check for check in self._checks if getattr(check, "early", False))

    def __bool__(self) -> bool:
        return bool(self._checks)

    async def judge(self, upload: Upload, interrupt: Interrupt) -> str | None:
        """Ask all checks about a whole file; returns its media type, if a check has recognised one.

        Raises Failed, Later, StorageError, and what cuts the work short (see `Interrupt`).
        """
        content = Content(self._blobs, upload.place, upload.offset)
        for check in self._checks:
            await _ask(check, upload, content, interrupt)
        return content.content_type

    def head(self, upload: Upload, licence: Licence) -> "Head":
        """Return the beginning of an upload as a body brings it; it is judged early only where that is worthwhile."""
        is_early = upload.role is not Role.PARTIAL and licence.start < HEAD and licence.end > WORTHWHILE
        return Head(self._early if is_early else (), self._blobs, upload, licence.start)


class Head:
    """The first bytes of an upload; those before `start` are stored already, the others arrive in a body."""

    def __init__(self, checks: Sequence[Check], blobs: Blobs, upload: Upload, start: int) -> None:
        self._checks, self._blobs, self._upload, self._start = checks, blobs, upload, start
        self._bytes = bytearray()
        self._judged = not checks

    def tapped(self, write: Write) -> Write:
        """Return a function that writes blocks, and also keeps what belongs to the first bytes."""
        if self._judged:
            return write

        def tap(block: Block, at: int) -> None:
            write(block, at)
            if at < HEAD:
                self._bytes += block[: HEAD - at]

        return tap

    def lacks(self, position: int) -> int:
        """Return how many bytes have to arrive until the beginning can be judged; 0 if it was judged."""
        return 0 if self._judged else max(HEAD - position, 0)

    async def judge(self, position: int) -> None:
        """Ask the early checks once the first bytes are there, up to `position`; raises Failed and StorageError.

        What a check can't judge now is left to the end of the upload.
        """
        if self._judged or position < HEAD:
            return
        self._judged = True
        stored = Content(self._blobs, self._upload.place, self._start)
        head = await stored.head() + bytes(self._bytes)
        content = Content(self._blobs, self._upload.place, len(head), head=head)
        for check in self._checks:
            with suppress(Later):
                await _ask(check, self._upload, content, Interrupt())


async def _ask(check: Check, upload: Upload, content: Content, interrupt: Interrupt) -> None:
    """Ask one check, and stop it if the work is cut short; an unexpected error of a check means Later."""

    async def ask() -> None:
        try:
            await check(upload, content)
        except (Failed, Later, StorageError):
            raise
        except Exception as error:  # whatever it is, the file is not published unchecked, and is not lost either
            log.exception("a check of upload %s… failed", upload.id[:8])
            raise Later(AFTER_FAULT, "a check has failed") from error

    asking = asyncio.ensure_future(ask())
    try:
        while not asking.done():
            await asyncio.wait({asking}, timeout=LOOK)
            interrupt.check()
        asking.result()
    finally:
        asking.cancel()
        asking.add_done_callback(disregard)
        await uncancellable(asyncio.wait({asking}))
