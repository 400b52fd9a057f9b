"""The operator's commands: beside a running server, without one, and after a crash; and what may stand in their way."""

import asyncio
import json
import os
import pty
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import aiohttp
import pytest
import tus_requests as tus
from client_process import Ended, run, started
from half_open_request import PART, half_open
from http_connection import Tus
from onward_process import ROOT, OnwardProcess, onward
from ports import free_port
from redis_process import RedisProcess
from server_process import Server, Start, serving

from onward.server.config import Config
from onward.server.control import caller, channel, commands

NAME = "filename G1szMW1yZWQK5pel5pys6Kqe"  # an escape sequence for the colour, a line feed, and wide letters
UNKNOWN = "0" * 32
MANY = 1000
BACK_TO_USER = (
    "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    """A server with its state in SQLite."""
    async with onward(tmp_path / "data", "sqlite:") as running:
        yield running


async def command(server: OnwardProcess | Server | Path, *words: str, state: str = "sqlite:") -> Ended:
    data = server if isinstance(server, Path) else server.data
    return await run(data.parent, *words, f"--data={data}", f"--state={state}", "--log-level=error")


async def listed(server: OnwardProcess | Server | Path, *words: str, state: str = "sqlite:") -> list[dict[str, Any]]:
    """Give what `onward list` prints as JSON."""
    ended = await command(server, "list", "--json", *words, state=state)
    assert (ended.code, ended.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


def ask(data: Path, line: bytes) -> list[Any]:
    """Send a line to the server of a data folder, and give the lines of its answer."""
    connection = channel.connect(data)
    assert connection is not None
    with closing(connection):
        connection.settimeout(10)
        connection.sendall(line)
        with connection.makefile("rb") as answer:
            return [json.loads(each) for each in answer]


async def test_all_uploads_are_listed_while_the_server_runs(server: Server, tus: Tus) -> None:
    paths = [tus.begun(bytes(10), 5) if number % 100 == 0 else tus.create(10) for number in range(MANY)]
    found = await listed(server)
    assert [each["uploadId"] for each in reversed(found)] == [path.rpartition("/")[2] for path in paths]
    begun = await listed(server, "--status=uploading", "--status=paused")
    assert [each["uploadedBytes"] for each in begun] == [5] * (MANY // 100)
    assert await listed(server, "--status=failed") == []


async def test_json_is_the_progress_object_with_metadata_and_times(
    node: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    url = await tus.create(http, node.url, 10, **{"Upload-Metadata": f"{NAME},raw /w==,flag"})
    async with http.get(f"{url}/progress") as answer:
        progress = await answer.json()
    (upload,) = await listed(node)
    metadata = {"filename": "\x1b[31mred\n日本語", "raw": {"base64": "/w=="}, "flag": ""}
    times = {"created": upload["created"], "expires": upload["expires"]}
    assert upload == progress | {"metadata": metadata, "owner": None} | times
    assert upload["created"] < upload["expires"]
    shown = await command(node, "show", "--json", upload["uploadId"])
    assert json.loads(shown.out) == [upload]


async def test_a_terminal_gets_lines_that_fit_and_no_control_characters(
    node: OnwardProcess, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    for _ in range(3):
        await tus.create(http, node.url, 10, **{"Upload-Metadata": NAME + "5pel5pys6Kqe" * 20})
    for columns in (60, 80, 99, 100, 120):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        words, environ = ("list", f"--data={node.data}"), {"COLUMNS": ""}  # which pytest-xdist sets
        async with started(tmp_path, *words, environ=environ, terminal=theirs) as process:
            assert await asyncio.wait_for(process.wait(), 30) == 0
        shown = b""
        while select.select([ours], [], [], 0)[0]:
            shown += os.read(ours, 65536)
        os.close(ours)
        os.close(theirs)
        assert b"\x1b" not in shown
        lines = shown.decode().splitlines()
        assert len(lines) == 4
        assert all("\ufffd[31m" in line and line.endswith("…") for line in lines[1:]), lines
        assert [
            line for line in lines if sum(2 if east_asian_width(letter) in "FW" else 1 for letter in line) > columns
        ] == []


async def test_a_reader_of_the_list_may_stop(server: Server, tus: Tus) -> None:
    for _ in range(50):
        tus.create(10)
    words = f"{sys.executable} -m onward list --data={server.data} | head -1"
    ended = await asyncio.to_thread(subprocess.run, words, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout.count("\n"), ended.stderr) == (1, "")


async def test_an_upload_is_shown_by_its_id_its_beginning_and_its_url(
    node: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    url = await tus.create(http, node.url, 10, **{"Upload-Metadata": NAME})
    id_ = url.rpartition("/")[2]
    await tus.patch(http, url, 0, bytes(4))
    for name in (id_, id_[:8], id_[:8] + "…", url):
        shown = await command(node, "show", name)
        assert (shown.code, shown.err) == (0, "")
        assert f"upload       {id_}\nfile name    \ufffd[31mred\ufffd日本語\n" in shown.out
        assert "stored       4 of 10 bytes (40 %)\n" in shown.out
        assert "metadata     filename: \ufffd[31mred\ufffd日本語\n" in shown.out


async def test_what_names_no_upload_is_told_and_the_rest_is_shown(
    node: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    ids = [(await tus.create(http, node.url, 10)).rpartition("/")[2] for _ in range(2)]
    missing = next(each for each in ("0000", "1111", "2222") if not any(id_.startswith(each) for id_ in ids))
    ended = await command(node, "show", UNKNOWN, "nothing", ids[0][:3], missing, ids[1])
    assert ended.code == 1
    assert ended.err.splitlines() == [
        f"onward: there is no upload {UNKNOWN}",
        "onward: 'nothing' is not the id of an upload, nor at least 4 digits of its beginning",
        f"onward: '{ids[0][:3]}' is not the id of an upload, nor at least 4 digits of its beginning",
        f"onward: there is no upload {missing}",
    ]
    assert f"upload       {ids[1]}\n" in ended.out


async def test_an_upload_and_its_file_are_removed(node: OnwardProcess, http: aiohttp.ClientSession) -> None:
    urls = [await tus.create(http, node.url, 4) for _ in range(2)]
    await tus.patch(http, urls[0], 0, b"here")
    ids = [url.rpartition("/")[2] for url in urls]
    assert (node.data / "files" / ids[0]).read_bytes() == b"here"
    ended = await command(node, "rm", ids[0], UNKNOWN, ids[1])
    assert (ended.code, ended.err) == (1, f"onward: there is no upload {UNKNOWN}\n")
    assert ended.out == f"removed {ids[0]} (4 bytes)\nremoved {ids[1]} (0 bytes)\n"
    assert [(await tus.head(http, url)).status for url in urls] == [410, 410]
    assert [*(node.data / "files").iterdir(), *(node.data / "partial").iterdir()] == []
    again = await command(node, "rm", ids[0])
    assert (again.code, again.out, again.err) == (1, "", f"onward: {ids[0]}: The upload was terminated.\n")


async def test_a_body_that_runs_is_ended_by_rm(state_url: str, tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with onward(tmp_path / "data", state_url) as server, half_open(http, server) as id_:
        began = time.monotonic()
        ended = await command(server, "rm", id_, state=state_url)
        assert (ended.code, ended.out, ended.err) == (0, f"removed {id_} ({PART:,} bytes)\n", "")
        assert time.monotonic() - began < 6
        assert (await tus.head(http, f"{server.url}/{id_}")).status == 410
        assert (await tus.patch(http, f"{server.url}/{id_}", PART, b"x")).status == 410
        assert list((server.data / "partial").iterdir()) == []
        assert "PATCH" in server.log()
        assert " 423 " in server.log()  # the body that ran


async def test_over_redis_the_uploads_of_all_nodes_are_listed_without_a_socket(
    redis_process: RedisProcess, redis_url: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    data = tmp_path / "data"
    async with onward(data, redis_url) as one, onward(data, redis_url, ["--workers=2"]) as other:
        urls = [await tus.create(http, node.url, 10) for _ in range(5) for node in (one, other)]
        ids = [url.rpartition("/")[2] for url in urls]
        assert not (data / channel.NAME).exists()
        found = await listed(data, state=redis_url)
        assert {each["uploadId"] for each in found} == {*ids}
        assert [each["created"] for each in found] == sorted((each["created"] for each in found), reverse=True)
        removed = await command(data, "rm", ids[0], ids[1][:16], state=redis_url)
        assert (removed.code, removed.err) == (0, "")
        assert [(await tus.head(http, url)).status for url in urls[:3]] == [410, 410, 200]
        swept = await command(data, "sweep", state=redis_url)
        assert (swept.code, swept.out, swept.err) == (0, "0 uploads processed, 0 leftovers removed\n", "")
        redis_process.flush()
        statuses = {each["uploadId"]: each["status"] for each in await listed(data, state=redis_url)}
        assert statuses == dict.fromkeys(ids, "pending") | dict.fromkeys(ids[:2], "terminated")
    assert len(await listed(data, "--status=terminated", state=redis_url)) == 2


async def test_a_redis_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "lock").touch()
    ended = await command(data, "list", state=f"redis://user:secret@127.0.0.1:{free_port()}")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("onward: Redis: ")
    assert (ended.err.count("\n"), "secret" in ended.err) == (1, False)


async def test_without_a_server_the_folder_is_read_and_is_free_again_at_once(
    node: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    url = await tus.create(http, node.url, 10)
    await node.stop()
    assert not (node.data / channel.NAME).exists()
    assert [each["uploadId"] for each in await listed(node)] == [url.rpartition("/")[2]]
    removed = await command(node, "rm", url)
    assert (removed.code, removed.err) == (0, "")
    assert [each["status"] for each in await listed(node)] == ["terminated"]
    await node.start()
    assert (await tus.head(http, url)).status == 410


async def test_a_pager_that_is_left_open_keeps_no_server_from_starting(
    node: OnwardProcess, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    metadata = {"Upload-Metadata": f"filename {'QUJD' * 1000}"}
    for _ in range(100):  # more than a pipe takes
        await tus.create(http, node.url, 10, **metadata)
    await node.stop()
    async with started(tmp_path, "list", "--json", f"--data={node.data}") as process:
        assert process.stdout is not None
        await process.stdout.read(1)
        await node.start()
        await tus.create(http, node.url, 10)


async def test_the_socket_of_a_killed_server_is_in_nobodys_way(
    node: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    await tus.create(http, node.url, 10)
    await node.kill9()
    assert stat.S_ISSOCK((node.data / channel.NAME).stat().st_mode)
    assert len(await listed(node)) == 1
    await node.start()
    await tus.create(http, node.url, 10)
    assert len(await listed(node)) == 2
    await node.stop()
    assert not (node.data / channel.NAME).exists()


async def test_only_the_user_of_the_server_may_give_commands(node: OnwardProcess) -> None:
    path = node.data / channel.NAME
    assert stat.S_IMODE(path.stat().st_mode) == channel.MODE == 0o600
    if os.getuid():
        pytest.skip("only root can try it as another user")
    for folder in (node.data, *node.data.parents):  # so that nothing but the mode of the socket is in the way
        folder.chmod(folder.stat().st_mode | 0o055)
    foreign = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    words = [sys.executable, "-c", BACK_TO_USER, "/usr/bin/env", "python3", "-c", foreign]
    ended = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1] == "PermissionError: [Errno 13] Permission denied"


async def test_a_refused_connection_says_who_may_give_commands(
    node: OnwardProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    async def never(_: Config) -> Any:
        raise AssertionError("the storage is opened")

    monkeypatch.setattr(caller, "connect", refuse)
    with pytest.raises(OSError, match="belongs to another user: run this command as the user of the server"):
        async for _ in caller.ask(Config(data=str(node.data)), never, "list", commands.Listing()):
            pass


async def test_the_path_of_the_folder_may_be_long(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    data = tmp_path.joinpath(*["long" * 25] * 3)
    data.parent.mkdir(parents=True)
    async with onward(data, "sqlite:") as server:
        await tus.create(http, server.url, 10)
        assert len(await listed(server)) == 1
        await server.stop()
    assert not (data / channel.NAME).exists()


async def test_a_folder_that_can_hold_no_socket_stops_only_the_commands(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / channel.NAME).write_text("mine")
    async with onward(data, "sqlite:") as server:
        await tus.create(http, server.url, 10)
        assert f"{data}/control.sock can't be made (it exists, and is not a socket)" in server.log()
        ended = await command(server, "list")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == f"onward: another process uses {data}, and no server answers at {data}/control.sock\n"
        await server.stop()
    assert (data / channel.NAME).read_text() == "mine"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("sqlite:", "--data: no server has used '{data}' yet"),
        ("memory:", "--state: with memory: only a running server knows its uploads, and none answers at {data}/control.sock"),
    ],
)  # fmt: skip
async def test_a_folder_without_uploads_stays_empty(tmp_path: Path, state: str, sentence: str) -> None:
    data = tmp_path / "data"
    ended = await command(data, "list", state=state)
    assert (ended.code, ended.err) == (2, f"onward: --data: there is no folder '{data}'\n")
    data.mkdir()
    ended = await command(data, "list", state=state)
    assert (ended.code, ended.out, ended.err) == (2, "", f"onward: {sentence.format(data=data)}\n")
    assert list(data.iterdir()) == []


async def test_the_clean_up_runs_in_the_server(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with onward(tmp_path / "data", "sqlite:", ["--sweep-every=1h", "--expire-after=1s"]) as server:
        await tus.create(http, server.url, 10)
        await asyncio.sleep(1.1)
        ended = await command(server, "sweep")
        assert (ended.code, ended.out, ended.err) == (0, "1 uploads processed, 0 leftovers removed\n", "")
        assert [each["status"] for each in await listed(server)] == ["expired"]


async def test_a_state_in_memory_is_listed_too(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with onward(tmp_path / "data", "memory:") as server:
        await tus.create(http, server.url, 10)
        assert len(await listed(server, state="memory:")) == 1


async def test_a_damaged_record_is_told(start: Start) -> None:
    server = start()
    paths = [server.tus.create(10) for _ in range(3)]
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    damaged = paths[1].rpartition("/")[2]
    with closing(sqlite3.connect(server.data / "state.sqlite")) as db:
        db.execute("UPDATE uploads SET document = 'x' WHERE id = ?", (damaged,))
        db.commit()
    with serving(server.data):
        ended = await command(server, "list", "--json")
        assert (ended.code, ended.err) == (1, f"onward: the record of {damaged} is damaged\n")
        assert len(json.loads(ended.out)) == 2
        shown = await command(server, "show", damaged[:8])
        assert shown.code == 1
        assert shown.err.startswith(f"onward: {damaged[:8]}: a damaged record: ")


async def test_what_the_server_does_not_understand_is_answered(node: OnwardProcess) -> None:
    told = {
        b'{"command": "grow"}\n': "the running server does not know the command 'grow'",
        b'{"command": "show"}\n': "the running server does not understand the command: ",
        b'{"command": "list", "arguments": {"statuses": ["odd"]}}\n': "the running server does not understand the command: ",
        b"odd\n": "the running server does not understand the command: ",
    }  # fmt: skip
    for line, sentence in told.items():
        answer, end = ask(node.data, line)
        assert answer["problem"].startswith(sentence)
        assert end == {"end": True}
    with suppress(BrokenPipeError):
        assert ask(node.data, b"x" * (channel.LONGEST * 3)) == []
    assert await listed(node) == []


async def test_a_server_that_dies_in_the_middle_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with channel.listen(data) as listener:
        asking = asyncio.create_task(command(data, "list", "--json"))
        connection, _ = await asyncio.to_thread(listener.accept)
        with connection:
            connection.recv(1000)
            connection.sendall(b'{"upload": {}}\n{"upl')
        ended = await asking
    assert ended.code == 1
    assert ended.err == "onward: the server has ended before it answered everything\n"
    assert not ended.out.endswith("]\n")  # so no program takes it for the whole list


@pytest.mark.parametrize("line", [b"", b'{"command": "list"}\n'])
async def test_a_command_that_says_or_reads_nothing_holds_nothing_up(
    node: OnwardProcess, http: aiohttp.ClientSession, line: bytes
) -> None:
    metadata = {"Upload-Metadata": f"filename {'QUJD' * 1000}"}
    urls = [await tus.create(http, node.url, 10, **metadata) for _ in range(200)]
    connections = [channel.connect(node.data) for _ in range(10)]
    for connection in connections:
        assert connection is not None
        connection.sendall(line)
    await asyncio.sleep(0.5)
    assert (await tus.patch(http, urls[0], 0, bytes(10))).status == 204
    assert len(await listed(node)) == 200
    began = time.monotonic()
    assert await node.stop() == 0
    assert time.monotonic() - began < 3
    for connection in connections:
        assert connection is not None
        connection.close()
    assert "Traceback" not in node.log()


async def test_the_port_answers_no_commands(node: OnwardProcess, http: aiohttp.ClientSession) -> None:
    await tus.create(http, node.url, 10)
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(b'{"command": "list"}\n\r\n\r\n')
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b"upload" not in answer
