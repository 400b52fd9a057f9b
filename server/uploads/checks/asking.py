"""How the checks are asked: all of them before a file is published, and the early ones while its body arrives.

The callers are:

    completion.py  -> Checks.judge    the whole file, after its SHA-256; what a check raises decides what happens
    engine.py      -> Checks.head     the first bytes of an upload that has more to come
      receive.py   -> Head.judge      as soon as HEAD bytes are there
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from onward.protocol.errors import Failed
from onward.protocol.model import Licence, Role, Upload
from onward.server.uploads.body_writer import Write
from onward.server.uploads.checks import HEAD, Check, Content, Later
from onward.server.uploads.checks.types import TypeCheck, detect
from onward.server.uploads.interrupt import Interrupt
from onward.storage.base import Blobs, Block, StorageError
from onward.storage.running.uncancellable import disregard, uncancellable

AFTER_FAULT = 60.0  # seconds until a check is asked again that has raised an unexpected error
WORTHWHILE = 2**16  # bytes; a file that is not larger is only judged as a whole
LOOK = 0.1  # seconds between two looks whether the work is to stop
log = logging.getLogger("onward")
Ask = Callable[[Check, Upload, Content, Interrupt], Awaitable[None]]


class Checks:
    """The checks of a server, in their order; `counts` says how often each came to which outcome."""

    def __init__(self, checks: Sequence[Check], blobs: Blobs) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._checks, self._blobs = tuple(checks), blobs
        self._early = tuple(check for check in self._checks if getattr(check, "early", False))

    def concern(self, upload: Upload) -> bool:
        """Return whether an upload is checked: a part is not, since it is not published."""
        return bool(self._checks or upload.types) and upload.role is not Role.PARTIAL

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the checks."""
        return tuple(map(_name, self._checks))

    async def probe(self) -> None:
        """Ask the checks that have a `probe` whether they can judge at the moment; raises Later if one can't."""
        for check in self._checks:
            if (probe := getattr(check, "probe", None)) is not None:
                await probe()

    async def judge(self, upload: Upload, interrupt: Interrupt, head: bytes | None) -> str | None:
        """Ask all checks about a whole file; returns its media type, or None if it was not recognised.

        `head` are its first HEAD bytes, if they are known; they are read otherwise. Raises Failed, Later, StorageError,
        and what cuts the work short (see `Interrupt`).
        """
        content = Content(self._blobs, upload.place, upload.offset, head=head)
        for check in (*_granted(upload), *self._checks):
            content.is_unjudged = False
            await self.ask(check, upload, content, interrupt)
            self.counts[_name(check), "unjudged" if content.is_unjudged else "passed"] += 1
        if content.content_type is None:
            with suppress(StorageError):  # the type is only told; nothing depends on it
                return detect(await content.head())
        return content.content_type

    async def ask(self, check: Check, upload: Upload, content: Content, interrupt: Interrupt) -> None:
        """Ask one check, and count it if the file does not pass; raises what `judge` raises."""
        try:
            await _ask(check, upload, content, interrupt)
        except (Failed, Later) as verdict:
            self.counts[_name(check), "held" if isinstance(verdict, Later) else "rejected"] += 1
            raise

    def head(self, upload: Upload, licence: Licence) -> "Head":
        """Return the beginning of an upload as a body brings it; it is judged early only where that is worthwhile."""
        is_early = self.concern(upload) and licence.start < HEAD and licence.end > WORTHWHILE
        return Head((*_granted(upload), *self._early) if is_early else (), self.ask, self._blobs, upload, licence)


class Head:
    """The first bytes of an upload; some may be stored already, the others arrive in a body.

    Those of a body with a checksum are judged at its end: they may have been damaged on their way.
    """

    def __init__(self, checks: Sequence[Check], ask: Ask, blobs: Blobs, upload: Upload, licence: Licence) -> None:
        self._checks, self._ask, self._blobs, self._upload, self._licence = checks, ask, blobs, upload, licence
        self._bytes = bytearray()
        self._judged = not checks

    def of(self, upload: Upload) -> bytes | None:
        """Return the first HEAD bytes of a whole upload if this body brought all of them."""
        return bytes(self._bytes) if len(self._bytes) == min(HEAD, upload.offset) else None

    def tapped(self, write: Write) -> Write:
        """Return a function that writes blocks, and also keeps what belongs to the first bytes."""
        if self._licence.start >= HEAD:
            return write

        def tap(block: Block, at: int) -> None:
            write(block, at)
            if at < HEAD:
                self._bytes += block[: HEAD - at]

        return tap

    def lacks(self, position: int) -> int:
        """Return how many bytes have to arrive until the beginning can be judged; 0 if it was judged."""
        return 0 if self._judged or self._licence.checksum else max(HEAD - position, 0)

    async def judge(self, position: int, *, proved: bool = False) -> None:
        """Ask the early checks once the first bytes are there, up to `position`; raises Failed and StorageError.

        `proved`: the body had the checksum that was announced. If a check can't judge now, it is asked at the end.
        """
        if self._judged or position < HEAD or (self._licence.checksum and not proved):
            return
        self._judged = True
        stored = Content(self._blobs, self._upload.place, self._licence.start)
        head = await stored.head() + bytes(self._bytes)
        content = Content(self._blobs, self._upload.place, len(head), head=head)
        for check in self._checks:
            with suppress(Later):
                await self._ask(check, self._upload, content, Interrupt())


def _granted(upload: Upload) -> tuple[Check, ...]:
    """Return the checks of the types that the grants of an upload allow, if they name any."""
    return tuple(map(TypeCheck, upload.types))


def _name(check: Check) -> str:
    """Return what the metrics call a check."""
    return str(getattr(check, "name", None) or getattr(check, "__name__", type(check).__name__))


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
