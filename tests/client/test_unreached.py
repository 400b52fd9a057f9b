"""Servers that can't be reached: at first the client ends within seconds, with a reason; later it waits for them."""

import asyncio
import hashlib
import os
import pty
import re
import socket
import ssl
import termios
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from client_process import resume_files, run, started
from listening import close_listener
from ports import free_port
from server_process import Server
from unreliable_proxy import Fault, RoughLine
from yarl import URL

import onward.client.retry
from onward import Options, Progress, Unreachable, upload, upload_stream, watch
from onward.client.errors import Interrupted, Refused, Unreached
from onward.client.retry import Backoff
from onward.client.transport_errors import translated

MIB = 2**20
REFUSED = "can't connect to 127.0.0.1:{port}: connection refused"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(bytes(3_000_000))
    return path


async def test_an_upload_to_nobody_ends_with_the_reason(file: Path, tmp_path: Path) -> None:
    """The usual time for retries is an hour; the test itself waits for less."""
    port = free_port()
    other = tmp_path / "other.pdf"
    ended = await run(
        tmp_path, "upload", str(file), str(other), f"--to=http://127.0.0.1:{port}/files", "--json", within=30
    )
    reason = REFUSED.format(port=port)
    assert ended.code == 1
    assert ended.out == "".join(f'{{"file":"{path}","error":"{reason}"}}\n' for path in (file, other))
    lines = ended.err.splitlines()
    assert lines[-1] == f"onward: {reason}"
    assert all(line.startswith(f"{file.name}: {reason}; trying again in ") for line in lines[:-1])
    assert resume_files(tmp_path) == []


async def test_watching_nobody_ends_with_the_reason(tmp_path: Path) -> None:
    port = free_port()
    urls = [f"http://127.0.0.1:{port}/files/{name}" for name in "12"]
    ended = await run(tmp_path, "watch", *urls, within=30)
    assert (ended.code, ended.out) == (1, "")
    last = f"onward: {REFUSED.format(port=port)}"
    assert ended.err.splitlines()[-1] == last
    assert ended.err.count(last) == 1


async def test_a_name_that_nobody_has_is_the_reason(file: Path, tmp_path: Path) -> None:
    ended = await run(tmp_path, "upload", str(file), "--to=http://nowhere.invalid/files", "--retry-for=1", within=90)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("onward: can't connect to nowhere.invalid:80: ")
    assert "ssl:" not in ended.err
    assert "Errno" not in ended.err


async def test_code_is_told_as_well(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onward.client.retry, "UNREACHED_FOR", 0.5)
    url = f"http://127.0.0.1:{free_port()}/files"

    async def blocks() -> AsyncIterator[bytes]:
        yield b"some bytes"

    with pytest.raises(Unreachable, match="connection refused"):
        await upload(file, url, options=Options(state=tmp_path / "state"))
    with pytest.raises(Unreachable, match="connection refused"):
        await upload(file, url, options=Options(state=tmp_path / "state", parallel=2))
    with pytest.raises(Unreachable, match="connection refused"):
        await upload_stream(blocks(), url)
    with pytest.raises(Unreachable, match="connection refused"):
        [message async for message in watch(f"{url}/1")]


async def test_a_server_that_comes_at_once_is_waited_for(server: Server, file: Path, tmp_path: Path) -> None:
    port = free_port()
    reported = asyncio.Event()

    def look(progress: Progress) -> None:
        if progress.trouble:
            reported.set()

    work = asyncio.create_task(
        upload(file, f"http://127.0.0.1:{port}/files", on_progress=look, options=Options(state=tmp_path / "state"))
    )
    await asyncio.wait_for(reported.wait(), 30)
    line = RoughLine(server.tus.port)
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    try:
        assert (await asyncio.wait_for(work, 30)).verified
    finally:
        await close_listener(listener)


