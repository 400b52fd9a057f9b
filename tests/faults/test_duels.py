"""Two at one upload at the same moment: one wins, the other is told, and bytes never mix."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from http_connection import Tus
from server_process import Server
from simultaneous_requests import SIZE, duel, patch, plain
from slow_body import SlowBody

from onward.protocol.errors import Gone, Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status
from onward.server.uploads.clock import Clock
from onward.server.uploads.engine import Engine
from onward.storage import open_storage

OPTIONS = ["--lease-wait=3"]
SEED = 1


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def stored(server: Server, path: str) -> bytes:
    files = server.bytes_of(path)
    return files[0].read_bytes() if files else b""


def finish(server: Server, path: str, sources: tuple[bytes, bytes]) -> None:
    """Finish an upload as whoever has won so far, and check that the file is all of one's."""
    offset = server.tus.offset(path)
    prefix = stored(server, path)[:offset]
    assert len(prefix) == offset, "told bytes are missing"
    winners = [source for source in sources if source.startswith(prefix)]
    assert winners, "bytes of two clients are mixed"
    server.tus.check_holds(path, winners[0], offset)


@pytest.mark.parametrize("same", [True, False], ids=["same content", "different content"])
def test_of_two_patches_at_one_offset_one_wins(server: Server, pool: ThreadPoolExecutor, same: bool) -> None:
    drawn, seen = random.Random(SEED), Counter[tuple[int, ...]]()
    for _ in range(150):
        one = drawn.randbytes(SIZE)
        sources = (one, one if same else drawn.randbytes(SIZE))
        path = server.tus.create(SIZE)
        answers = duel(server.tus, pool, *(patch(server.tus, path, 0, source, drawn) for source in sources))
        statuses = sorted(answer.status for answer in answers)
        seen[tuple(statuses)] += 1
        assert set(statuses) <= {204, 409, 423}, statuses
        assert statuses.count(204) < 2, "two have won at one offset"
        for answer, source in zip(answers, sources, strict=True):
            if answer.status == 204:
                assert stored(server, path) == source, "told as stored, and it is not"
        finish(server, path, sources)
    assert len(seen) > 1, f"always {seen}"


def test_a_patch_against_a_delete_ends_in_the_delete(server: Server, pool: ThreadPoolExecutor) -> None:
    drawn, seen = random.Random(SEED), Counter[int]()
    for _ in range(80):
        path = server.tus.create(SIZE)
        patching = patch(server.tus, path, 0, drawn.randbytes(SIZE), drawn)
        answer, deletion = duel(server.tus, pool, patching, plain(server.tus, "DELETE", path, drawn))
        seen[answer.status] += 1
        assert deletion.status == 204
        assert answer.status in {204, 410, 423}, answer
        assert server.tus.head(path).status == 410
        assert not server.bytes_of(path), "bytes outlive the upload"
    assert len(seen) > 1, f"always {seen}"


@pytest.mark.parametrize("method", ["HEAD", "DELETE"])
def test_all_that_come_at_the_last_byte_see_one_truth(server: Server, pool: ThreadPoolExecutor, method: str) -> None:
    drawn = random.Random(SEED)
    for _ in range(60):
        source = drawn.randbytes(SIZE)
        digest = hashlib.sha256(source).digest()
        path = server.tus.begun(source, SIZE - 1000)
        last = patch(server.tus, path, SIZE - 1000, source[SIZE - 1000 :], drawn)
        answer, other = duel(server.tus, pool, last, plain(server.tus, method, path, drawn))
        if method == "HEAD":
            assert answer.status in {204, 423}, answer
            assert other.status == 200
            assert SIZE - 1000 <= int(other["Upload-Offset"]) <= server.tus.offset(path)
            finish(server, path, (source, source))
            assert hashlib.sha256(stored(server, path)).digest() == digest
        else:
            assert (other.status, server.tus.head(path).status) == (204, 410)
            assert answer.status in {204, 410, 423}, answer
            assert not server.bytes_of(path), "bytes outlive the upload"


async def test_the_sweep_takes_no_upload_from_a_sender(tmp_path: Path) -> None:
    drawn, now = random.Random(SEED), [1000.0]
    storage = await open_storage(state="sqlite:", blobs="file:", data=tmp_path)
    engine = Engine(
        storage, Limits(expire_after=10.0, quiet_after=1.0), lease_wait=1, clock=Clock(lambda: now[0], lambda: now[0])
    )
    seen = Counter[str]()
    for _ in range(120):
        source = drawn.randbytes(4000)
        request = CreateRequest(length=len(source), metadata=None, promised=None, body_size=0, has_body=False)
        upload = await engine.create(request)
        body = SlowBody([source[at : at + 1000] for at in range(0, 4000, 1000)])
        append = AppendRequest(offset=0, length=None, promised=None, body_size=len(source))

        async def sweep() -> None:
            for _ in range(drawn.randrange(1, 12)):
                await asyncio.sleep(drawn.choice((0, 0, 0.0005)))
            now[0] += 11.0
            await engine.sweep.all()

        async def send(append: AppendRequest = append, body: SlowBody = body, upload: object = upload) -> object:
            for _ in range(drawn.randrange(10)):
                await asyncio.sleep(drawn.choice((0, 0, 0.0005)))
            return await engine.append(upload.id, append, body)  # type: ignore[attr-defined]

        sent, _ = await asyncio.gather(send(), sweep(), return_exceptions=True)
        if isinstance(sent, Refusal):
            assert isinstance(sent, Gone), sent
            seen["expired"] += 1
            with pytest.raises(Gone):
                await engine.inspect(upload.id)
            await engine.sweep.all()
            assert not (tmp_path / "partial" / upload.id).exists()
        else:
            seen["completed"] += 1
            known = await engine.inspect(upload.id)
            assert known.status is Status.COMPLETED
            assert (tmp_path / known.place).read_bytes() == source
    await engine.close()
    assert min(seen["expired"], seen["completed"]) > 5, seen


def test_the_server_is_well_after_all_that(tus: Tus) -> None:
    assert tus.stored(b"0123456789")
