"""The seam of the bytes: where the contents of the uploads are stored.

Each upload has a place, a name that the store makes up from the upload's own id; nothing that a client sends becomes
part of it. The bytes of a body are written to the place by position. When all are there and verified, the place is
sealed: the bytes get their final name, durable and read-only.

    create            open, write, sync            seal              read, file
    (no file yet) --> partial/ID, growing -------> files/ID, whole -------> downloads
                          |  scan, join                |
                          +--------- remove -----------+

Where a layout gives finished files a path of their own, they are staged first: the place then says which path it shall
be, and is recorded before anything gets that name. So a crash in the middle of publishing finds the same path again.

    partial/ID --- stage ---> whole, with its path --- record --- seal ---> files/PATH

A sealed place is `files/` and the published path. To that, and to a staged place, a store may add `//` and what it
needs to know its own file again.

A place can move. Where bytes cannot be changed in place, as in object storage, each lease may write to another place,
and each sync may name another one. So the record always names the place that counts, and this is the rule for both
sides:

    the store     keeps the bytes that a place had, until it is called again with a later place of the same upload,
                  since only then it is certain that the record names that one
    the caller    saves the place together with the position that is durable there, in one record

A crash in between leaves the record with the former place, whose bytes are whole. A local store never moves a place.

Callers hold the lease on the upload while they write. A lease can be lost in the middle of that, for example when the
machine is suspended. So every method after which bytes would change hands takes `holds`, a function that says at the
very last moment whether the lease is still held.

Which nodes are alive (nodes.py) and the copies of records (backups.py) are seams of their own.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from onward.protocol.model import Place, UploadId
from onward.storage.base.short_files import ShortFiles


class Durability(StrEnum):
    """What an acknowledged byte survives."""

    FULL = "full"  # a power cut: the bytes of each upload are synced before their offset is acknowledged
    GROUP = "group"  # a power cut as well, but uploads that want a sync at the same time share one
    PROCESS = "process"  # a crash of the server; synced only when an upload pauses, and before it is published
    NONE = "none"  # a crash of the server; never synced, for tests

    @property
    def relaxed(self) -> bool:
        """Return whether bytes are acknowledged that may still be only in the memory of the machine."""
        return self in (Durability.PROCESS, Durability.NONE)


class Room(NamedTuple):
    """Free bytes: where uploads arrive, and where they are published if that is another file system."""

    arriving: int
    published: int | None = None


def is_staged(place: Place) -> bool:
    """Return whether a place of an upload that is not completed is staged already."""
    return "//" in place


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """The permissions of published files, and of the folders that their paths need."""

    file: int = 0o440
    folder: int = 0o700


USUAL_MODES = Modes()


class Stride(NamedTuple):
    """What is received of one body between two records: so many bytes, or so many seconds, whichever comes first."""

    bytes: int
    seconds: float


class About(NamedTuple):
    """What a published object says about its file, where the store can keep that."""

    sha256: bytes = b""
    file_name: str | None = None
    content_type: str | None = None


NOTHING_SAID = About()


def say_nothing() -> About:
    """Return that nothing is known."""
    return NOTHING_SAID


class Ahead(NamedTuple):
    """What is known of the end of an upload while its bytes arrive; a store may prepare itself for that."""

    length: int | None = None  # of the whole upload
    named: bool = False  # the file will be published at the upload's id, and nothing has to read it before
    about: Callable[[], About] = say_nothing  # what the client has said about the file


NOTHING_KNOWN = Ahead()


Block = bytes | bytearray | memoryview


class BlobWriter(Protocol):
    """An open place, to which one body is written by position."""

    @property
    def place(self) -> Place:
        """Return the place that counts from now on; it may change with every `sync`.

        It is saved together with the position that `sync` returned last, or, before that, with the position at which
        the place was opened.
        """

    @property
    def boundary(self) -> int | None:
        """Return a position at which a block should end, since bytes become durable up to there; None for anywhere.

        Asked in the thread that writes, before each block.
        """

    def write(self, block: Block, at: int) -> None:
        """Write the whole block at a position. Called in a worker thread, and never while the writer is `full`.

        May block for a local disk, but not for a network: such a writer keeps a copy and stores it later. The caller
        may reuse `block` afterwards. Raises Missing, Stale, Full or Unreachable; how much of the block was written is
        unknown then.
        """

    @property
    def full(self) -> bool:
        """Return whether the next block has to wait for `drained`. Asked in any thread, once for each block."""

    async def drained(self) -> None:
        """Wait until the writer is not full any more; raises what `write` raises."""

    async def sync(self, *, ended: bool = False) -> int:
        """Make bytes as durable as the store's durability asks for, and return the position up to which they are.

        In the middle of a body that may be less than was written, and less than before is never returned. `ended` says
        that no more bytes of this body will come: then everything that was written is made durable. If a sync fails,
        nothing written since the last success may be trusted. Raises Full or Unreachable.
        """


class Blobs(Protocol):
    """The bytes of each upload. Every method may raise Unreachable, and Full if it writes."""

    @property
    def stride(self) -> Stride:
        """Return how much of a body is received between two records."""

    @property
    def rereads(self) -> bool:
        """Return whether whole files are read again if their verification was interrupted.

        Otherwise the saved hash state counts, since the bytes are safe, and to read them would be expensive.
        """

    @property
    def short(self) -> ShortFiles | None:
        """Return the fast path for short files (short_files.py); None if this store has none."""

    async def create(self, id: UploadId) -> Place:
        """Return a place for a new upload. Nothing needs to exist there before the first byte."""

    def open(
        self, place: Place, at: int, holds: Callable[[], bool] = lambda: True, ahead: Ahead = NOTHING_KNOWN
    ) -> AbstractAsyncContextManager[BlobWriter]:
        """Open a place that holds at least `at` bytes. If `at` is 0, it is created no later than with the first write.

        The writer says which place counts from then on; the bytes at `place` stay until that one is recorded.

        Raises Missing if it holds fewer bytes, and Stale if the lease was lost before the place was open, since by
        then it may belong to another holder. A store may raise both from the first write.
        """

    async def stage(
        self,
        place: Place,
        length: int,
        path: str,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Place:
        """Make exactly `length` bytes ready to be published at `path`, durably; returns the place to record and seal.

        Nothing is visible at the path yet. Only `seal` looks whether the path is taken. A place that is staged, or
        published already, is returned as it is. The rest is as for `seal`.
        """

    def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) in blocks; also after sealing. Raises Missing if they are not there.

        Of an upload that is not whole yet, only the first bytes may be read, as long as there are fewer than
        `stride.bytes`: to make the others readable may mean that none can follow.
        """

    def file(self, place: Place, length: int) -> AbstractAsyncContextManager[int | None]:
        """Open a descriptor from which the kernel can send the first `length` bytes; None if the store has none.

        Raises Missing if there are fewer bytes.
        """

    async def link(self, place: Place, disposition: str, seconds: int) -> str | None:
        """Return a URL under which anybody can get a published file for a while; None if the store has no such thing.

        `disposition` is the Content-Disposition of the replies there.
        """

    def scan(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first `length` bytes, block by block, in a worker thread; yields the positions reached.

        A block is valid only during the call. `fresh` asks for the bytes that are on the medium, not for those that
        the memory of the machine still has. Raises Missing if there are fewer bytes.
        """

    def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Fill a place with parts in their order, of each as many bytes as given; yields the positions reached.

        May be repeated from the start. The bytes are durable only once the place is sealed. Raises Missing if a part
        has fewer bytes.
        """

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,
        check: Callable[[], None] = lambda: None,
        about: About = NOTHING_SAID,
    ) -> Place:
        """Publish exactly `length` bytes, durably, and return their final place; may be repeated.

        A staged place is published at its path, any other one at the upload's id. Nothing is ever overwritten: where a
        path is taken, or is no name for this store, another one is made of it (`with_suffix`), or in the end the id.

        `check` is called between the steps of a long copy, and may raise to stop it. `about` goes with the file.
        `acknowledged` says that bytes may have been acknowledged before they were synced. If their sync fails now, they
        are lost: raise Missing, and do not read them again, because after a failed sync the page cache may be wrong.
        Raises Missing if there are fewer bytes, and Stale if the lease is lost, since another holder may have found
        the bytes wrong.
        """

    async def fence(self, place: Place, length: int, holds: Callable[[], bool]) -> Place:
        """Stop all other nodes from ever writing to this place again, even one that is suspended in a write.

        The first `length` bytes, published or not, are moved out of their reach. Returns the place that counts from
        now on. Raises Missing if there are fewer bytes, and Stale if the caller itself has lost the lease meanwhile;
        then nothing is moved.
        """

    async def sync(self, place: Place) -> None:
        """Make durable all bytes of a place, published or not. Raises Missing also if the medium refuses the bytes."""

    async def remove(self, place: Place) -> None:
        """Remove the bytes of the upload that has this place, published or not; may be repeated.

        Bytes at places that the upload had before are removed too.
        """


