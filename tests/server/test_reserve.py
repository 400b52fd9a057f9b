"""The reserve stays free, and no more uploads are taken than can finish; each on a small disk of its own."""

import asyncio
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from http_connection import Connection, Headers, Tus, poll
from mounts import tmpfs
from msgspec.structs import replace
from server_process import serving
from test_state_contract import UPLOAD

from onward.protocol.errors import StorageFull
from onward.protocol.model import Upload
from onward.protocol.promises import Promise, sum_of
from onward.server.uploads import reserve
from onward.server.uploads.reserve import Claim, Reserve
from onward.storage.base import Room, Storage, Stride

MIB = 2**20
PIECE = MIB
KEEP = 1_000  # bytes of a small disk that stay free
STALE = 1.1  # seconds after which the disk is looked at again
TOLERANCE = MIB  # bytes that records and folders take


@contextmanager
def lowest(folder: Path) -> Iterator[list[int]]:
    """Watch how many bytes are free, and give the fewest that were seen."""
    seen, ended = [1 << 62], threading.Event()

    def look() -> None:
        while not ended.wait(0.001):
            disk = os.statvfs(folder)
            seen[0] = min(seen[0], disk.f_bavail * disk.f_frsize)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def stored(disk: Path) -> int:
    """Return how many bytes the unfinished files have."""
    return sum(file.stat().st_size for file in (disk / "data" / "partial").iterdir())


