"""The kept connection to Redis: each call gets its own answer, by one write, and what is lost is repeated or unknown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from redis import asyncio as aioredis
from redis import exceptions
from redis_process import RedisProcess, redis_server

import onward.storage.state.redis.pipelined_connection
from onward.storage.base import Unreachable
from onward.storage.state.redis.pipelined_connection import PipelinedConnection


@asynccontextmanager
async def kept(url: str) -> AsyncIterator[PipelinedConnection]:
    pool = aioredis.ConnectionPool.from_url(url)
    connection = PipelinedConnection(pool)
    yield connection
    connection.give_up()
    await pool.disconnect()


class Echo:
    """A server that replies the last word of each command; `reply` may return something else, or None for nothing.

    It is told the number of the connection and the word.
    """

    def __init__(self, reply: Callable[[int, str], bytes | None]) -> None:
        self.heard: list[tuple[int, str]] = []
        self.told = asyncio.Event()
        self._reply, self._count = reply, 0
        self._ends: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PipelinedConnection]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with kept(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0") as connection:
            yield connection
        server.close()
        for end in self._ends:
            end.close()

    def cut(self) -> None:
        """Cut the last connection."""
        self._ends[-1].transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count, number = self._count + 1, self._count
        self._ends.append(writer)
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                word = command[-1].decode()
                self.heard.append((number, word))
                self.told.set()
                if (reply := self._reply(number, word)) is not None:
                    writer.write(reply)


def echoed(_: int, word: str) -> bytes:
    return b"+%s\r\n" % word.encode()


def reads(server: RedisProcess) -> int:
    return int(server.command("INFO", "stats")["total_reads_processed"])


async def test_each_call_gets_its_own_answer_or_error_by_one_write(redis_process: RedisProcess, redis_url: str) -> None:
    async with kept(redis_url) as connection:
        await connection.run("PING")
        before = reads(redis_process)
        texts = [f"return '{number}'" if number % 5 else "return redis.call('NOTHING')" for number in range(40)]
        got = await asyncio.gather(*(connection.run("EVAL", text, 0) for text in texts), return_exceptions=True)
        assert reads(redis_process) - before < 10  # some of them are this test's own
        for number, answer in enumerate(got):
            assert answer == str(number).encode() if number % 5 else isinstance(answer, exceptions.ResponseError)


async def test_after_a_lost_connection_each_call_gets_its_own_answer_and_what_was_answered_is_not_repeated() -> None:
    echo = Echo(lambda number, word: echoed(number, word) if number or word == "0" else None)
    async with echo.running() as connection:
        calls = [asyncio.create_task(connection.run("ECHO", str(number))) for number in range(5)]
        assert await calls[0] == b"0"
        echo.cut()
        later = [asyncio.create_task(connection.run("ECHO", f"later {number}")) for number in range(5)]
        assert [await call for call in calls] == [b"0", b"1", b"2", b"3", b"4"]
        assert [await call for call in later] == [b"later %d" % number for number in range(5)]
    assert sorted(word for number, word in echo.heard if number == 0) == ["0", "1", "2", "3", "4"]
    assert "0" not in [word for number, word in echo.heard if number == 1]
    assert len({number for number, _ in echo.heard}) == 2


async def test_what_is_sent_once_is_not_repeated() -> None:
    echo = Echo(lambda *_: None)
    async with echo.running() as connection:
        answer = connection.send("ECHO", "once")
        await echo.told.wait()
        echo.cut()
        with pytest.raises(exceptions.ConnectionError):
            await answer
        assert echo.heard == [(0, "once")]


async def test_a_connection_that_brings_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onward.storage.state.redis.pipelined_connection, "WAIT", 0.3)
    echo = Echo(lambda number, word: echoed(number, word) if number else None)
    async with echo.running() as connection:
        with pytest.raises(exceptions.TimeoutError):
            await connection.send("ECHO", "silence")
        assert await connection.run("ECHO", "later") == b"later"


async def test_a_master_that_became_a_replica_is_left() -> None:
    echo = Echo(lambda number, word: echoed(number, word) if number else b"-READONLY it is a replica\r\n")
    async with echo.running() as connection:
        assert await connection.run("ECHO", "to the master") == b"to the master"
        assert echo.heard == [(0, "to the master"), (1, "to the master")]


async def test_a_reply_that_nobody_awaits_reaches_nobody() -> None:
    echo = Echo(lambda number, word: echoed(number, word) + (b"" if number else b"+odd\r\n"))
    async with echo.running() as connection:
        assert await connection.run("ECHO", "one") == b"one"
        assert await connection.run("ECHO", "two") == b"two"


async def test_a_cancelled_call_takes_no_answer_of_another() -> None:
    echo = Echo(echoed)
    async with echo.running() as connection:
        await connection.run("ECHO", "begin")
        cancelled = asyncio.create_task(connection.run("ECHO", "cancelled"))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await connection.run("ECHO", "next") == b"next"
        with pytest.raises(asyncio.CancelledError):
            await cancelled


async def test_calls_without_an_answer_are_given_up(redis_process: RedisProcess, redis_url: str) -> None:
    async with kept(redis_url) as connection:
        await connection.run("PING")
        redis_process.command("CLIENT", "PAUSE", 500)
        answers = [asyncio.create_task(connection.run("EVAL", "return 1", 0)) for _ in range(3)]
        await asyncio.sleep(0.05)
        connection.give_up()
        for answer in (*answers, connection.send("PING")):
            with pytest.raises(Unreachable):
                await answer


async def test_user_password_database_and_socket_of_the_url_are_used(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    options = ("--unixsocket", str(socket), "--user", "writer", "on", ">secret", "~*", "+@all")
    with redis_server(tmp_path, *options) as server:
        for url in (f"redis://writer:secret@127.0.0.1:{server.port}/3", f"unix://writer:secret@{socket}?db=3"):
            async with kept(url) as connection:
                await connection.run("SET", "key", url)
            with redis.Redis(port=server.port, db=3) as client:
                assert client.get("key") == url.encode()
        async with kept(f"redis://writer:wrong@127.0.0.1:{server.port}/3") as connection:
            with pytest.raises(exceptions.AuthenticationError):
                await connection.run("PING")


async def test_a_server_that_is_not_there_fails_each_call() -> None:
    async with kept("redis://127.0.0.1:1/0") as connection:
        got: list[Any] = await asyncio.gather(*(connection.run("PING") for _ in range(3)), return_exceptions=True)
        assert [type(fault) for fault in got] == [exceptions.ConnectionError] * 3
