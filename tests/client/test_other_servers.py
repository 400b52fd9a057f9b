"""`onward upload` to other servers of tus 1.0.0, which state no SHA-256: it says so, and the bytes are right."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from client_process import end_of, resume_files, run, started
from nodejs import INTEROP, require
from unreliable_proxy import Fault, RoughLine

MIB = 2**20
SIZE = 24 * MIB + 12345
LOOKS = 500
FAULTS = [(3 * MIB, Fault.CUT), (5 * MIB, Fault.CUT), (4 * MIB, Fault.CUT)]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs, and its folder."""

    port: int
    folder: Path

    def bytes_of(self, url: str) -> bytes:
        """Return what it keeps of an upload."""
        return (self.folder / url.rstrip("/").rpartition("/")[2]).read_bytes()


@asynccontextmanager
async def running(folder: Path, *words: str) -> AsyncIterator[Peer]:
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(*words, str(folder), cwd=INTEROP, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield Peer(int(await asyncio.wait_for(process.stdout.readline(), 30)), folder)
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture(params=["node", "tuspyserver"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    if request.param == "node":
        require("@tus/server", "@tus/file-store")
        words = ["node", str(INTEROP / "servers" / "tus_node.js")]
    else:
        words = [sys.executable, str(INTEROP / "servers" / "tuspyserver_app.py")]
    async with running(tmp_path / "peer", *words) as server:
        for _ in range(LOOKS):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
        yield server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file.bin"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


@pytest.mark.parametrize("options", [(), ("--chunk-size=5M",), ("--parallel=3",)], ids=["whole", "chunks", "parallel"])
async def test_a_file_arrives(peer: Peer, file: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    words = ("upload", str(file), "--to", f"http://127.0.0.1:{peer.port}/files", "--json", *options)
    ended = await run(tmp_path, *words)
    if "does not offer concatenation" in ended.err:
        assert (options, ended.code) == (("--parallel=3",), 1)
        return
    assert (ended.code, ended.told["verified"]) == (0, False), ended.err
    assert "not verified: this server states no SHA-256" in ended.err
    assert peer.bytes_of(ended.told["url"]) == file.read_bytes()


@pytest.mark.parametrize("size", [SIZE, 23 * MIB])
async def test_a_stream_arrives(peer: Peer, file: Path, tmp_path: Path, size: int) -> None:
    """The connection is lost in the last request of the shorter stream, which has stated the length."""
    data = file.read_bytes()[:size]
    async with RoughLine(peer.port, [(20 * MIB, Fault.CUT)]).running() as line:
        ended = await run(tmp_path, "upload", "-", "--to", line.url, "--json", stdin=data)
        assert len(line.done) == 1
    assert ended.code == 0, ended.err
    assert peer.bytes_of(ended.told["url"]) == data


async def test_a_file_arrives_over_a_rough_line(peer: Peer, file: Path, tmp_path: Path) -> None:
    async with RoughLine(peer.port, FAULTS).running() as line:
        ended = await run(tmp_path, "upload", str(file), "--to", line.url, "--json")
        assert len(line.done) == len(FAULTS)
    assert ended.code == 0, ended.err
    assert peer.bytes_of(ended.told["url"]) == file.read_bytes()


async def test_a_killed_client_goes_on(peer: Peer, file: Path, tmp_path: Path) -> None:
    async with RoughLine(peer.port, rate=8 * MIB).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url, "--json", "--chunk-size=1M")
        async with started(tmp_path, *words) as process:
            for _ in range(LOOKS):
                if proxy.taken > SIZE // 2:
                    break
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            assert (await end_of(process)).code == -signal.SIGKILL
        ended = await run(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert ended.told["resumedFrom"] > SIZE // 4
    assert peer.bytes_of(ended.told["url"]) == file.read_bytes()
    assert resume_files(tmp_path) == []
