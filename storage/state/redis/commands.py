"""Calls of scripts and commands on Redis: each runs to its end, and fails with the errors of the seams."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from redis import asyncio as aioredis
from redis.commands.core import AsyncScript

from onward.storage.failure_log import Reports
from onward.storage.running.uncancellable import PendingCalls
from onward.storage.state.redis.client import mapped

T = TypeVar("T")


class Commands:
    """Calls on one client. Every method raises Full or Unreachable."""

    def __init__(self, client: "aioredis.Redis", calls: PendingCalls, reports: Reports) -> None:
        self.client, self.calls = client, calls
        self._reports = reports
        self._scripts: dict[str, AsyncScript] = {}

    async def run(self, text: str, keys: Sequence[str], *arguments: str | bytes | float) -> Any:
        """Run a script, and return its answer. All keys are in one slot."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self.client.register_script(text)
        with mapped(self._reports):
            return await self.calls.end(script(keys=keys, args=arguments))

    async def call(self, command: Awaitable[T]) -> T:
        """Wait for the answer to a command of the client."""
        with mapped(self._reports):
            return await self.calls.end(command)

    async def of_each(self, things: Iterable[T], command: Callable[[Any, T], object]) -> list[Any]:
        """Send one command for each thing, for example for each bucket, all in one round; returns their answers.

        `command` calls a method of the pipeline that it is given, and each may go to another server of a cluster.
        """
        pipeline: Any = self.client.pipeline(transaction=False)
        for thing in things:
            command(pipeline, thing)
        return await self.call(pipeline.execute())
