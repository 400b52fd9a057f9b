"""Creations with an Idempotency-Key: the first makes an upload, and whoever repeats it within a day gets the same one.

Every way of creating an upload comes through `create_once`: tus, joins, and all others that make a CreateRequest.
Without a key it costs nothing. With one:

    bind the key to a new id, or learn which id it stands for    storage/base/creation_keys.py
      the request asked for something else                       KeyReused
      there is a record under the id                             that upload, as it is now
      there is none: insert it under exactly this id             a new upload
        another request was faster, perhaps on another node      Stale, and then that upload
      that upload has failed, was terminated or has expired      bind the key to another new id, and begin again

So it does not matter where a crash comes: after it the key still stands for one id, under which there is one record or
none. An upload that has ended without a file is no answer to anybody who wants to send one, and the key stands for a
new one (docs/decisions.md).
"""

from msgspec import Struct

from onward.protocol import decisions
from onward.protocol.creation_keys import KEPT
from onward.protocol.errors import Gone, KeyReused, Locked
from onward.protocol.model import CreateRequest, Limits, Role, Status, Upload
from onward.server.uploads.engine import Engine, new_id
from onward.storage.base import Binding, Missing, Stale
from onward.storage.failpoints import reach

ATTEMPTS = 5  # how often the key may be bound to another upload while one request is looking


class Created(Struct, frozen=True):
    """The upload that a creation has made, or has found."""

    upload: Upload
    new: bool  # False if the body must not be stored: an earlier request has made the upload, or it is stored already


async def create_once(
    engine: Engine, request: CreateRequest, *, limits: Limits | None = None, resumable: bool = True, whole: bytes = b""
) -> Created:
    """Create an upload, unless an earlier request with the same key has done it.

    With `resumable=False` the client can't go on with an unfinished upload: one that nobody is sending is terminated
    and replaced, and one that is still arriving is Locked. `whole` is the body of the request if all of it has arrived:
    then the upload may be completed at once, unless there is a key (short.py).

    Raises KeyReused, Locked, and what `Engine.create` and `Engine.inspect` raise.
    """
    key = request.creation_key
    if (
        key is None
        and whole
        and (stored := await engine.short.store(request, whole, new_id(), limits or engine.limits))
    ):
        return Created(stored, new=False)
    if key is None:
        return Created(await engine.create(request, limits=limits), new=True)
    decisions.check_creation(request, limits or engine.limits)  # what can't be created binds no key
    keys, clock = engine.records.storage.state.creation_keys, engine.records.clock
    former: Binding | None = None
    for _ in range(ATTEMPTS):
        ours = Binding(id=new_id(), request=key.request)
        bound = await keys.bind(key.hash, ours, now=clock(), kept=KEPT, instead_of=former)
        reach("bound")
        try:
            if bound != ours:
                return Created(await _found(engine, bound, key.request, resumable=resumable), new=False)
        except Missing:  # the other request has not inserted it yet, or never will
            pass
        except Gone:
            former = bound
            continue
        try:
            return Created(await engine.create(request, limits=limits, id=bound.id), new=True)
        except Stale:  # by now there is a record under this id, which the next attempt finds
            continue
    raise Locked("Other requests with this Idempotency-Key are being processed.", retry_after=1)


async def _found(engine: Engine, bound: Binding, request: str, *, resumable: bool) -> Upload:
    """Return the upload that a key stands for; raises Missing, Gone, KeyReused, and Locked for one that is unfinished.

    Its offset is the recorded one: a body that is still arriving is not disturbed.
    """
    try:
        upload = await engine.records.load(bound.id)
        decisions.check_open(upload, engine.records.clock())
    except Missing:
        if bound.request != request:
            raise KeyReused from None
        raise
    if bound.request != request:
        raise KeyReused
    is_whole = upload.status is Status.VERIFYING or upload.offset == upload.length
    if not upload.status.final and (is_whole or upload.role is Role.FINAL):
        return await engine.inspect(bound.id)  # an offset that equals the length must not be told before its time
    if not resumable and not upload.status.final:
        await _replace(engine, upload)
    return upload


async def _replace(engine: Engine, upload: Upload) -> None:
    """Terminate an unfinished upload that nobody is sending; raises Gone once it is, and Locked otherwise."""
    silent = engine.records.clock() - upload.updated >= engine.limits.quiet_after
    if not silent or await engine.records.at_rest(upload.id) is None:
        raise Locked("An earlier request with this Idempotency-Key is still being processed.", retry_after=1)
    await engine.terminate(upload.id)
    raise Gone("The upload was unfinished, and is replaced.")
