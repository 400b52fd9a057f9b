"""The real engine over a simulated disk and a state whose commits stand in the same journal; one thread, one order."""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any, Unpack
from unittest.mock import patch

from simulated_disk import Fault, SimulatedDisk
from simulated_journal import Journal, Recorded, Time, Told

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import Limits, Upload, UploadId
from onward.protocol.naming import parse_layout
from onward.protocol.progress import progress
from onward.server.uploads.checks import Content, Later, Rejected
from onward.server.uploads.clock import Clock
from onward.server.uploads.engine import Engine
from onward.server.uploads.publishing import Publishing
from onward.storage.base import Durability, Storage, Stride
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.memory import MemoryBackups, MemoryNodes
from onward.storage.blobs.places import is_own, parts, published_at
from onward.storage.running.threads import Answer, Arguments, Result, Threads
from onward.storage.state.memory import MemoryState

LIMITS = Limits(max_size=100_000, expire_after=1000.0, forget_after=5000.0, quiet_after=5.0, release_after=100.0)
STRIDE = 5000  # bytes between two records of one body
START = 1_000_000.0
DOWN = 40.0  # seconds from the start for which the scanner is down
VIRUS = b"virus"
_ids = count(1)


class InlineThreads(Threads):
    """Threads that are none: each call is over before the next one begins."""

    def call(self, call: Callable[[Unpack[Arguments]], Result], *words: *Arguments) -> Answer[Result]:
        """Call at once; that it is over is heard of later."""
        answer, result, fault = Answer[Result](), None, None
        try:
            result = call(*words)
        except Exception as error:
            fault = error
        self._done.append((answer, result, fault))
        answer.get_loop().call_soon(self._deliver)
        return answer


class Inline(ThreadPoolExecutor):
    """The same, for calls that a thread waits for."""

    def submit(self, call: Callable[..., Any], /, *words: Any, **named: Any) -> Future[Any]:
        """Call at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*words, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class SimulatedState(MemoryState):
    """Records in a dictionary; each commit is a step of the journal, and may fail before or after it was done."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._uploads.update(journal.latest())
        self.fault: Fault = lambda _: None

    def _commit(self, durable: bool) -> None:
        self._journal.steps.append(Recorded(dict(self._uploads), durable))

    async def insert(
        self, upload: Upload, *, durable: bool = True, most: int | None = None, events: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Record a new upload."""
        self.fault("insert")
        await super().insert(upload, durable=durable, most=most, events=events)
        self._commit(durable)
        self.fault("inserted")

    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:
        """Give the record."""
        self.fault("load")
        return await super().load(id, fresh=fresh)

    async def save(
        self, upload: Upload, *, durable: bool = True, events: Sequence[OutgoingEvent] = (), last: bool = False
    ) -> Upload:
        """Replace the record."""
        self.fault("save")
        loaded = self.fault
        self.fault = lambda _: None
        try:
            saved = await super().save(upload, durable=durable, events=events, last=last)
        finally:
            self.fault = loaded
        self._commit(durable)
        told = json.loads(progress(saved).json)  # the watchers won't forget it
        self._journal.steps.append(Told(saved.id, told["uploadedBytes"], told["status"]))
        self.fault("saved")
        return saved

    def uploads(self) -> list[Upload]:
        """Give all records."""
        return list(self._uploads.values())

    async def forget(self, id: UploadId) -> None:
        """Remove the record."""
        self.fault("forget")
        await super().forget(id)
        self._commit(True)

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Give the ids of the records that are due."""
        self.fault("due")
        async for id_ in super().due(now):
            yield id_


class World:
    """A machine: its disk, its clock, and the server on it; `boot` names its run, and `scans` whether it has a scanner."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        policy: Durability,
        boot: str,
        *,
        apart: bool = False,
        scans: bool = False,
        layout: str = "",
        shared: bool = False,
    ) -> None:
        self.shared = shared
        self.journal, self.policy, self.boot, self.scans = journal, policy, boot, scans
        self.layout = layout
        self.disk = SimulatedDisk(folder, journal, apart=apart)
        self.now = next((step.now for step in reversed(journal.steps) if isinstance(step, Time)), START)

    def start(self) -> None:
        """Start a server; the one before is forgotten as it is."""
        self.state = SimulatedState(self.journal)
        blobs = DiskBlobs(self.disk.folder / "machine" / "data", self.policy, shared=self.shared)
        storage = Storage(
            blobs=blobs, backups=MemoryBackups(), nodes=MemoryNodes(), state=self.state, durability=self.policy
        )
        clock, checks = Clock(lambda: self.now, lambda: self.now), [self._scan] if self.scans else []
        publishing = Publishing(layout=parse_layout(self.layout) if self.layout else None)
        self.engine = Engine(
            storage, LIMITS, lease_wait=1, boot=self.boot, clock=clock, checks=checks, publishing=publishing
        )

    async def _scan(self, _upload: Upload, content: Content) -> None:
        """Scan for a virus; the scanner is down at first."""
        if self.now < START + DOWN:
            raise Later(10, "the scanner is down")
        async with content.file() as descriptor:
            data = b"" if descriptor is None else os.pread(descriptor, content.length, 0)
        assert len(data) == content.length
        if VIRUS in data:
            raise Rejected("infected", 422, "A virus was found")

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds
        self.journal.steps.append(Time(self.now))

    def files(self, folder: str) -> Iterator[str]:
        """Give the names in a folder of the data."""
        place = self.disk.folder / "machine" / "data" / folder
        return (path.name for path in place.iterdir() if path.is_file()) if place.exists() else iter(())

    def published(self) -> Iterator[tuple[str, UploadId]]:
        """Give the paths below files/, and whose they are: what a record names, or else what the path is."""
        root = self.disk.folder / "machine" / "data" / "files"
        owners: dict[str, UploadId] = {}
        for record in self.state.uploads():
            place = parts(record.place)
            path = published_at(root, place) if place.path else record.path
            owners |= {path: record.id} if path and (not place.token or is_own(root / path, place.token)) else {}
        for file in root.rglob("[!.]*"):
            if file.is_file():
                path = str(file.relative_to(root))
                yield path, owners.get(path, UploadId(path))


@contextmanager
def machine(world: World) -> Iterator[World]:
    """Run a server on a machine, without threads and with short strides; the folder goes with it."""
    with (
        world.disk.mounted(),
        patch("onward.storage.blobs.disk.Threads", InlineThreads),
        patch("onward.server.uploads.body_writer.Threads", InlineThreads),
        patch("onward.server.uploads.body_writer.ThreadPoolExecutor", Inline),
        patch("onward.server.uploads.engine.new_id", lambda: UploadId(f"{next(_ids):032x}")),
        patch.object(DiskBlobs, "stride", Stride(STRIDE, 1e6)),
        patch("onward.server.uploads.completion.BRIEFLY", 0),
        patch("onward.storage.running.group_sync.GATHER", 0),
    ):
        world.start()
        yield world
    rmtree(world.disk.folder)
