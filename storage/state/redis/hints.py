"""The hints in Redis: one string for each, spread over the buckets by its own key (keys.py)."""

from collections.abc import Awaitable
from typing import cast

from onward.protocol.model import UploadId
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import hint_key


class RedisHints:
    """Hints as strings. Every method raises Full or Unreachable."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def get(self, key: str) -> UploadId | None:
        """Return the upload under a key."""
        found = await self._commands.call(cast("Awaitable[bytes | None]", self._commands.client.get(hint_key(key))))
        return UploadId(found.decode()) if found else None

    async def put(self, key: str, id: UploadId | None) -> None:
        """Replace or remove a hint."""
        client = self._commands.client
        await self._commands.call(client.delete(hint_key(key)) if id is None else client.set(hint_key(key), id))
