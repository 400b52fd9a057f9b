"""The room that unfinished uploads have been promised on the disk, and the bytes that count in the quota of an owner.

server/uploads/reserve.py accepts an upload only if there is room for it and for all that was promised before; the state
stores keep the sum with every save. The quotas of owners are kept by the state stores as well (storage/base/quotas.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

from onward.protocol.model import FINAL, GONE, Role, Status, Upload


class Promise(NamedTuple):
    """The promised room of one upload, or of several, in bytes."""

    # Bytes that have not arrived yet.
    unsent: int = 0
    # Bytes that have arrived and are not published yet.
    kept: int = 0


NOTHING = Promise()


def promise(upload: Upload) -> Promise:
    """Return what an upload has been promised. Nothing is promised to an upload without a length or in a final status.

    A final upload needs the room of its parts once more.
    """
    if upload.status in FINAL:
        return NOTHING
    sent, published = upload.offset, True
    if upload.concat is not None:  # this runs on every save, and most uploads have none
        published = upload.role is not Role.PARTIAL
        sent = 0 if upload.role is Role.FINAL and upload.status is Status.PENDING else sent
    return Promise(0 if upload.length is None else upload.length - sent, sent if published else 0)


def charge(upload: Upload) -> int:
    """Return the bytes that an upload takes of the quota of its owner: its length, or what it has if that is unknown.

    A part counts by itself, and so does a final upload beside its parts, since it is a copy of them until they are
    removed. What failed, was terminated or has expired takes nothing.
    """
    if upload.status in GONE:
        return 0
    return upload.offset if upload.length is None else upload.length


def sum_of(uploads: Iterable[Upload]) -> Promise:
    """Return what all of these uploads together have been promised."""
    unsent = kept = 0
    for upload in uploads:
        each = promise(upload)
        unsent, kept = unsent + each.unsent, kept + each.kept
    return Promise(unsent, kept)
