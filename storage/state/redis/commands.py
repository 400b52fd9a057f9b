"""Calls of scripts and commands on Redis: each runs to its end, and fails with the errors of the seams.

The scripts and the other short commands of requests go over one connection (pipelined_connection.py). In a cluster, and
for what reads many keys, each call takes a connection of the client library's pool.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from redis import asyncio as aioredis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError

from onward.storage.failure_log import Reports
from onward.storage.running.uncancellable import PendingCalls
from onward.storage.state.redis.client import mapped
from onward.storage.state.redis.pipelined_connection import Argument, PipelinedConnection

T = TypeVar("T")
WAIT = 4.0  # seconds for a call of the client library with its repetitions; it waits 2 s for each reply


class Commands:
    """Calls on one client. Every method raises Full or Unreachable."""

    def __init__(self, client: "aioredis.Redis", calls: PendingCalls, reports: Reports) -> None:
        self.client, self.calls = client, calls
        self._reports = reports
        self._kept = None if isinstance(client, RedisCluster) else PipelinedConnection(client.connection_pool)
        self._sums: dict[str, str] = {}  # the SHA-1 of each script, by which Redis knows it

    async def run(self, text: str, keys: Sequence[str], *arguments: Argument) -> Any:
        """Run a script, and return its answer. All keys are in one slot."""
        with mapped(self._reports):
            try:
                return await self._send("EVALSHA", self._sum(text), len(keys), *keys, *arguments)
            except NoScriptError:  # Redis was restarted, or has another master: EVAL also makes it known there
                return await self._send("EVAL", text, len(keys), *keys, *arguments)

    async def ask(self, *command: Argument) -> Any:
        """Send a short command, which may be repeated, and return its answer."""
        with mapped(self._reports):
            return await self._send(*command)

    async def call(self, command: Awaitable[T]) -> T:
        """Wait for the answer to a command of the client."""
        with mapped(self._reports):
            return await self.calls.end(command, within=WAIT)

    async def of_each(self, things: Iterable[T], command: Callable[[Any, T], object]) -> list[Any]:
        """Send one command for each thing, for example for each bucket, all in one round; returns their answers.

        `command` calls a method of the pipeline that it is given, and each may go to another server of a cluster.
        """
        pipeline: Any = self.client.pipeline(transaction=False)
        for thing in things:
            command(pipeline, thing)
        return await self.call(pipeline.execute())

    def give_up(self) -> None:
        """Fail all calls that have no answer, and every call from now on."""
        self.calls.give_up()
        if self._kept is not None:
            self._kept.give_up()

    async def _send(self, *command: Argument) -> Any:
        if self._kept is not None:
            return await self._kept.run(*command)
        return await self.calls.end(self.client.execute_command(*command), within=WAIT)

    def _sum(self, text: str) -> str:
        sha1 = self._sums.get(text)
        if sha1 is None:
            sha1 = self._sums[text] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return sha1