@pytest.mark.parametrize("parallel", [1, 2])
async def test_a_server_that_was_reached_is_waited_for(
    server: Server, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    """It is away for longer than the client waits for a server that it never reached."""
    monkeypatch.setattr(onward.client.retry, "UNREACHED_FOR", 0.05)
    port, refused = free_port(), asyncio.Event()
    line = RoughLine(server.tus.port, rate=2 * 2**20)
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    begun = asyncio.Event()

    def look(progress: Progress) -> None:
        if progress.sent > 10**6:
            begun.set()
        if progress.trouble and "connection refused" in progress.trouble:
            refused.set()

    options = Options(state=tmp_path / "state", parallel=parallel)
    work = asyncio.create_task(upload(file, f"http://127.0.0.1:{port}/files", on_progress=look, options=options))
    await asyncio.wait_for(begun.wait(), 30)
    await close_listener(listener)
    line.cut()
    await asyncio.wait_for(refused.wait(), 30)
    await asyncio.sleep(0.5)
    line.mend()
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    try:
        assert (await asyncio.wait_for(work, 60)).verified
    finally:
        await close_listener(listener)


async def test_a_watched_server_that_was_reached_is_waited_for(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onward.client.retry, "UNREACHED_FOR", 0.05)
    place = await tus.create(http, server.url, 5)
    port, refused = free_port(), asyncio.Event()
    line = RoughLine(server.tus.port)
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)

    def trouble(sentence: str) -> None:
        if "connection refused" in sentence:
            refused.set()

    messages = watch(place.replace(str(server.tus.port), str(port)), on_trouble=trouble)
    assert (await anext(messages)).status == "pending"
    await close_listener(listener)
    line.cut()
    ahead = asyncio.ensure_future(anext(messages))
    await asyncio.wait_for(refused.wait(), 30)
    await asyncio.sleep(0.5)
    line.mend()
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    try:
        async with http.delete(place, headers=tus.TUS) as answer:
            assert answer.status == 204
        assert (await asyncio.wait_for(ahead, 60)).status == "terminated"
    finally:
        await messages.aclose()
        await close_listener(listener)


def test_a_connection_that_gets_no_answer_at_all_is_tried_once() -> None:
    with pytest.raises(Unreachable, match="no answer in 15 s"):
        Backoff(3600, clock=lambda: 100.0).wait(Unreached("no answer in 15 s", lasted=15))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 101] x"),
            "connection refused",
        ),
        (OSError(101, "Multiple exceptions: [Errno 101] x, [Errno 101] y"), "network is unreachable"),
    ],
    ids=["name", "refused", "several-reasons", "several-addresses"],
)
def test_the_reason_is_readable(error: OSError, sentence: str) -> None:
    key = aiohttp.client_reqrep.ConnectionKey("host", 8080, False, True, None, None, None)
    with pytest.raises(Unreached) as caught, translated(URL("http://host:8080")):
        raise aiohttp.ClientConnectorError(key, error)
    assert str(caught.value) == f"can't connect to host:8080: {sentence}"


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (aiohttp.ClientOSError(104, "Connection reset by peer"), Interrupted, "the connection failed: connection reset by peer"),
        (aiohttp.ServerDisconnectedError(), Interrupted, "the connection failed: the server closed it"),
        (aiohttp.ClientPayloadError("x"), Interrupted, "the connection failed: the answer was cut off"),
        (aiohttp.ConnectionTimeoutError("x"), Unreached, "can't connect to [::1]:80: no answer in 15 s"),
        (TimeoutError(), Interrupted, "nothing came through in time"),
        (aiohttp.NonHttpUrlRedirectClientError("ftp://host/"), Refused, "the server redirects to ftp://host/, which is not an HTTP URL"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_each_fault_is_a_sentence(error: Exception, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind) as caught, translated(URL("http://[::1]/")):
        raise error
    assert str(caught.value) == sentence


async def test_a_certificate_that_nobody_trusts_is_a_sentence(file: Path, tmp_path: Path) -> None:
    """A real handshake with a certificate that signs itself."""
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate"), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")

    def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    try:
        ended = await run(tmp_path, "upload", str(file), f"--to=https://127.0.0.1:{port}/files")
        words = ("upload", str(file), f"--to=https://127.0.0.1:{port}/files", "--retry-for=0.1")
        trusting = [
            await run(tmp_path, *words, option) for option in (f"--cacert={tmp_path / 'certificate'}", "--insecure")
        ]
    finally:
        await close_listener(listener)
    assert all("no progress in" in one.err and "safe" not in one.err for one in trusting), trusting
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"onward: {file}: no safe connection to 127.0.0.1:{port}: self")
    assert ended.err.endswith("signed certificate (--cacert or SSL_CERT_FILE can name certificates to trust)\n")


