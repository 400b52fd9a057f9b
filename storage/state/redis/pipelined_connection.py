"""One pipelined connection to a Redis, on which the calls of all requests are under way at once.

    one turn of the event loop            the connection
    --------------------------            --------------
    send() ---+
    send() ---+--> _waiting ------------> one write
    send() ---+                             |
                                            v
    each answer  <-- _under_way, in order <-- replies, as they arrive

Redis replies in the order of the commands, so each reply is that of the first command that has none yet. What is under
way belongs to one connection: when it is lost, all of it fails, because its outcome is unknown, and the next connection
begins with nothing under way. So a reply can't reach the wrong caller.

`run` repeats what failed with the connection, which every script allows (scripts.py). A Redis that hangs is known by
its silence: the first call that meets it fails after WAIT and REPEAT together, and until Redis has replied again each
further call is tried once, for TRIAL. So a request that has several calls to make is refused within seconds.

The client library tells where to connect and how (the URL, or the Sentinels); it would need a task, several locks and a
time-out for each command.
"""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis
from redis import asyncio as aioredis
from redis import exceptions
from redis.asyncio.connection import DefaultParser
from redis.asyncio.sentinel import SentinelConnectionPool

from onward.storage.base import Unreachable
from onward.storage.running.threads import Answer

WAIT = 2.0  # seconds until a connection is given up that brings no reply
CONNECT_WAIT = 1.0  # seconds that connecting may take
PAUSES = (0.05, 0.1, 0.3)  # seconds until a call whose connection was lost is repeated
REPEAT = 1.0  # seconds for which a call is repeated
TRIAL = 1.0  # seconds for a call to a Redis that has not replied since such a call has failed
# After these a call is repeated, on another connection.
LOST = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError)
_NOTHING = object()
Argument = str | bytes | int | float


def _settle(answer: Answer[Any], reply: Any) -> None:
    """Give a caller its reply, which may be an error."""
    if answer.done():
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
        answer.exception()  # marks it as retrieved, for the case that the waiting task was cancelled
    else:
        answer.set_result(reply)


