"""Servers that can't be reached: at first that ends within seconds and with a reason, later it is waited for."""

import asyncio
import os
import pty
import socket
import ssl
import termios
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from client_process import resume_files, run, started
from ports import free_port
from rough_line import RoughLine
from server_process import Server
from yarl import URL

import client.patience
from client import Options, Progress, Unreachable, upload, upload_stream, watch
from client.errors import Interrupted, Refused, Unreached
from client.faults import translated
from client.patience import Patience

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
    assert all(line.startswith(f"report.pdf: {reason}; trying again in ") for line in lines[:-1])
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
    monkeypatch.setattr(client.patience, "UNREACHED_FOR", 0.5)
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
    told = asyncio.Event()

    def look(progress: Progress) -> None:
        if progress.trouble:
            told.set()

    work = asyncio.create_task(
        upload(file, f"http://127.0.0.1:{port}/files", on_progress=look, options=Options(state=tmp_path / "state"))
    )
    await asyncio.wait_for(told.wait(), 30)
    line = RoughLine(server.tus.port)
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    try:
        assert (await asyncio.wait_for(work, 30)).verified
    finally:
        listener.close()


@pytest.mark.parametrize("parallel", [1, 2])
async def test_a_server_that_was_reached_is_waited_for(
    server: Server, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    """It goes away for longer than a server that nobody has reached is waited for."""
    monkeypatch.setattr(client.patience, "UNREACHED_FOR", 0.05)
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
    listener.close()
    line.cut()
    await asyncio.wait_for(refused.wait(), 30)
    await asyncio.sleep(0.5)
    line.mend()
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    try:
        assert (await asyncio.wait_for(work, 60)).verified
    finally:
        listener.close()


async def test_a_watched_server_that_was_reached_is_waited_for(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.patience, "UNREACHED_FOR", 0.05)
    async with http.post(server.url, headers={"Tus-Resumable": "1.0.0", "Upload-Length": "5"}) as answer:
        place = answer.headers["Location"]
    port, refused = free_port(), asyncio.Event()
    line = RoughLine(server.tus.port)
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)

    def trouble(sentence: str) -> None:
        if "connection refused" in sentence:
            refused.set()

    messages = watch(place.replace(str(server.tus.port), str(port)), on_trouble=trouble)
    assert (await anext(messages)).status == "pending"
    listener.close()
    line.cut()
    ahead = asyncio.ensure_future(anext(messages))
    await asyncio.wait_for(refused.wait(), 30)
    await asyncio.sleep(0.5)
    line.mend()
    listener = await asyncio.start_server(line._serve, "127.0.0.1", port)
    try:
        async with http.delete(place, headers={"Tus-Resumable": "1.0.0"}) as answer:
            assert answer.status == 204
        assert (await asyncio.wait_for(ahead, 60)).status == "terminated"
    finally:
        await messages.aclose()
        listener.close()


def test_a_connection_that_gets_no_answer_at_all_is_tried_once() -> None:
    with pytest.raises(Unreachable, match="no answer in 15 s"):
        Patience(3600, clock=lambda: 100.0).wait(Unreached("no answer in 15 s", lasted=15))


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
        (aiohttp.NonHttpUrlRedirectClientError("ftp://host/"), Refused, "the server redirects to ftp://host/, which is no URL of HTTP"),
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
    finally:
        listener.close()
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"onward: {file}: no safe connection to 127.0.0.1:{port}: self")
    assert ended.err.endswith("signed certificate (SSL_CERT_FILE can name certificates to trust)\n")


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
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    shown, end = b"", time.monotonic() + 60
    async with started(tmp_path, *words, terminal=theirs) as process:
        os.close(theirs)
        while time.monotonic() < end:
            try:
                shown += await asyncio.to_thread(os.read, ours, 65536)
            except OSError:  # the other end is closed
                break
        assert await process.wait() == 1
    os.close(ours)
    assert sentence in shown.decode()
    assert "ssl:" not in shown.decode()
    assert b"%|" not in shown
    assert b"B/s" not in shown
    assert b"0.00" not in shown
