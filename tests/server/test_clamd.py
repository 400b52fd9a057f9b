"""The client of clamd, asked with a real one: what it finds, what it can't scan, and what happens then."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clamd_process import EICAR, NAME, ClamdProcess, clamd_running
from test_state_contract import UPLOAD

from onward.protocol.model import UploadId
from onward.server.uploads.checks import Content, Later, Rejected
from onward.server.uploads.checks.clamd import (
    AT_ONCE,
    Clamd,
    ClamdCheck,
    TooLargeToScan,
    Unanswered,
    WhenTooLarge,
    WhenUnavailable,
    read_address,
)
from onward.storage import open_storage
from onward.storage.base import Blobs, Durability

LIMIT = 5 * 2**20
ID = UploadId("1" * 32)
CUT = -len(EICAR) // 2


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamdProcess]:
    """A clamd that scans no more than 5 MiB."""
    with clamd_running(
        tmp_path_factory.mktemp("clamd"), "StreamMaxLength 5M", "MaxFileSize 5M", "MaxScanSize 5M"
    ) as running:
        yield running


async def stored(blobs: Blobs, content: bytes, *, more: bytes = b"") -> Content:
    """Store a file, and after its end what a rejected body may have left."""
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as writer:
        await asyncio.to_thread(writer.write, content + more, 0)
    return Content(blobs, place, len(content))


@pytest.fixture(params=["file:", "memory:"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    """A store with files, and one without."""
    storage = await open_storage(
        state="memory:", blobs=request.param, data=tmp_path / "data", durability=Durability.NONE
    )
    yield storage.blobs
    await storage.close()


def check(
    address: str,
    *,
    unavailable: WhenUnavailable = WhenUnavailable.HOLD,
    too_large: WhenTooLarge = WhenTooLarge.REFUSE,
    limit: int = LIMIT,
    scanned_within: float = 20.0,
) -> ClamdCheck:
    client = Clamd(address, alive_within=0.5, scanned_within=scanned_within)
    return ClamdCheck(client, limit=limit, unavailable=unavailable, too_large=too_large)


@pytest.mark.parametrize("over", ["unix", "tcp"])
@pytest.mark.parametrize(
    "before",
    [0, 2**18 + CUT, 2**20 + CUT, LIMIT - len(EICAR)],
    ids=["alone", "over a block", "over a block of memory", "last"],
)
async def test_a_virus_is_found_wherever_it_is(clamd: ClamdProcess, blobs: Blobs, over: str, before: int) -> None:
    content = await stored(blobs, bytes(before) + EICAR)
    assert await Clamd(getattr(clamd, over)).scan(content) == NAME
    with pytest.raises(Rejected) as refusal:
        await check(getattr(clamd, over))(UPLOAD, content)
    assert (refusal.value.status, refusal.value.code) == (422, "infected")
    assert NAME in refusal.value.detail


@pytest.mark.parametrize("over", ["unix", "tcp"])
@pytest.mark.parametrize(
    "content", [b"", b"hello", bytes(LIMIT), EICAR[:-1]], ids=["empty", "small", "largest", "almost"]
)
async def test_a_clean_file_passes(clamd: ClamdProcess, blobs: Blobs, over: str, content: bytes) -> None:
    assert await Clamd(getattr(clamd, over)).scan(await stored(blobs, content)) is None
    await check(getattr(clamd, over))(UPLOAD, await stored(blobs, content))


async def test_bytes_after_the_end_are_not_judged(clamd: ClamdProcess, blobs: Blobs) -> None:
    assert await Clamd(clamd.unix).scan(await stored(blobs, b"hello", more=EICAR)) is None


async def test_a_local_file_is_passed_as_a_descriptor(clamd: ClamdProcess, tmp_path: Path) -> None:
    storage = await open_storage(state="memory:", blobs="file:", data=tmp_path, durability=Durability.NONE)
    seen = len(clamd.log())
    await Clamd(clamd.unix).scan(await stored(storage.blobs, EICAR))
    await storage.close()
    async with asyncio.timeout(10):  # it answers before it logs
        while "FOUND" not in clamd.log()[seen:]:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
    assert f"{ID}: {NAME} FOUND" in clamd.log()[seen:]
    assert "instream" not in clamd.log()[seen:]


@pytest.mark.parametrize("over", ["unix", "tcp"])
async def test_a_file_above_the_limit_is_refused_without_a_scan(clamd: ClamdProcess, blobs: Blobs, over: str) -> None:
    content = await stored(blobs, bytes(LIMIT) + EICAR)
    with pytest.raises(Rejected) as refusal:
        await check(getattr(clamd, over))(UPLOAD, content)
    assert (refusal.value.status, refusal.value.code) == (422, "unscannable")
    assert "above 5 MiB can't be scanned" in refusal.value.detail
    await check(getattr(clamd, over), too_large=WhenTooLarge.PASS)(UPLOAD, content)
    assert content.is_unjudged


@pytest.mark.parametrize("over", ["unix", "tcp"])
async def test_a_limit_of_the_scanner_itself_is_noticed_in_a_stream(clamd: ClamdProcess, over: str) -> None:
    storage = await open_storage(state="memory:", blobs="memory:", data=Path(), durability=Durability.NONE)
    content = await stored(storage.blobs, bytes(2 * LIMIT))
    with pytest.raises((TooLargeToScan, Unanswered)):  # over TCP the answer may be lost with the connection
        await Clamd(getattr(clamd, over)).scan(content)


async def test_a_scanner_that_tells_its_limits_is_believed(tmp_path: Path, blobs: Blobs) -> None:
    content = await stored(blobs, bytes(2**21))
    with (
        clamd_running(tmp_path / "clamd", "MaxFileSize 1M", "AlertExceedsMax yes") as telling,
        pytest.raises(TooLargeToScan),
    ):
        await Clamd(telling.unix).scan(content)


async def test_a_limit_of_the_scanner_itself_is_not_told_as_that_of_the_server(
    tmp_path: Path, blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    content = await stored(blobs, bytes(2**21))
    with (
        clamd_running(tmp_path / "clamd", "MaxFileSize 1M", "AlertExceedsMax yes") as telling,
        pytest.raises(Rejected) as refusal,
    ):
        await check(telling.unix)(UPLOAD, content)
    assert refusal.value.code == "unscannable"
    assert refusal.value.detail == "The file is beyond a limit of the virus scanner, and is not accepted."
    assert "--clamd-max-size" in caplog.text, "the operator is told what to change"


@pytest.mark.parametrize("address", ["unix:/nonexistent/clamd.ctl", "tcp:127.0.0.1:1", "tcp:localhost:1"])
async def test_a_scanner_that_is_down_is_treated_as_told(address: str, blobs: Blobs) -> None:
    await is_treated_as_told(address, blobs)


async def test_a_scanner_that_hangs_is_treated_as_told(tmp_path: Path, blobs: Blobs) -> None:
    with clamd_running(tmp_path / "clamd") as hanging:
        hanging.pause()
        await is_treated_as_told(hanging.unix, blobs)
        held, content = check(hanging.unix), await stored(blobs, b"hello")
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            with pytest.raises(Later):
                await held(UPLOAD, content)
        assert asyncio.get_running_loop().time() - began < 5, "it is not asked again and again"
        hanging.go_on()
        await check(hanging.unix)(UPLOAD, await stored(blobs, b"hello"))


async def is_treated_as_told(address: str, blobs: Blobs) -> None:
    content = await stored(blobs, b"hello")
    with pytest.raises(Later) as later:
        await check(address)(UPLOAD, content)
    assert later.value.retry_after == 10
    with pytest.raises(Rejected) as refusal:
        await check(address, unavailable=WhenUnavailable.REFUSE)(UPLOAD, content)
    assert (refusal.value.status, refusal.value.code) == (422, "unscannable")
    assert not content.is_unjudged
    await check(address, unavailable=WhenUnavailable.PASS)(UPLOAD, content)
    assert content.is_unjudged
    with pytest.raises(Later, match="The virus scanner can't be asked") as later:
        await check(address).probe()
    assert address.partition(":")[2] not in str(later.value), "anybody may read it"


@asynccontextmanager
async def fake(answer: bytes | None, ping: bytes = b"PONG\0") -> AsyncIterator[str]:
    """A scanner that answers PING, and anything else as told: with None it says nothing. Gives its address."""
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        if await reader.readuntil(b"\0") == b"zPING\0":
            writer.write(ping)
        else:
            while await reader.readexactly(4) != bytes(4):
                await reader.readexactly(5)
            if answer is None:
                await reader.read()
            writer.write(answer or b"")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*(task for task in serving if task))


@pytest.mark.parametrize(
    ("answer", "ping"),
    [
        (None, b"PONG\0"), (b"", b"PONG\0"), (b"stream: OK", b"PONG\0"), (b"stream: Can't allocate memory ERROR\0", b"PONG\0"),
        (b"UNKNOWN COMMAND\0", b"PONG\0"), (b"x" * 10_000, b"PONG\0"), (b"\xff: OK, or not\0", b"PONG\0"),
        (b"stream: OK\0", b"220 mail.example ESMTP\0"),
    ],
)  # fmt: skip
async def test_an_odd_answer_is_no_verdict(answer: bytes | None, ping: bytes) -> None:
    storage = await open_storage(state="memory:", blobs="memory:", data=Path(), durability=Durability.NONE)
    async with fake(answer, ping) as address:
        with pytest.raises(Later):
            await check(address, scanned_within=0.3)(UPLOAD, await stored(storage.blobs, b"hello"))


async def test_a_busy_scanner_holds_a_file_whatever_the_policy_is(
    monkeypatch: pytest.MonkeyPatch, blobs: Blobs
) -> None:
    monkeypatch.setattr("onward.server.uploads.checks.clamd.QUEUED_WITHIN", 0.05)
    content = await stored(blobs, b"hello")
    async with fake(None) as address:
        busy = check(address, unavailable=WhenUnavailable.PASS, scanned_within=30)
        scans = [asyncio.ensure_future(busy(UPLOAD, content)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.1)
        with pytest.raises(Later, match="busy"):
            await busy(UPLOAD, content)
        for scan in scans:
            scan.cancel()
        await asyncio.gather(*scans, return_exceptions=True)


@pytest.mark.parametrize(
    "address",
    ["unix:/run/clamav/clamd.ctl", "tcp:127.0.0.1:3310", "tcp:clamd:3310", "tcp:[::1]:3310", "tcp:a-b.example:1"],
)
def test_an_address_is_read(address: str) -> None:
    assert read_address(address) == address


@pytest.mark.parametrize(
    "address",
    ["", "unix:", "unix:clamd.ctl", "unix:/run/", "/run/clamd.ctl", "tcp:host", "tcp::3310", "tcp:host:0", "tcp:host:65536",
     "tcp:::1:3310", "tcp://host:3310", "unix:/a\0b", f"unix:/{'a' * 107}"],
)  # fmt: skip
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not an address of clamd such as"):
        read_address(address)
