"""Uploads a small file in one request: the creation brings all bytes, their SHA-256, and a key.

If no answer comes, the request is repeated, and the server finds by the key what it has made of the first one. So
nothing needs to be written down between the creation and the bytes. `cli/batch.py` is the only caller.
"""

from collections.abc import Callable, Mapping

from onward.client.answers import MISMATCH
from onward.client.connection import Connection
from onward.client.errors import Mismatch, Refused
from onward.client.file import File
from onward.client.label import Label
from onward.client.meter import Meter
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.transfer import Sent, Transfer, verify
from onward.protocol.creation_keys import HEADER
from onward.protocol.headers import build_repr_digest

SMALL = 2**16  # bytes; a job keeps one such file in memory


async def send_small(
    file: File,
    data: bytes,
    connection: Connection,
    label: Label,
    key: Callable[[Mapping[str, str]], str],
    *,
    on_progress: OnProgress | None,
    options: Options,
) -> Uploaded | str:
    """Upload a file whose bytes were read; returns the URL if the server has stored only a part. Raises UploadError.

    `key` returns the key of a creation from its headers.
    """
    meter = Meter(file.path.name, file.size, on_progress)
    part = meter.add_part()
    transfer, sha256 = Transfer(connection, part, options), await file.sha256()
    said = {
        **connection.protocol.create(file.size),
        **label.headers(connection.protocol, file.path.name),
        "Repr-Digest": build_repr_digest(sha256),
    }
    headers = {**said, HEADER: key(said)}
    file.check_unchanged()
    try:
        made = await transfer.create_whole(data, headers)
    except Refused as refused:
        if refused.status == MISMATCH:
            raise Mismatch(f"{refused}: its bytes are not those of this file") from None
        raise
    part.add_sent(len(data))
    if made.offset != file.size:
        return made.url
    part.confirm(file.size)
    file.check_unchanged()
    return verify(Sent(url=made.url, sha256=made.sha256), sha256, meter, file.size)
