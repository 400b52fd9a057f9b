"""Damage to state.sqlite: refused in a sentence, or told right; no bytes are ever removed for it."""

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from bodies import Poured
from test_state_contract import UPLOAD

from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status, Upload, UploadId
from onward.server.uploads.clock import Clock, boottime
from onward.server.uploads.engine import Engine
from onward.server.uploads.sweep import STRAY
from onward.storage import open_storage
from onward.storage.base import Durability, Missing, Unreachable
from onward.storage.codec import decode, encode

FLIPS = 330
UPLOADS = 30  # so many that the file has inner pages
PAGE = 4096
LIMITS = Limits(quiet_after=1e6)  # so that the sweep has nothing to do of its own
LATER = STRAY * 24  # seconds after which unfinished bytes are strays, and nothing has expired yet


class Arriving(Poured):
    """A body that arrives at once."""

    def __init__(self, data: bytes) -> None:
        self._data, self.over = data, not data
        self.cut_by: Refusal | None = None

    async def block(self, size: int, until: float) -> bytes:
        self.over = True
        return self._data

    def cut(self, why: Refusal) -> None:
        """Too late."""


@dataclass(frozen=True)
class Folder:
    """A data folder of a server that has stopped: its state, and what was told of each upload."""

    data: Path
    state: bytes
    told: dict[UploadId, Upload]
    sent: dict[UploadId, bytes]

    def files(self) -> dict[str, int]:
        """Give the size of everything that clients have sent."""
        found = (file for name in ("partial", "files") for file in (self.data / name).iterdir())
        return {str(file.relative_to(self.data)): file.stat().st_size for file in found}

    def put(self, state: bytes) -> None:
        """Put a state in place of the one that is there."""
        for end in ("", "-wal", "-shm"):
            (self.data / f"state.sqlite{end}").unlink(missing_ok=True)
        (self.data / "state.sqlite").write_bytes(state)


async def opened(data: Path) -> Engine:
    """Open an engine on a data folder."""
    storage = await open_storage(state="sqlite:", blobs="file:", data=data, durability=Durability.GROUP)
    return Engine(storage, LIMITS, lease_wait=1)


@pytest.fixture
async def folder(memory: Path) -> Folder:
    """Uploads at odd offsets, some of them completed."""
    engine, sent, told = await opened(memory), {}, {}
    for number in range(UPLOADS):
        data = os.urandom(7000 + number)
        metadata = f"filename {'bmFt' * (number % 5 + 1)}"
        create = CreateRequest(length=len(data), metadata=metadata, promised=None, body_size=0, has_body=False)
        upload = await engine.create(create)
        count = len(data) if number % 3 == 0 else 1000 + 111 * number
        request = AppendRequest(offset=0, length=None, promised=None, body_size=count)
        upload = await engine.append(upload.id, request, Arriving(data[:count]))
        told[upload.id], sent[upload.id] = upload, data
    await engine.close()
    return Folder(memory, (memory / "state.sqlite").read_bytes(), told, sent)


async def told_right(engine: Engine, folder: Folder, told: Upload) -> bool:
    """Ask for an upload, and tell whether there was an answer; then it is the right one."""
    try:
        upload = await engine.inspect(told.id)
    except (Missing, Unreachable):
        return False
    for field in ("status", "length", "offset", "metadata", "sha256"):
        assert getattr(upload, field) == getattr(told, field), field
    if upload.status is Status.COMPLETED:
        data = b"".join([block async for block in engine.read(upload, 0, upload.offset)])
        assert data == folder.sent[told.id]
    return True


async def outcome(folder: Folder, state: bytes) -> str:
    """Serve a damaged state, and tell what came of it."""
    before = folder.files()
    folder.put(state)
    try:
        engine = await opened(folder.data)
    except Unreachable:
        return "refused"
    try:
        answers = [await told_right(engine, folder, told) for told in folder.told.values()]
        later = Clock(lambda: time.time() + LATER, lambda: boottime() + LATER)
        engine._clock = engine.records.clock = engine.sweep._files = later
        with suppress(Unreachable):
            await engine.sweep.all()
            await engine.sweep.tidy()
    finally:
        await engine.close()
    assert folder.files() == before, "bytes were removed"
    return "served" if all(answers) else "served in part"


def test_no_record_with_a_flipped_bit_is_read_but_one_of_before_check_sums_is() -> None:
    stored = encode(UPLOAD)
    assert decode(stored) == decode(stored.partition(b"\n")[0]) == UPLOAD
    for bit in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unreachable):
            decode(bytes(damaged))


async def test_whatever_byte_is_flipped_nothing_wrong_is_reported_and_no_byte_removed(
    folder: Folder, seed: int
) -> None:
    random, outcomes = Random(seed), Counter[str]()
    for _ in range(FLIPS):
        state, at, flip = bytearray(folder.state), random.randrange(len(folder.state)), random.randrange(1, 256)
        state[at] ^= flip
        try:
            outcomes[await outcome(folder, bytes(state))] += 1
        except Exception as error:
            error.add_note(f"seed {seed}: byte {at} was flipped by {flip}")
            raise
    print(f"seed {seed}: {dict(outcomes)}")
    assert set(outcomes) == {"served", "served in part", "refused"}


async def test_a_state_that_was_cut_off_is_refused(folder: Folder) -> None:
    pages = range(PAGE, len(folder.state), PAGE)
    for size in (0, 1, 16, 99, 100, 512, PAGE - 1, *pages, len(folder.state) - PAGE + 1):
        assert await outcome(folder, folder.state[:size]) == "refused", size
    assert await outcome(folder, folder.state) == "served"


async def test_a_lost_state_is_not_begun_anew_beside_unfinished_bytes(folder: Folder) -> None:
    before = folder.files()
    for _ in range(2):
        (folder.data / "state.sqlite").unlink()
        with pytest.raises(Unreachable, match="bring the state back"):
            await opened(folder.data)
        assert folder.files() == before
