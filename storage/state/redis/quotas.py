"""The quotas among all servers: reservations for each owner, in slots of their own.

The uploads of an owner are spread over the buckets, so no script can add up their bytes and insert one more in one
step. Instead an upload gets a reservation before it is inserted, and gives it back after it has ended. The owners are
spread over groups, as the uploads are over buckets; all keys of an owner are in the slot of its group:

    {onward:owner:07}:OWNER:reserved     hash    the reservation of each upload, their sum, and the owner's name
    {onward:owner:07}:OWNER:token:TOKEN  set     the ids of the uploads under a token that limits their number
    {onward:owner:07}:OWNER:counted      string  exists while `reserved` is complete, for ten minutes at most
    {onward:owner:07}:unsure             zset    "OWNER ID" of reservations that may be wrong, by the time of the last
                                                 change; for all owners of the group

    OWNER and TOKEN are hashes of their names.

    insert    CLAIM (refused if it does not fit) -> INSERT, which notes `charged` in the record
    save      before an end MARK_UNSURE, after it SETTLE, which gives all back
    claim     CLAIM before the bytes are received; SETTLE when the body has ended

A reservation bears the id of its upload, so each step may be repeated. A step that makes or raises one puts it into
`unsure`, and so does one that is about to end the upload. If it is still there a minute later, the sweep examines the
upload: without a record the reservation is given back, and a late INSERT is barred, as `open_limit.py` does it; with
one, exactly what the record says stays reserved.

A record may be older than its copy beside the bytes (recovery.py), for example after a crash between the two. So the
sweep has such records adopted before it examines their reservations, and `restore` reserves what an adopted record
says before it is one, whatever the quota: its bytes are there.

Uploads without a reservation (they were created without a quota, or Redis has lost some) are found by a count: before
the first reservation of an owner, and again after ten minutes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast
from zlib import crc32

from onward.protocol.model import GONE, Upload, UploadId
from onward.protocol.promises import charge
from onward.storage.base import Exceeded, StorageError, Unreachable, Usage
from onward.storage.codec import decode
from onward.storage.state.redis import quota_scripts, scripts
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import hashed, keys_of
from onward.storage.state.redis.listing import all_owned
from onward.storage.state.redis.open_limit import AGE, BARRED_FOR

GROUPS = tuple(f"{{onward:owner:{number:02}}}" for number in range(64))
COUNT_AGAIN = 600  # seconds from one count of the uploads of an owner to the next
PAGE = 500  # uploads that are examined or counted at a time
EVERY = 60.0  # seconds from one look for unsure reservations to the next
_FIELDS = 2  # of the hash of an owner, beside the reservations


class _Keys(NamedTuple):
    """The keys of one reservation, which are in one slot."""

    reserved: str
    unsure: str
    token: str
    counted: str


def _keys(owner: str, token: str = "") -> _Keys:
    """Return the keys by the hashes of an owner and of a token."""
    group = GROUPS[crc32(owner.encode()) % len(GROUPS)]
    own = f"{group}:{owner}"
    return _Keys(f"{own}:reserved", f"{group}:unsure", f"{own}:token:{token}", f"{own}:counted")


class _Reservation(NamedTuple):
    """The reservation of one upload."""

    owner: str  # its hash
    id: UploadId
    since: float | None = None  # since when it may be wrong


class RedisQuotas:
    """Reservations for the owners of uploads; see the top of this file."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._counting = asyncio.Lock()  # so that only one insert of this process counts, while the others wait for it
        self._looked = float("-inf")
        self._claims: dict[UploadId, float] = {}  # when a body of this process last claimed bytes for an upload
        self.fill: Callable[[], Awaitable[None]] = nothing
        self.refresh: Callable[[UploadId], Awaitable[None]] = _leave  # adopts a record that is older than its copy

    async def reserve(self, upload: Upload) -> None:
        """Reserve what a new upload takes; raises Exceeded. If there is no answer, the sweep puts it right."""
        size = charge(upload)
        try:
            await self._claim(upload, size, least=size, uploads=True)
        except asyncio.CancelledError:
            await asyncio.shield(self.give_back(upload))
            raise

    async def mark_unsure(self, upload: Upload) -> None:
        """Have the sweep examine an upload that is about to end, unless what it has is given back before that."""
        owner = hashed(upload.owner or "")
        await self._commands.run(quota_scripts.MARK_UNSURE, [_keys(owner).unsure], f"{owner} {upload.id}")

    async def give_back(self, upload: Upload) -> None:
        """Give back all that an upload has; if Redis does not answer, the sweep does it."""
        try:
            await self._settle(upload, None, None)
        except StorageError:
            return

    async def restore(self, upload: Upload) -> None:
        """Reserve what a record says that is about to be adopted; the sweep examines it afterwards."""
        if upload.status in GONE:
            await self.mark_unsure(upload)
            return
        keys, arguments = _claim(upload, charge(upload), 0, uploads=False, limited=False)
        await self._commands.run(quota_scripts.CLAIM, keys, *arguments, 1)

    async def claim(self, upload: Upload, size: int, *, least: int) -> int:
        """Reserve more for an upload; raises Exceeded."""
        reserved, self._claims[upload.id] = await self._claim(upload, size, least=least)
        return reserved

    async def settle(self, upload: Upload) -> None:
        """Reserve exactly what the record says, unless another server has claimed more since this one did."""
        since = self._claims.pop(upload.id, None)
        await self._settle(upload, None if upload.status in GONE else charge(upload), since)

    async def usage(self, owner: str) -> Usage:
        """Return what is reserved for an owner."""
        key = _keys(hashed(owner)).reserved
        count = await self._commands.call(self._commands.client.hlen(key))
        return Usage(await self._number(key, "bytes"), max(count - _FIELDS, 0))

    async def put_right(self) -> None:
        """Examine the reservations that may be wrong, at most once a minute."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked < EVERY:
            return
        self._looked = loop.time()
        before = float(await self._commands.run(scripts.TIME, [f"{GROUPS[0]}:unsure"])) - AGE
        left = dict.fromkeys(GROUPS, 0)  # how many of each group had to be left as they are

        def ask(pipeline: Any, group: str) -> None:
            pipeline.zrangebyscore(f"{group}:unsure", "-inf", before, start=left[group], num=PAGE, withscores=True)

        while left:
            pages = await self._commands.of_each(left, ask)
            for group, page in zip(list(left), pages, strict=True):
                left[group] += await self._examine(await self._refreshed(group, [entry for entry, _ in page]))
                if len(page) < PAGE:
                    del left[group]

    async def _refreshed(self, group: str, entries: Sequence[bytes]) -> list[_Reservation]:
        """Have records adopted that are older than their copies, and return since when each reservation is unsure."""

        def ask(pipeline: Any, entry: bytes) -> None:
            pipeline.zscore(f"{group}:unsure", entry)

        for entry in entries:
            await self.refresh(_unsure(entry).id)
        scores = await self._commands.of_each(entries, ask) if entries else []
        return [_unsure(entry, since) for entry, since in zip(entries, scores, strict=True) if since is not None]

    async def _examine(self, found: Sequence[_Reservation]) -> int:
        """Put right some reservations of one group; returns how many can't be judged while a request has the lease."""

        def examine(pipeline: Any, each: _Reservation) -> None:
            keys = keys_of(each.id)[:2]
            pipeline.eval(quota_scripts.EXAMINE, len(keys), *keys, each.id, BARRED_FOR)

        def read(pipeline: Any, each: _Reservation) -> None:
            pipeline.hget(_keys(each.owner).reserved, each.id)

        def settle(pipeline: Any, task: tuple[_Reservation, str, int | None]) -> None:
            each, token, size = task
            _settle(pipeline.eval, each, token, size)

        if not found:
            return 0
        tasks = []
        examined, reserved = await self._commands.of_each(found, examine), await self._commands.of_each(found, read)
        for each, (what, document), reservation in zip(found, examined, reserved, strict=True):
            try:
                size = _right_size(what, document)
            except Unreachable:  # held, or damaged
                continue
            token = (reservation or b"").decode().partition(" ")[2]
            tasks.append((each, token, size))
        if tasks:
            await self._commands.of_each(tasks, settle)
        return len(found) - len(tasks)

    async def _claim(self, upload: Upload, size: int, *, least: int, uploads: bool = False) -> tuple[int, float]:
        """Return what is reserved, and since when."""
        owner = upload.owner or ""
        answer, since = await self._try(upload, size, least, uploads=uploads)
        while answer == b"UNCOUNTED":
            async with self._counting:
                answer, since = await self._try(upload, size, least, uploads=uploads)
                if answer == b"UNCOUNTED":
                    await self._count(owner)
        if answer in (b"QUOTA", b"UPLOADS"):
            raise Exceeded(uploads=answer == b"UPLOADS")
        return int(answer), float(since)

    async def _try(self, upload: Upload, size: int, least: int, *, uploads: bool) -> tuple[bytes, bytes]:
        keys, arguments = _claim(upload, size, least, uploads=uploads)
        answer, since = await self._commands.run(quota_scripts.CLAIM, keys, *arguments, 0)
        return answer, since

    async def _settle(self, upload: Upload, size: int | None, since: float | None) -> None:
        async def run(text: str, count: int, *words: Any) -> None:
            await self._commands.run(text, words[:count], *words[count:])

        await _settle(run, _Reservation(hashed(upload.owner or ""), upload.id, since), _token(upload), size)

    async def _count(self, name: str) -> None:
        """Give a reservation to each upload of an owner that has none."""
        await self.fill()
        owner, counted = hashed(name), _keys(hashed(name)).counted
        reserved = _keys(owner).reserved

        def known(pipeline: Any, id: UploadId) -> None:
            pipeline.hexists(reserved, id)

        def read(pipeline: Any, id: UploadId) -> None:
            pipeline.hget(keys_of(id).record, "document")

        def claim(pipeline: Any, upload: Upload) -> None:
            keys, arguments = _claim(upload, charge(upload), 0, uploads=False, limited=False)
            pipeline.eval(quota_scripts.CLAIM, len(keys), *keys, *arguments, 1)

        async for ids in all_owned(self._commands, owner):
            lacking = [id_ for id_, has in zip(ids, await self._commands.of_each(ids, known), strict=True) if not has]
            documents = await self._commands.of_each(lacking, read) if lacking else []
            uploads = [upload for upload in map(_readable, documents) if upload and upload.status not in GONE]
            if uploads:
                await self._commands.of_each(uploads, claim)
        await self._commands.call(self._commands.client.set(counted, 1, ex=COUNT_AGAIN))

    async def _number(self, key: str, field: str) -> int:
        found = await self._commands.call(cast("Awaitable[bytes | None]", self._commands.client.hget(key, field)))
        return int(found or 0)


