"""Everything that survives a restart. Here: the tables of the stores, and `open_storage`, which opens two of them.

`storage/base` describes what a store has to offer. `blobs/` has the stores of bytes, `state/` those of records, leases
and events, and `recovery.py` protects a state that may come back empty. The server calls `open_storage` once, when it
starts; a new store needs one file and one row here.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any, cast

from onward.protocol.events import NOBODY, Subscriptions
from onward.storage.base import USUAL_MODES, Durability, Modes, SharedState, State, Storage, StoredBytes, Unreachable
from onward.storage.recovery import RecoveringState

# The states that several servers use at once, and that may come back empty: they need backups of their records.
SHARED = frozenset({"redis", "rediss", "redis+sentinel", "redis+cluster"})
# The scheme of a URL, and the function that opens such a store; its module is imported only then.
STATES = {
    "sqlite": "onward.storage.state.sqlite:open_state",
    "redis": "onward.storage.state.redis.state:open_state",
    "rediss": "onward.storage.state.redis.state:open_state",
    "redis+sentinel": "onward.storage.state.redis.state:open_state",
    "redis+cluster": "onward.storage.state.redis.state:open_state",
    "memory": "onward.storage.state.memory:open_state",
}
BLOBS = {
    "file": "onward.storage.blobs.disk:open_blobs",
    "memory": "onward.storage.blobs.memory:open_blobs",
    "s3": "onward.storage.blobs.s3.opener:open_blobs",
}
# The buckets to which finished files may be published from the local folder.
PUBLISHED = {
    "s3": "onward.storage.blobs.published.opener:open_blobs",
    "gs": "onward.storage.blobs.published.opener:open_blobs",
    "az": "onward.storage.blobs.published.opener:open_blobs",
}
_PUBLISHING = {f"publish+{scheme}": opener for scheme, opener in PUBLISHED.items()}


async def open_storage(
    *,
    state: str,
    blobs: str,
    data: Path,
    durability: Durability = Durability.FULL,
    modes: Modes = USUAL_MODES,
    subscriptions: Subscriptions = NOBODY,
) -> Storage:
    """Open the stores that two URLs name. `subscriptions` says which events are saved with the records.

    Raises ValueError for an unknown scheme, and StorageError, also if another process uses the data folder or if the
    state does not belong to it.
    """
    open_state, open_blobs = _opener(STATES, state), _opener(BLOBS | _PUBLISHING, blobs)
    shared = state.partition(":")[0] in SHARED
    stored: StoredBytes = await open_blobs(blobs, data, durability, shared, modes)
    try:
        opened: State = await open_state(state, data, durability, stored.nodes.name)
        if shared:
            opened = await _recovering(cast("SharedState", opened), stored, subscriptions)
    except BaseException:
        await stored.close()
        raise
    return Storage(
        blobs=stored.blobs,
        backups=stored.backups,
        nodes=stored.nodes,
        state=opened,
        durability=durability,
        subscriptions=subscriptions,
    )


async def _recovering(state: SharedState, stored: StoredBytes, subscriptions: Subscriptions) -> RecoveringState:
    """Add recovery from backups to a state; refuses an empty state if there are bytes but no backups of records."""
    recovering = RecoveringState(state, stored.backups, subscriptions)
    try:
        if await state.owner() is None and not [id_ async for id_ in stored.backups.ids()]:
            async for place, _ in stored.blobs.strays(inf):
                raise Unreachable(
                    f"the state is new, but {place} has bytes; is it the right state? Move them away if so"
                )
        await recovering.open()
    except BaseException:
        await state.close()
        raise
    return recovering


def _opener(table: Mapping[str, str], url: str) -> Callable[..., Awaitable[Any]]:
    scheme = url.partition(":")[0]
    if scheme not in table:
        raise ValueError(f"{scheme}: is not one of {', '.join(sorted(table))}")
    module, _, name = table[scheme].partition(":")
    opener: Callable[..., Awaitable[Any]] = getattr(import_module(module), name)
    return opener
