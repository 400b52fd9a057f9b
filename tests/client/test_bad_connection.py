"""`onward upload` over a connection that is lost, stalls and delays; killed, interrupted, and started again."""

import asyncio
import os
import random
import signal
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from client_process import Ended, end_of, resume_files, run, started
from midway_wait import offsets, until_stored
from server_process import Server
from unreliable_proxy import Fault, RoughLine

pytestmark = pytest.mark.slow

OPTIONS = ("--body-idle=600",)  # a stall is the client's to end
MIB = 2**20
SIZE = 48 * MIB + 12345
RATE = 8 * MIB  # a second, so that there is time to stop in the middle
LOOKS = 500
FAULTS = [(3 * MIB, Fault.CUT), (9 * MIB, Fault.STALL), (100, Fault.CUT), (7 * MIB + 1, Fault.CUT), (MIB, Fault.STALL)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file.bin"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


def check(server: Server, file: Path, ended: Ended) -> None:
    assert ended.code == 0, ended.err
    assert ended.told["verified"] is True
    assert server.published(ended.told["url"]) == file.read_bytes()


@pytest.mark.parametrize("options", [(), ("--chunk-size=4M",), ("--parallel=3",)], ids=["whole", "chunks", "parallel"])
async def test_a_rough_line_costs_less_than_a_hundredth(
    server: Server, file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with RoughLine(server.tus.port, FAULTS, delay=0.0003).running() as line:
        ended = await run(tmp_path, "upload", str(file), "--to", line.url, "--json", "--stall-after=2", *options)
        assert line.done == [fault for _, fault in FAULTS]
        assert SIZE <= line.taken < SIZE * 1.01
    check(server, file, ended)
    assert "trying again in" in ended.err
    assert resume_files(tmp_path) == []


async def test_a_stream_survives_a_rough_line(server: Server, file: Path, tmp_path: Path) -> None:
    faults = [(3 * MIB, Fault.CUT), (MIB, Fault.STALL), (100, Fault.CUT)]
    async with RoughLine(server.tus.port, faults).running() as line:
        words = ("upload", "-", "--to", line.url, "--json", "--stall-after=2")
        ended = await run(tmp_path, *words, stdin=file.read_bytes())
        assert len(line.done) == len(faults)
    check(server, file, ended)


async def urls_in(state: Path) -> list[str]:
    """Return the URLs of the resume file, once there is one."""
    for _ in range(LOOKS):
        for path in (state / "onward").glob("*.json"):
            return [word for word in path.read_text().split('"') if word.startswith("http")]
        await asyncio.sleep(0.02)
    raise AssertionError("there is no resume file")


@pytest.mark.parametrize("options", [(), ("--parallel=3",)], ids=["whole", "parallel"])
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_new_process_goes_on(
    server: Server,
    http: aiohttp.ClientSession,
    file: Path,
    tmp_path: Path,
    by: signal.Signals,
    options: tuple[str, ...],
) -> None:
    async with RoughLine(server.tus.port, rate=RATE / (3 if options else 1)).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url, *options)
        async with started(tmp_path, *words) as process:
            urls = await urls_in(tmp_path)
            await until_stored(http, urls, SIZE // 4)
            process.send_signal(by)
            first = await end_of(process)
        if by is not signal.SIGKILL:
            assert first.code == 128 + by
            assert f"to resume, run the same command: onward {' '.join(words)}" in first.err
            assert "Traceback" not in first.err
        locks = [path for path in resume_files(tmp_path) if path.suffix == ".lock"]
        assert len(locks) == (by is signal.SIGKILL), "a killed process leaves a lock that blocks nothing"
        assert first.out == ""
        assert [path.stat().st_mode & 0o777 for path in resume_files(tmp_path) if path.suffix == ".json"] == [0o600]
        assert (tmp_path / "onward").stat().st_mode & 0o777 == 0o700
        stored = await offsets(http, urls, proxy)
        before = proxy.taken
        proxy.hurry()
        ended = await run(tmp_path, *words, "--json")
    check(server, file, ended)
    assert ended.told["resumedFrom"] == stored >= SIZE // 4
    assert ended.told["sentBytes"] == SIZE - stored
    assert proxy.taken - before < SIZE - stored + SIZE // 100
    assert resume_files(tmp_path) == []


async def test_two_processes_do_not_meet(server: Server, file: Path, tmp_path: Path) -> None:
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url, "--json")
        async with started(tmp_path, *words) as first:
            await urls_in(tmp_path)
            second = await run(tmp_path, *words)
            assert second.code == 1
            assert "another process is uploading" in second.told["error"]
            proxy.hurry()
            check(server, file, await end_of(first))


@pytest.mark.parametrize("how", ["longer", "touched"])
async def test_a_file_that_changes_is_not_completed(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "changing.bin"
    file.write_bytes(bytes(16 * MIB))
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url)
        async with started(tmp_path, *words) as process:
            [url] = await urls_in(tmp_path)
            await until_stored(http, [url], MIB)
            if how == "longer":
                with file.open("ab") as more:
                    more.write(b"more")
            else:
                os.utime(file)
            proxy.hurry()
            ended = await end_of(process)
        assert await tus.offset(http, url) == 15 * MIB, "the last request was not made"
    assert (ended.code, ended.out) == (1, "")
    assert "was changed while it was sent" in ended.err
    assert resume_files(tmp_path) == []


async def test_bytes_that_differ_from_the_file_are_refused(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The change leaves size and times as they were; only the promised SHA-256 shows it."""
    file = tmp_path / "changed.bin"
    file.write_bytes(bytes(16 * MIB))
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url)
        async with started(tmp_path, *words) as process:
            [url] = await urls_in(tmp_path)
            await until_stored(http, [url], MIB)
            process.kill()
        with file.open("r+b") as begin:
            begin.write(b"another beginning")
        os.utime(file, ns=times)
        proxy.hurry()
        ended = await run(tmp_path, *words)
        assert (await tus.head(http, url)).status == 410
    assert (ended.code, ended.out) == (1, "")
    assert "460" in ended.err
    assert "its bytes are not those of" in ended.err
    assert resume_files(tmp_path) == []


async def test_an_upload_that_is_gone_starts_anew(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path
) -> None:
    async with RoughLine(server.tus.port, rate=4 * RATE).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url, "--json")
        async with started(tmp_path, *words) as process:
            [url] = await urls_in(tmp_path)
            await until_stored(http, [url], MIB)
            process.kill()
        async with http.delete(url, headers=tus.TUS) as answer:
            assert answer.status == 204
        proxy.hurry()
        ended = await run(tmp_path, *words)
    check(server, file, ended)
    assert ended.told["resumedFrom"] == 0
    assert "starting again from the beginning" in ended.err
