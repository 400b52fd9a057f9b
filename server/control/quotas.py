"""The command `onward quota`: what each owner has, counted from the records, and what is reserved beyond that."""

from collections.abc import AsyncIterator
from typing import Any

from msgspec import Struct

from onward.protocol.model import GONE, Status, Upload
from onward.protocol.promises import charge
from onward.server.uploads.engine import Engine

PAGE = 100  # uploads that are read at once, as `onward list` does
COUNTED = frozenset(Status) - GONE


class Owners(Struct, frozen=True):
    """The arguments of `quota`: one owner, or None for all."""

    owner: str | None = None


class _Owned:
    """What one owner has."""

    def __init__(self) -> None:
        self.stored = self.taken = self.uploads = 0

    def add(self, upload: Upload) -> None:
        self.stored += upload.offset
        self.taken += charge(upload)
        self.uploads += 1


async def count(engine: Engine, asked: Owners) -> AsyncIterator[dict[str, Any]]:
    """Yield what owners have, in the order of their names; one who is asked for also if that is nothing."""
    found = {} if asked.owner is None else {asked.owner: _Owned()}
    page = None
    while page is None or page.following is not None:
        after = None if page is None else page.following
        page = await engine.records.page(after=after, limit=PAGE, statuses=COUNTED, owner=asked.owner)
        for upload in page.uploads:
            if upload.owner is not None:
                found.setdefault(upload.owner, _Owned()).add(upload)
        for id_ in page.damaged:
            yield {"problem": f"the record of {id_} is damaged, and is not counted"}
    quotas, quota = engine.records.storage.state.quotas, engine.limits.quota
    for owner, owned in sorted(found.items()):
        taken = max(owned.taken, (await quotas.usage(owner)).bytes)
        yield {"quota": {
            "owner": owner, "stored": owned.stored, "promised": max(taken - owned.stored, 0),
            "uploads": owned.uploads, "quota": quota,
        }}  # fmt: skip