class Space(Protocol):
    """A store of bytes as a whole. Every method may raise Unreachable."""

    async def room(self) -> Room | None:
        """Return how many bytes are free, or None if that is unknown."""

    async def joined_size(self, lengths: Sequence[int]) -> int:
        """Return how many bytes of room it takes to join parts of these lengths: 0 if they can share their blocks."""

    async def share(self, place: Place, equal: Place, length: int, check: Callable[[], None] = lambda: None) -> bool:
        """Let a published place share the room of another one that has the same `length` bytes, if the store can.

        Returns whether it does. Both places stay as they are, and removing one never harms the other. May be repeated.
        `check` is called between the steps, and may raise to stop: then a part is shared. Raises Missing if one of the
        places has fewer bytes, or other ones.
        """

    async def trim(self, place: Place, at: int, holds: Callable[[], bool]) -> int:
        """Give back the room of all bytes from a position on, which no record has, and return how many there were.

        The place does not move. Raises Missing or Stale.
        """

    async def probe(self) -> None:
        """Check whether bytes can be stored and published at the moment.

        Raises Full if only room is lacking, otherwise Unreachable. The text of the error says what fails, and may be
        shown to anybody: it contains no path.
        """

    def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:
        """Yield the unfinished places to which nothing was written since `before`, in seconds since the epoch.

        Each comes with the id of its upload, or with None if it was left by a crash in the middle of a step.
        """

    async def tidy(self, stray: Place, recorded: Place) -> bool:
        """Remove what a stray place has and the recorded place of the same upload does not need.

        Returns whether there was any. A crash may leave that where places move.
        """

    async def close(self) -> None:
        """Close files and end threads."""


class BlobStore(Blobs, Space, Protocol):
    """A whole store of bytes."""