async def nothing() -> None:
    """Do nothing: there are no copies of records, so none is adopted or written."""


async def _leave(_id: UploadId) -> None:
    """Leave a record as it is: there are no copies."""


def _unsure(entry: bytes, since: float | None = None) -> _Reservation:
    owner, _, id_ = entry.decode("ascii", "replace").partition(" ")
    return _Reservation(owner, UploadId(id_), since)


def _right_size(what: bytes, document: bytes) -> int | None:
    """Return what an upload takes, or None if nothing; raises Unreachable if that can't be said now."""
    if what == b"GONE":
        return None
    if what == b"HELD":
        raise Unreachable("a request holds the lease")
    upload = decode(document)
    return None if upload.status in GONE else charge(upload)


def _readable(document: bytes | None) -> Upload | None:
    try:
        return decode(document) if document is not None else None
    except Unreachable:  # the list of all uploads names it
        return None


def _token(upload: Upload) -> str:
    token = upload.allowance.token if upload.allowance else None
    return "" if token is None else hashed(token)


def _claim(
    upload: Upload, size: int, least: int, *, uploads: bool, limited: bool = True
) -> tuple[_Keys, tuple[str | int, ...]]:
    """Return the keys and arguments of CLAIM, without the last one; `uploads` asks for the limit of the token too."""
    name = upload.owner or ""
    owner, token, allowance = hashed(name), _token(upload), upload.allowance if limited else None
    quota = allowance.quota if allowance else None
    most = allowance.max_uploads if allowance and uploads else None
    limits = ("" if quota is None else quota, token, "" if most is None else most)
    return _keys(owner, token), (upload.id, f"{owner} {upload.id}", size, least, *limits, name)


def _settle(run: Callable[..., Any], of: _Reservation, token: str, size: int | None) -> Any:
    """Call SETTLE by `run`, which gets what EVAL does."""
    found = _keys(of.owner, token)
    keys = (found.reserved, found.unsure, found.token)
    right, seen = "" if size is None else size, "" if of.since is None else repr(of.since)
    return run(quota_scripts.SETTLE, len(keys), *keys, of.id, f"{of.owner} {of.id}", right, seen)
