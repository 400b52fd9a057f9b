"""The seam of the quotas: how many bytes an owner may have, and how many uploads may be created under one token.

Each upload whose record has an `allowance` takes some of both, from its creation until it fails, is terminated or has
expired. A completed upload goes on counting until it is removed. What it takes is a reservation, kept under the id of
the upload, so that each step may be repeated:

    insert          reserves the bytes of the record (`charge`), and one upload of the token; raises Exceeded
    claim           reserves more, before an upload grows whose length is unknown, or is declared only now
    settle          gives back what was claimed and not used
    save, forget    give everything back, with the save of an end

So at every instant `recorded bytes <= reserved bytes <= quota`. To reserve is one atomic step among all servers, and
comes before the record; to give back comes after the record. A crash in between leaves a reservation that is too large,
never one that is too small, and `put_right` removes it: the sweep calls that.

A state that has reservations and records in one transaction (SQLite) needs nothing put right. Without allowances
nothing is reserved, and no call is made. Where some uploads of an owner have an allowance and others have none, the
others count too, but they may be counted some minutes late. Called by `server/uploads/quotas.py`.
"""

from typing import NamedTuple, Protocol

from onward.protocol.model import Upload
from onward.storage.base.errors import Exceeded


class Usage(NamedTuple):
    """What is reserved for an owner."""

    bytes: int
    uploads: int


class Quotas(Protocol):
    """The reservations of all owners. Every method may raise Unreachable, and Full if it writes.

    The owner of each `upload` is known, and its lease is held by the caller.
    """

    async def claim(self, upload: Upload, size: int, *, least: int) -> int:
        """Reserve `size` bytes in all for an upload, or as many of them as the quota has room for.

        Returns how many are reserved, which may be more. Raises Exceeded, and reserves nothing more, if that would be
        fewer than `least`.
        """

    async def settle(self, upload: Upload) -> None:
        """Reserve exactly what the record says from now on, if anything is reserved; may be repeated.

        `upload` is the record as it is saved.
        """

    async def usage(self, owner: str) -> Usage:
        """Return what is reserved for an owner; uploads that have no reservation yet are not counted."""

    async def put_right(self) -> None:
        """Give back what a crash has left reserved, and reserve what is missing; called by the sweep."""


def fitting(size: int, *, least: int, reserved: int, others: int, quota: int | None) -> int:
    """Return how many bytes an upload may reserve in all: `size`, or as many as there is room for. Raises Exceeded.

    It has `reserved` already, which it keeps in any case, and the other uploads of its owner have `others`.
    """
    if size <= reserved or quota is None:
        return max(size, reserved)
    found = max(min(size, quota - others), reserved)
    if found < least:
        raise Exceeded
    return found
