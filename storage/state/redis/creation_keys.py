"""The keys of creations in Redis: one string for each, spread over the buckets by the key itself (keys.py).

Redis removes a key when its time is over. A key and its upload are in different buckets, so no script can write both:
the key is bound first, and the record is inserted under the id that it is bound to.
"""

from onward.protocol.model import UploadId
from onward.storage.base import Binding
from onward.storage.state.redis import scripts
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import creation_key_key


class RedisCreationKeys:
    """Keys as strings `ID REQUEST`. Every method raises Full or Unreachable."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def bind(
        self,
        key: str,
        binding: Binding,
        *,
        now: float,  # noqa: ARG002
        kept: float,
        instead_of: Binding | None = None,
    ) -> Binding:
        """Bind a key, unless it is bound to another upload."""
        arguments = (_text(binding), max(int(kept * 1000), 1), _text(instead_of) if instead_of else "")
        answer: bytes = await self._commands.run(scripts.BIND, [creation_key_key(key)], *arguments)
        id_, _, request = answer.decode().partition(" ")
        return Binding(id=UploadId(id_), request=request)

    async def unbind(self, key: str, id: UploadId) -> None:
        """Forget a key if it stands for this upload."""
        await self._commands.run(scripts.UNBIND, [creation_key_key(key)], id)

    async def tidy(self, now: float) -> None:
        """Do nothing: Redis removes keys by itself."""


def _text(binding: Binding) -> str:
    return f"{binding.id} {binding.request}"
