"""Everything that survives a restart: the tables of stores, and opening a storage from two URLs."""

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from storage.base import Blobs, Durability, State, Storage

STATES = {
    "sqlite": "storage.sqlite:open_state",
    "redis": "storage.redis:open_state",
    "rediss": "storage.redis:open_state",
    "memory": "storage.memory:open_state",
}
BLOBS = {
    "file": "storage.disk:open_blobs",
    "memory": "storage.memory:open_blobs",
}


async def open_storage(*, state: str, blobs: str, data: Path, durability: Durability = Durability.FULL) -> Storage:
    """Open a storage; raises ValueError for an unknown scheme, and what the stores raise."""
    opened_blobs: Blobs = await _opener(BLOBS, blobs)(blobs, data, durability)
    try:
        opened_state: State = await _opener(STATES, state)(state, data, durability)
    except BaseException:
        await opened_blobs.close()
        raise
    return Storage(blobs=opened_blobs, state=opened_state, durability=durability)


Opener = Callable[[str, Path, Durability], Awaitable[Any]]


def _opener(table: Mapping[str, str], url: str) -> Opener:
    scheme = url.partition(":")[0]
    if scheme not in table:
        raise ValueError(f"{scheme}: is not one of {', '.join(sorted(table))}")
    module, _, name = table[scheme].partition(":")
    opener: Opener = getattr(import_module(module), name)
    return opener
