"""The bytes that unfinished uploads have been promised room for."""

from collections.abc import Iterable
from typing import NamedTuple

from onward.protocol.model import FINAL, Role, Status, Upload


class Promise(NamedTuple):
    """Bytes that are still to come, and bytes that have come and are still to be published."""

    unsent: int = 0
    kept: int = 0


NOTHING = Promise()


def promise(upload: Upload) -> Promise:
    """Give what an upload has been promised; nothing is promised beyond a length, and to one that has ended.

    A final upload will take the room of its parts once more.
    """
    if upload.status in FINAL:
        return NOTHING
    sent, published = upload.offset, True
    if upload.concat is not None:  # most uploads have none, and each save comes here
        published = upload.role is not Role.PARTIAL
        sent = 0 if upload.role is Role.FINAL and upload.status is Status.PENDING else sent
    return Promise(0 if upload.length is None else upload.length - sent, sent if published else 0)


def sum_of(uploads: Iterable[Upload]) -> Promise:
    """Give what all of them have been promised."""
    unsent = kept = 0
    for upload in uploads:
        each = promise(upload)
        unsent, kept = unsent + each.unsent, kept + each.kept
    return Promise(unsent, kept)
