"""Uploads that one request has to bring whole, since no other can go on with them: PUT, and the files of a form.

They go the same way as all others: created, received stride by stride, verified, published. But their offsets are told
to nobody who could resume. So what is left of a body that was cut is removed at once, and if that is not possible, or
the server has died, the record says that the upload expires soon (`ABANDONED` in `protocol/lifecycle.py`).
"""

from contextlib import suppress

from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, Limits, Upload
from onward.server.uploads.engine import Engine
from onward.server.uploads.receive import Body
from onward.storage.base import StorageError


async def receive_whole(engine: Engine, upload: Upload, body: Body, *, size: int | None, limits: Limits) -> Upload:
    """Fill a new upload by one body, `size` bytes if that is known, and publish it.

    Raises what `Engine.append` raises. Then the upload is removed, unless all of it has arrived: a file that has failed
    stays failed, and one that a check holds is published by the sweep.
    """
    whole = AppendRequest(offset=0, length=None, promised=None, body_size=size, completes=True)
    try:
        return await engine.append(upload.id, whole, body, limits=limits)
    except BaseException:
        with suppress(Refusal, StorageError):
            await engine.abandon(upload.id)
        raise
