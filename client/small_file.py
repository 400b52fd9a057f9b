"""Uploads a small file in one request: the creation brings all bytes, their SHA-256, and a key.

If no answer comes, the request is repeated, and the server finds by the key what it has made of the first one. So
nothing needs to be written down between the creation and the bytes. What is sent is the file as it was read, whole and
in one go; a change after that is another version of it. `cli/batch.py` is the only caller.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onward.client.answers import MISMATCH
from onward.client.connection import Connection
from onward.client.errors import Mismatch, Refused
from onward.client.file import Identity, identity
from onward.client.label import Label
from onward.client.meter import Meter
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.transfer import Sent, Transfer, verify
from onward.protocol.creation_keys import HEADER
from onward.protocol.headers import build_repr_digest

SMALL = 2**16  # bytes; a job keeps one such file in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallFile:
    """A file as it was read."""

    name: str
    data: bytes
    sha256: bytes


def read_small(path: str, expected: Identity) -> SmallFile | None:
    """Read a file of this identity; returns None if it is another one by now, changes meanwhile, or can't be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for its writer
    except OSError:
        return None
    try:
        data, status = os.pread(fd, expected.size + 1, 0), os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or identity(Path(expected.path), status) != expected:
            return None
    except OSError:
        return None
    finally:
        os.close(fd)
    if len(data) != expected.size:
        return None
    return SmallFile(name=os.path.basename(path), data=data, sha256=hashlib.sha256(data).digest())


async def send_small(
    file: SmallFile,
    connection: Connection,
    label: Label,
    key: Callable[[Mapping[str, str]], str],
    *,
    on_progress: OnProgress | None,
    options: Options,
) -> Uploaded | str:
    """Upload a file that was read; returns the URL if the server has stored only a part. Raises UploadError.

    `key` returns the key of a creation from its headers.
    """
    size = len(file.data)
    meter = Meter(file.name, size, on_progress)
    part = meter.add_part()
    transfer = Transfer(connection, part, options)
    said = {
        **connection.protocol.create(size),
        **label.headers(connection.protocol, file.name),
        "Repr-Digest": build_repr_digest(file.sha256),
    }
    headers = {**said, HEADER: key(said)}
    try:
        made = await transfer.create_whole(file.data, headers)
    except Refused as refused:
        if refused.status == MISMATCH:
            raise Mismatch(f"{refused}: its bytes are not those of this file") from None
        raise
    part.add_sent(size)
    if made.offset != size:
        return made.url
    part.confirm(size)
    return verify(Sent(url=made.url, sha256=made.sha256), file.sha256, meter, size)