async def shown_by(state: Path, *words: str, seen: bytearray | None = None) -> tuple[str, int]:
    """Run a command in a terminal of 60 columns to its end; gives all that is `seen` there, and its exit code."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    shown = bytearray() if seen is None else seen
    try:
        async with started(state, *words, terminal=theirs) as process:
            os.close(theirs)
            with suppress(OSError):  # the other end is closed
                while block := await asyncio.wait_for(asyncio.to_thread(os.read, ours, 65536), 60):
                    shown += block
            return shown.decode(), await process.wait()
    finally:
        os.close(ours)


@pytest.mark.parametrize("command", ["upload", "upload-missing", "watch", "watch-unknown"])
async def test_a_terminal_shows_the_whole_reason_and_no_bar(
    server: Server, file: Path, tmp_path: Path, command: str
) -> None:
    port = free_port()
    words, sentence = {
        "upload": (["upload", str(file), f"--to=http://127.0.0.1:{port}/files"], f"onward: {REFUSED.format(port=port)}"),
        "upload-missing": (["upload", "missing.pdf", "--to", server.url], "onward: missing.pdf can't be read: No such file or directory"),
        "watch": (["watch", f"http://127.0.0.1:{port}/files/1"], f"onward: {REFUSED.format(port=port)}"),
        "watch-unknown": (["watch", f"{server.url}/{'0' * 32}"], "the server answers 404: There is no upload"),
    }[command]  # fmt: skip
    shown, code = await shown_by(tmp_path, *words)
    assert code == 1
    assert sentence in shown
    assert "ssl:" not in shown
    for part_of_a_bar in ("%|", "B/s", "0.00"):
        assert part_of_a_bar not in shown


async def test_a_terminal_shows_trouble_in_a_line_of_its_own_and_once_per_reason(
    server: Server, file: Path, tmp_path: Path
) -> None:
    async with RoughLine(server.tus.port, [(MIB, Fault.CUT), (100, Fault.CUT), (100, Fault.CUT)]).running() as line:
        shown, code = await shown_by(tmp_path, "upload", str(file), "--to", line.url)
        assert len(line.done) == 3
    assert code == 0
    reason = "report.pdf: the connection failed: connection reset by peer; trying again in "
    lines = [one for one in shown.replace("\r", "\n").split("\n") if "connection failed" in one]
    assert len(lines) in (1, 2), "three faults; between two of them the same reason is said once"
    assert any(re.search(rf"{re.escape(reason)}\d+\.\d s$", one) for one in lines), lines
    assert "next try in" in shown
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"report.pdf: verified, sha256 {sha256}" in shown


async def test_a_terminal_shows_what_interrupts_watching_in_a_line_of_its_own(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    place = await tus.create(http, server.url, 5, **{"Upload-Metadata": "filename YQ=="})
    async with RoughLine(server.tus.port).running() as line:
        url, seen = place.replace(str(server.tus.port), str(line.port)), bytearray()
        watching = asyncio.create_task(shown_by(tmp_path, "watch", url, seen=seen))
        while b", pending" not in seen:
            await asyncio.sleep(0.02)
        line.cut()
        while b"next try in" not in seen:
            await asyncio.sleep(0.02)
        line.mend()
        async with http.delete(place, headers=tus.TUS) as answer:
            assert answer.status == 204
        shown, code = await watching
    assert code == 1
    assert re.search(rf"{url}: [^;\r\n]+; trying again in \d+\.\d s\r?\n", shown), shown
    assert "terminated" in shown
