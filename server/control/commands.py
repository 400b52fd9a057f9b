"""What the operator's commands do, on the engine of the server, or on one that the command has opened itself.

A command is a row in COMMANDS: the type of its arguments, and a function that yields answers. An answer is an object of
JSON with one key, which says what it is. `problem` has a sentence about something that could not be done; the command
goes on with the rest.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from onward.protocol.errors import Gone
from onward.protocol.events import OutgoingEvent
from onward.protocol.listing import listed
from onward.protocol.model import ID_PATTERN, Status, Upload, UploadId
from onward.server.control.backup import Target, copy_state
from onward.server.control.quotas import Owners, count
from onward.server.uploads.engine import Engine
from onward.storage.base import Held, Missing, Page, Stale, StorageError

PAGE = 100  # uploads that are read at once: few, so that a long list keeps no request of the server waiting
LEAST_DIGITS = 4  # of the beginning of an id
_BEGINNING = re.compile(rf"[0-9a-f]{{{LEAST_DIGITS},32}}", re.ASCII)
_CUT = "…."  # what stands behind the beginning of an id in the log, and what people write instead
Answer = dict[str, Any]


class Listing(Struct, frozen=True):
    """The arguments of `list`: only uploads with one of these statuses."""

    statuses: frozenset[Status] = frozenset(Status)


class Named(Struct, frozen=True):
    """The arguments of `show` and `rm`: ids, the beginnings of ids, or the URLs of uploads."""

    names: tuple[str, ...]


class Events(Struct, frozen=True):
    """The arguments of `events`.

    `failed`: list only those that were given up. `retry`: let these wait again, and list nothing.
    """

    failed: bool = False
    retry: bool = False


class Nothing(Struct, frozen=True):
    """The arguments of a command that has none."""


class Command(NamedTuple):
    """A command that the operator may give."""

    arguments: type[Struct]
    run: Callable[[Engine, Any], AsyncIterator[Answer]]  # raises StorageError


class Unknown(Exception):
    """A name stands for no upload, or for several; with a sentence for people."""


async def _pages(engine: Engine, statuses: frozenset[Status]) -> AsyncIterator[Page]:
    page = await engine.records.page(after=None, limit=PAGE, statuses=statuses)
    yield page
    while page.following is not None:
        page = await engine.records.page(after=page.following, limit=PAGE, statuses=statuses)
        yield page


def _told(upload: Upload) -> Answer:
    """Return what the operator is told of an upload: what the list has over HTTP, and the owner."""
    return {**listed(upload), "owner": upload.owner}


async def _list(engine: Engine, asked: Listing) -> AsyncIterator[Answer]:
    async for page in _pages(engine, asked.statuses):
        for upload in page.uploads:
            yield {"upload": _told(upload)}
        for id_ in page.damaged:
            yield {"problem": f"the record of {id_} is damaged"}


async def _find(engine: Engine, name: str) -> UploadId:
    """Return the id that a name stands for; raises Unknown."""
    beginning = name.rstrip("/").rpartition("/")[2].rstrip(_CUT)
    if re.fullmatch(ID_PATTERN, beginning, re.ASCII):
        return UploadId(beginning)
    if not _BEGINNING.fullmatch(beginning):
        raise Unknown(f"{name!r} is not the id of an upload, nor at least {LEAST_DIGITS} digits of its beginning")
    found = [
        id_
        async for page in _pages(engine, frozenset(Status))
        for id_ in (*(upload.id for upload in page.uploads), *page.damaged)
        if id_.startswith(beginning)
    ]
    if len(found) > 1:
        raise Unknown(f"the ids of {len(found)} uploads begin with {beginning}: {', '.join(sorted(found)[:5])}")
    if not found:
        raise Unknown(f"there is no upload {beginning}")
    return found[0]


async def _each(
    engine: Engine, names: tuple[str, ...], act: Callable[[UploadId], Awaitable[Answer]]
) -> AsyncIterator[Answer]:
    """Do something with each upload that is named; a `problem` is yielded for each that it can't be done with."""
    for name in names:
        id_ = None
        try:
            id_ = await _find(engine, name)
            yield await act(id_)
        except Unknown as unknown:
            yield {"problem": str(unknown)}
        except Missing:
            yield {"problem": f"there is no upload {id_}"}
        except Gone as gone:
            yield {"problem": f"{id_}: {gone}"}
        except (Held, Stale):
            yield {"problem": f"{id_}: another request has the upload, and did not release it; try again"}
        except StorageError as fault:
            yield {"problem": f"{name}: {fault}"}


async def _show(engine: Engine, asked: Named) -> AsyncIterator[Answer]:
    async def found(id: UploadId) -> Answer:
        return {"upload": _told(await engine.records.load(id))}

    async for answer in _each(engine, asked.names, found):
        yield answer


async def _remove(engine: Engine, asked: Named) -> AsyncIterator[Answer]:
    async def removed(id: UploadId) -> Answer:
        upload = await engine.records.load(id)
        await engine.terminate(id)
        with suppress(Missing):  # if ended uploads are forgotten at once
            upload = await engine.records.load(id)
        return {"removed": listed(upload)}

    async for answer in _each(engine, asked.names, removed):
        yield answer


async def _events(engine: Engine, asked: Events) -> AsyncIterator[Answer]:
    outbox = engine.records.storage.state.outbox
    if asked.retry:
        count = await outbox.retry(engine.records.clock())
        engine.records.on_events()
        yield {"retried": {"events": count}}
        return
    async for event in outbox.failed():
        yield {"event": _described(event, "failed")}
    if not asked.failed:
        async for event in outbox.waiting():
            yield {"event": _described(event, "waiting")}


def _described(event: OutgoingEvent, status: str) -> Answer:
    """Return an event for people and programs. Of a URL only the server is shown: the rest may be a secret."""
    url, document = urlsplit(event.target), msgspec.json.decode(event.body)
    return {
        "id": event.id,
        "status": status,
        "type": document["type"],
        "uploadId": event.upload,
        "seq": event.seq,
        "timestamp": document["timestamp"],
        "target": f"{url.scheme}://{url.netloc.rpartition('@')[2]}/…" if url.netloc else event.target,
    }


async def _sweep(engine: Engine, _: Nothing) -> AsyncIterator[Answer]:
    yield {"swept": {"processed": await engine.sweep.all(), "leftovers": await engine.sweep.tidy()}}


COMMANDS = {
    "backup": Command(Target, copy_state),
    "list": Command(Listing, _list),
    "show": Command(Named, _show),
    "rm": Command(Named, _remove),
    "events": Command(Events, _events),
    "quota": Command(Owners, count),
    "sweep": Command(Nothing, _sweep),
}