def send(tus: Tus, path: str, size: int) -> int:
    """Send an upload in pieces, as long as they are taken; gives the offset that it came to."""
    offset = tus.offset(path)
    while offset < size:
        answer = tus.patch(path, offset, bytes(min(PIECE, size - offset)))
        if answer.status != 204:
            assert answer.status == 507, answer
            break
        offset = int(answer["Upload-Offset"])
    return offset


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("state", ["sqlite", "redis"])
def test_bodies_side_by_side_leave_the_reserve(
    state: str, chunked: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    size, keep = 40 * MIB, 32 * MIB
    words = [f"--reserve={keep}"]
    if state == "redis":
        words.append(f"--state={request.getfixturevalue('redis_url')}")
    with tmpfs(tmp_path / "disk", 140 * MIB) as disk, serving(disk / "data", words, log=tmp_path / "log") as server:
        tus, body = server.tus, bytes(size)
        paths = [tus.create(None) for _ in range(5)]

        def patch(path: str) -> int:
            with suppress(ConnectionError):  # it may be refused before all of it was sent
                parts = [body[at : at + MIB] for at in range(0, size, MIB)] if chunked else None
                return tus.patch(path, 0, b"" if chunked else body, parts=parts).status
            return 507

        with lowest(disk) as free, ThreadPoolExecutor(len(paths)) as pool:
            answers = list(pool.map(patch, paths))
        assert free[0] >= keep - TOLERANCE, f"{free[0] / MIB} MiB were free"
        assert free[0] < keep + 2 * size, "nothing was stored"
        assert 507 in answers
        if not chunked:
            assert answers.count(204) == 2


def test_a_body_with_a_checksum_leaves_the_reserve_alone_though_nothing_of_it_is_recorded_before_its_end(
    tmp_path: Path,
) -> None:
    keep = 32 * MIB
    with (
        tmpfs(tmp_path / "disk", 140 * MIB) as disk,
        serving(disk / "data", [f"--reserve={keep}"], log=tmp_path / "log") as server,
    ):
        tus = server.tus
        path = tus.create(None)
        with lowest(disk) as free, suppress(ConnectionError):
            assert (
                tus.patch(path, 0, b"", {"Upload-Checksum": f"sha1 {'A' * 27}="}, parts=[bytes(MIB)] * 130).status
                == 507
            )
        assert free[0] >= keep - TOLERANCE, f"{free[0] / MIB} MiB were free"


@pytest.mark.parametrize("end", ["rejected", "killed"])
def test_bytes_that_were_not_recorded_take_no_room_from_those_that_come_again(end: str, tmp_path: Path) -> None:
    size, words = 20 * MIB, [f"--reserve={2 * MIB}"]
    wrong: Headers = {"Upload-Checksum": f"sha1 {'A' * 27}="}
    with tmpfs(tmp_path / "disk", 36 * MIB) as disk:
        with serving(disk / "data", words, log=tmp_path / "log") as server:
            path = server.tus.create(size)
            if end == "rejected":
                assert server.tus.patch(path, 0, bytes(size), wrong).status == 460
            else:
                with Connection(server.tus.port) as connection:
                    connection.send(server.tus.request("PATCH", path, server.tus.patching(0, wrong), bytes(size))[:-1])
                    poll(lambda: stored(disk) > size - 2 * MIB)
                    server.process.kill()
                    server.process.wait()
        with serving(disk / "data", words, log=tmp_path / "log") as server:
            assert stored(disk) > size - 2 * MIB
            assert server.tus.patch(path, 0, bytes(size)).status == 204


@pytest.mark.parametrize("state", ["sqlite", "redis"])
def test_no_more_uploads_are_taken_than_can_finish(state: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    words, size = [f"--reserve={2 * MIB}", "--sweep-every=0.2"], 10 * MIB
    if state == "redis":
        words.append(f"--state={request.getfixturevalue('redis_url')}")
    with tmpfs(tmp_path / "disk", 36 * MIB) as disk:
        with serving(disk / "data", words, log=tmp_path / "log") as server:
            tus = server.tus
            taken = [tus.create(size) for _ in range(3)]
            assert tus.post({"Upload-Length": str(size)}).status == 507
            assert tus.post({"Upload-Length": str(MIB)}).status == 201
            tus.patch(taken[0], 0, bytes(size // 2))
        with serving(disk / "data", words, log=tmp_path / "log") as server:  # promises outlive the server
            tus = server.tus
            assert tus.post({"Upload-Length": str(size)}).status == 507
            late = tus.create(None)
            answer = tus.patch(late, 0, bytes(PIECE), {"Upload-Length": str(size)})
            assert answer.status == 507, "a length that is told late is a promise as well"
            with ThreadPoolExecutor(len(taken)) as pool:
                assert list(pool.map(lambda path: send(tus, path, size), taken)) == [size] * len(taken)
            assert tus.ask("DELETE", taken[0]).status == 204
            time.sleep(STALE)
            assert send(tus, tus.create(size), size) == size


def test_bytes_that_nobody_promised_leave_room_for_those_that_were(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "disk", 36 * MIB) as disk,
        serving(disk / "data", [f"--reserve={2 * MIB}"], log=tmp_path / "log") as server,
    ):
        tus = server.tus
        taken, late = tus.create(20 * MIB), tus.create(None)
        assert tus.patch(late, 0, bytes(16 * MIB)).status == 507
        assert tus.patch(late, 0, bytes(8 * MIB)).status == 204
        assert send(tus, taken, 20 * MIB) == 20 * MIB


def test_a_join_that_copies_needs_room_for_the_whole(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "disk", 36 * MIB) as disk,
        serving(disk / "data", [f"--reserve={2 * MIB}"], log=tmp_path / "log") as server,
    ):
        tus = server.tus
        parts = [tus.stored(bytes(6 * MIB), {"Upload-Concat": "partial"}) for _ in range(2)]
        ballast = tus.stored(bytes(12 * MIB))
        time.sleep(STALE)
        concat = {"Upload-Concat": f"final;{' '.join(parts)}"}
        refused = tus.post(dict(concat))
        assert refused.status == 507
        assert "Location" not in refused
        assert tus.ask("DELETE", ballast).status == 204
        time.sleep(STALE)
        assert tus.post(dict(concat)).status == 201


def test_files_that_are_published_elsewhere_need_room_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with tmpfs(data / "files", 32 * MIB), serving(data, [f"--reserve={2 * MIB}"], log=tmp_path / "log") as server:
        tus, size = server.tus, 12 * MIB
        taken = [tus.create(size) for _ in range(2)]
        for path in taken:
            assert tus.patch(path, 0, bytes(size - 1)).status == 204
        time.sleep(STALE)
        assert tus.post({"Upload-Length": str(size)}).status == 507, "what arrived has no room to be published in"
        for path in taken:
            assert tus.patch(path, size - 1, b"x").status == 204


@asynccontextmanager
async def claimed(room: Reserve, upload: Upload, size: int | None) -> AsyncIterator[Claim]:
    """Hold the claim of a body."""
    claim = await room.claim_body(upload, upload, size)
    try:
        yield claim
    finally:
        claim.end()


async def test_bodies_side_by_side_share_what_is_left_of_a_disk_that_others_fill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reserve, "ROOM_STAYS", -1.0)
    disk, upload = SmallDisk(10_000, random.Random(1)), replace(UPLOAD, length=4_000, offset=0)
    room = Reserve(cast("Storage", SimpleNamespace(state=disk, blobs=disk)), KEEP)
    for number in range(3):  # promised when the disk was larger, or by other servers
        disk.records[number] = upload
    async with claimed(room, upload, 4_000) as first, claimed(room, upload, 4_000):
        disk.used += 3_000
        first.counted(lambda block, at: None)(bytes(3_000), 0)
        await first.note()
        with pytest.raises(StorageFull):
            await room.claim_body(upload, upload, 1_001)
        async with claimed(room, upload, 1_000):
            pass
    async with claimed(room, upload, 6_000):  # what was claimed and not stored has come back
        pass
    disk.used += 6_001
    with pytest.raises(StorageFull):
        await room.check()


async def test_bytes_that_are_stored_and_not_recorded_yet_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "ROOM_STAYS", -1.0)
    disk = SmallDisk(10_000, random.Random(1))
    room = Reserve(cast("Storage", SimpleNamespace(state=disk, blobs=disk)), KEEP)
    for number, length in enumerate((4_000, 5_000)):
        disk.records[number] = replace(UPLOAD, length=length, offset=0)
    async with claimed(room, disk.records[0], 4_000) as first:
        disk.used += 3_000
        first.counted(lambda block, at: None)(bytes(3_000), 0)
        async with claimed(room, disk.records[1], 5_000):
            pass