class _Connection(asyncio.Protocol):
    """A connection, and the answers to the commands that are under way on it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader(
            protocolError=exceptions.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_NOTHING
        )
        self._under_way: deque[Answer[Any]] = deque()
        self._heard = 0.0  # the loop's time of the last reply, or of the first command after all had theirs
        self._look: asyncio.TimerHandle | None = None
        self._transport: asyncio.WriteTransport | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def send(self, packed: bytes, answers: list[Answer[Any]]) -> None:
        """Send commands whose replies are awaited as `answers`."""
        if self.lost or self._transport is None:
            for answer in answers:
                _settle(answer, exceptions.ConnectionError("Connection closed"))
            return
        if not self._under_way:
            self._heard = self._loop.time()
        self._under_way += answers
        self._transport.write(packed)
        if self._look is None:
            self._look = self._loop.call_later(WAIT, self._look_after)

    def data_received(self, data: bytes) -> None:
        """Give each reply to the first call that has none yet."""
        self._heard = self._loop.time()
        demoted = None
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets(False)) is not _NOTHING:
                _settle(self._under_way.popleft(), reply)
                if isinstance(reply, exceptions.ReadOnlyError):
                    demoted = reply
        except (exceptions.InvalidResponse, IndexError) as error:
            self.lose(exceptions.ConnectionError(f"Redis sent what is no reply: {error!r}"))
        if demoted is not None:  # there is another master, perhaps at another address
            self.lose(demoted)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        self.lose(exceptions.ConnectionError(f"Connection lost: {exc}" if exc else "Connection closed by server."))

    def lose(self, fault: Exception) -> None:
        """Close the connection, and fail what is under way on it; may be repeated."""
        self.lost = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        answers, self._under_way = self._under_way, deque()
        for answer in answers:
            _settle(answer, fault)

    def _look_after(self) -> None:
        """Give the connection up if it has brought nothing for a while although replies are awaited."""
        self._look = None
        if not self._under_way:
            return
        if (left := self._heard + WAIT - self._loop.time()) <= 0:
            self.lose(exceptions.TimeoutError("Timeout reading from socket"))
        else:
            self._look = self._loop.call_later(left, self._look_after)


class PipelinedConnection:
    """Calls on one Redis, or on the master that Sentinels name. It belongs to one event loop."""

    def __init__(self, pool: "aioredis.ConnectionPool") -> None:
        self._pool = pool
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: list[tuple[bytes, Answer[Any]]] = []
        self._due = False  # whether `_flush` will be called
        self._over = False
        self._away = False  # whether a call has failed, and none has succeeded since

    async def run(self, *command: Argument) -> Any:
        """Send a command that may be repeated, and return its reply; raises errors of Redis, and Unreachable."""
        if self._away:
            reply = await self._try(TRIAL, command)
        else:
            try:
                reply = await self.send(*command)
            except exceptions.AuthenticationError:
                raise
            except LOST as fault:
                reply = await self._repeat(command, fault)
        self._away = False
        return reply

    async def _repeat(self, command: tuple[Argument, ...], fault: Exception) -> Any:
        """Send a command again and again, for REPEAT at most; raises the last fault, which is `fault` at first."""
        loop = asyncio.get_running_loop()
        until = loop.time() + REPEAT
        for pause in PAUSES:
            await asyncio.sleep(pause)
            if (left := until - loop.time()) <= 0:
                break
            try:
                return await self._try(left, command)
            except exceptions.AuthenticationError:
                raise
            except exceptions.TimeoutError:
                continue  # what was said before says more
            except LOST as again:
                fault = again
        self._away = True
        raise fault

    async def _try(self, within: float, command: tuple[Argument, ...]) -> Any:
        """Send a command once, and wait for its reply no longer than `within` seconds; its outcome is unknown then."""
        answer = self.send(*command)
        late = exceptions.TimeoutError("Redis does not reply")
        timer = answer.get_loop().call_later(within, _settle, answer, late)
        try:
            return await answer
        finally:
            timer.cancel()

    def send(self, *command: Argument) -> Answer[Any]:
        """Send a command once, together with all others of this turn of the event loop.

        To await the answer raises errors of Redis, and Unreachable if it is closed.
        """
        answer: Answer[Any] = Answer()
        if self._over:
            _settle(answer, Unreachable("it is closed"))
            return answer
        self._waiting.append((hiredis.pack_command(command), answer))  # type: ignore[arg-type]
        if not self._due:
            self._due = True
            answer.get_loop().call_soon(self._flush)
        return answer

    def give_up(self) -> None:
        """Fail all calls that have no reply, and every call from now on; close the connection."""
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.lose(Unreachable("it is closed"))
        self._fail_waiting(Unreachable("it is closed"))

    def _fail_waiting(self, fault: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for _, answer in waiting:
            _settle(answer, fault)

    def _flush(self) -> None:
        self._due = False
        if self._connection is None or self._connection.lost:
            if self._connecting is None and self._waiting:
                self._connecting = asyncio.create_task(self._connect())
            return
        waiting, self._waiting = self._waiting, []
        self._connection.send(b"".join([packed for packed, _ in waiting]), [answer for _, answer in waiting])

    async def _connect(self) -> None:
        try:
            self._connection = await _connected(self._pool)
        except Exception as fault:
            self._fail_waiting(fault)
        finally:
            self._connecting = None
        self._flush()


async def _connected(pool: "aioredis.ConnectionPool") -> _Connection:
    """Return a connection with its user and its database; raises errors of Redis and of the system."""
    # It is not connected itself: it tells what the URL means.
    wanted: Any = pool.make_connection()  # type: ignore[no-untyped-call]
    connection: _Connection | None = None
    try:
        connection = await _opened(pool, wanted)
        for greeting in _greetings(wanted):
            answer: Answer[Any] = Answer()
            connection.send(hiredis.pack_command(greeting), [answer])  # type: ignore[arg-type]
            await answer
    except BaseException as fault:
        if connection is not None:
            connection.lose(exceptions.ConnectionError("it was not needed any more"))
        if isinstance(fault, asyncio.TimeoutError):
            raise exceptions.TimeoutError("Timeout connecting to server") from fault
        if isinstance(fault, OSError):
            raise exceptions.ConnectionError(f"Error connecting: {fault}") from fault
        raise
    return connection


async def _opened(pool: "aioredis.ConnectionPool", wanted: Any) -> _Connection:
    loop = asyncio.get_running_loop()
    if path := getattr(wanted, "path", None):
        async with asyncio.timeout(CONNECT_WAIT):
            return (await loop.create_unix_connection(_Connection, path))[1]
    if isinstance(pool, SentinelConnectionPool):
        host, port = await pool.get_master_address()  # type: ignore[no-untyped-call]
    else:
        host, port = wanted.host, wanted.port
    context = getattr(wanted, "ssl_context", None)
    async with asyncio.timeout(CONNECT_WAIT):
        return (await loop.create_connection(_Connection, host, port, ssl=context.get() if context else None))[1]


def _greetings(wanted: Any) -> list[tuple[Argument, ...]]:
    """Return the commands with which a connection begins."""
    greetings: list[tuple[Argument, ...]] = []
    if wanted.password:
        user = (wanted.username,) if wanted.username else ()
        greetings.append(("AUTH", *user, wanted.password))
    if wanted.client_name:
        greetings.append(("CLIENT", "SETNAME", wanted.client_name))
    if wanted.db:
        greetings.append(("SELECT", wanted.db))
    return greetings
