"""`onward watch`: lines, raw messages, exit codes, and a server that goes away in between."""

import asyncio
import json
import os
import pty
import re
import signal
import termios
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from client_process import end_of, run, started
from onward_process import onward
from pytest_aiohttp.plugin import AiohttpServer
from server_process import Server
from unreliable_proxy import RoughLine

HALF = bytes(500_000)


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode()


async def half(http: aiohttp.ClientSession, files: str, name: str = "") -> str:
    url = await tus.create(http, files, 2 * len(HALF), **({"Upload-Metadata": f"filename {name}"} if name else {}))
    assert (await tus.patch(http, url, 0, HALF)).status == 204
    return url


@pytest.mark.parametrize("end", ["completed", "terminated"])
async def test_the_end_is_the_exit_code(server: Server, http: aiohttp.ClientSession, tmp_path: Path, end: str) -> None:
    url = await half(http, server.url, "cmVwb3J0LnBkZg==")
    async with started(tmp_path, "watch", url) as process:
        assert (await line_of(process)).startswith("report.pdf  500,000 of 1,000,000 bytes  50.0 %  ")
        if end == "completed":
            await tus.patch(http, url, len(HALF), HALF)
        else:
            async with http.delete(url, headers=tus.TUS) as answer:
                assert answer.status == 204
        ended = await end_of(process)
    assert ended.code == (0 if end == "completed" else 1)
    assert ended.out.splitlines()[-1].endswith(end)
    assert ended.err == ""


async def test_several_at_once_as_json(server: Server, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    urls = [await half(http, server.url) for _ in range(2)]
    async with started(tmp_path, "watch", urls[0], urls[1] + "/progress", "--json") as process:
        for _ in urls:
            await line_of(process)
        for url in urls:
            await tus.patch(http, url, len(HALF), HALF)
        ended = await end_of(process)
    last = {messages["uploadId"]: messages for messages in map(json.loads, ended.out.splitlines())}
    assert {url.rpartition("/")[2] for url in urls} == last.keys()
    assert all(messages["completed"] and messages["sha256"] for messages in last.values())
    assert ended.code == 0


async def test_what_is_not_there_ends_with_1(server: Server, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    url = await half(http, server.url)
    await tus.patch(http, url, len(HALF), HALF)
    ended = await run(tmp_path, "watch", url, server.url + "/" + "0" * 32)
    assert ended.code == 1
    assert "completed" in ended.out
    assert re.fullmatch(
        rf"onward: {server.url}/0{{32}}: the server answers 404: There is no upload 0{{32}}\n", ended.err
    )


async def test_a_url_of_several_is_refused(server: Server, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    ids = [(await half(http, server.url)).rpartition("/")[2] for _ in range(2)]
    ended = await run(tmp_path, "watch", f"{server.url.removesuffix('/files')}/progress?id={ids[0]}&id={ids[1]}")
    assert (ended.code, ended.out) == (2, "")
    assert "is the progress of several uploads" in ended.err


async def test_a_server_that_is_killed_is_waited_for(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        url = await half(http, server.url)
        async with started(tmp_path, "watch", url, "--json") as process:
            seen = [json.loads(await line_of(process))["seq"]]
            await server.kill9()
            await server.start()
            await tus.patch(http, url, len(HALF), HALF)
            ended = await end_of(process)
    seen += [json.loads(line)["seq"] for line in ended.out.splitlines()]
    assert seen == sorted(set(seen))
    assert json.loads(ended.out.splitlines()[-1])["status"] == "completed"
    assert "trying again in" in ended.err
    assert ended.code == 0


async def test_nothing_is_told_twice(server: Server, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    url = await half(http, server.url)
    async with RoughLine(server.tus.port).running() as proxy:
        watched = url.replace(str(server.tus.port), str(proxy.port))
        async with started(tmp_path, "watch", watched, "--json") as process:
            seen = [json.loads(await line_of(process))["seq"]]
            proxy.cut()
            assert process.stderr is not None
            assert b"trying again in" in await asyncio.wait_for(process.stderr.readline(), 20)
            proxy.mend()
            while not proxy.connections:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)  # in which the state comes again, and is known already
            await tus.patch(http, url, len(HALF), HALF)
            ended = await end_of(process)
    seen += [json.loads(line)["seq"] for line in ended.out.splitlines()]
    assert seen == sorted(set(seen))
    assert ended.code == 0


async def test_a_terminal_shows_bars(server: Server, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    file = tmp_path / "report\x1b[31m.bin"  # a name that would colour the terminal
    file.write_bytes(HALF)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    try:
        for words in (("upload", str(file), "--to", server.url), ("watch", "URL")):
            url = await half(http, server.url, "cmVwb3J0Gy5iaW4=")
            await tus.patch(http, url, len(HALF), HALF)
            command = [word.replace("URL", url) for word in words]
            async with started(tmp_path, *command, terminal=theirs) as process:
                shown = await asyncio.wait_for(asyncio.to_thread(read_until, ours, b"100%|"), 30)
                assert await asyncio.wait_for(process.wait(), 30) == 0
            assert b"report\xef\xbf\xbd" in shown
            assert b"report\x1b" not in shown
            if words[0] == "upload":
                assert shown.index(f" is uploaded to {server.url}/".encode()) < shown.index(b"100%|")
    finally:
        os.close(ours)
        os.close(theirs)


def read_until(terminal: int, end: bytes) -> bytes:
    shown = b""
    while end not in shown:
        shown += os.read(terminal, 65536)
    return shown


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path, by: signal.Signals
) -> None:
    url = await half(http, server.url)
    async with started(tmp_path, "watch", url) as process:
        await line_of(process)
        process.send_signal(by)
        ended = await end_of(process)
    assert (ended.code, ended.err) == (128 + by, "")


async def test_a_strangers_message_is_one_line_without_controls(tmp_path: Path, aiohttp_server: AiohttpServer) -> None:
    messages = dict.fromkeys(("fileSize", "progress", "etaSeconds", "sha256", "error"))
    numbers = {"seq": 1, "uploadedBytes": 1, "bytesPerSecond": 0.0}
    messages |= {
        "uploadId": "1",
        "status": "completed",
        "fileName": "a\x9bb",
        "completed": True,
        "lastUpdated": "",
    } | numbers

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(json.dumps(messages, ensure_ascii=False, indent=1))
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/files/1/progress", answer)
    stranger = await aiohttp_server(app)
    async with started(tmp_path, "watch", str(stranger.make_url("/files/1")), "--json") as process:
        ended = await end_of(process)
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 1
    assert ended.out.strip().isprintable()
    assert json.loads(ended.out) == messages