class SmallDisk:
    """A disk and a state that uploads are written to in steps, with a look that takes its time."""

    stride = Stride(bytes=50, seconds=1)

    def __init__(self, size: int, dice: random.Random) -> None:
        self.size, self.used, self.dice = size, 0, dice
        self.records: dict[int, Upload] = {}

    async def promised(self) -> Promise:
        """Give the sum of all records, some time before it is used."""
        total = sum_of(self.records.values())
        await self.pause()
        return total

    async def room(self) -> Room:
        """Give what is free, some time before it is used."""
        free = self.size - self.used
        await self.pause()
        return Room(arriving=free)

    async def pause(self) -> None:
        """Let the others do something."""
        for _ in range(self.dice.randrange(4)):
            await asyncio.sleep(0)


class Clients:
    """Uploads with and without a length, in bodies of any size, on a disk that is looked at again and again."""

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.disk, self.finished, self.refused = dice, SmallDisk(10_000, dice), 0, 0
        self.room = Reserve(cast("Storage", SimpleNamespace(state=self.disk, blobs=self.disk)), KEEP)

    async def attempt(self, number: int) -> None:
        """Be one client; without room it gives up, and removes what it has sent, sometimes."""
        known, length = self.dice.random() < 0.7, self.dice.randint(1, 2_000)
        try:
            await self._create(number, length if known else None)
            await self._send(number, length)
            self.finished += 1
        except StorageFull:
            self.refused += 1
            taken = self.disk.records.get(number)
            assert taken is None or taken.length is None, "an upload that was promised its room did not get it"
            if taken is not None and self.dice.random() < 0.5:
                self.disk.used -= taken.offset
                del self.disk.records[number]

    async def _create(self, number: int, length: int | None) -> None:
        upload = replace(UPLOAD, length=length, offset=0)
        await self.room.promise(length or 0)
        await self.disk.pause()
        self.disk.records[number] = upload
        self.room.recorded(length or 0)

    async def _send(self, number: int, length: int) -> None:
        tries = 0
        while (upload := self.disk.records[number]).offset < length:
            try:
                await self._send_some(number, self.dice.randint(1, length - upload.offset))
            except StorageFull:  # what is just being written counts twice while the disk is looked at
                tries += 1
                if upload.length is None or tries == 20:
                    raise
                await self.disk.pause()

    async def _send_some(self, number: int, size: int) -> None:
        upload, disk = self.disk.records[number], self.disk
        async with claimed(self.room, upload, self.dice.choice([size, None])) as claim:
            write = claim.counted(lambda block, at: None)
            end = upload.offset + size
            while upload.offset < end:
                count = min(self.dice.randint(1, 40), end - upload.offset)
                disk.used += count
                assert disk.size - disk.used >= KEEP, "the reserve was taken"
                write(bytes(count), upload.offset)
                await disk.pause()
                upload = disk.records[number] = replace(upload, offset=upload.offset + count)
                claim.recorded()
                await claim.note()


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_is_taken_fits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(reserve, "ROOM_STAYS", dice.choice([-1.0, 0.0001, 0.0005]))
    monkeypatch.setattr(reserve, "BLOCK", 0)
    clients = Clients(dice)
    for start in range(0, 40, 8):
        async with asyncio.TaskGroup() as group:
            for number in range(start, start + 8):
                group.create_task(clients.attempt(number))
    assert clients.finished
    assert clients.refused
