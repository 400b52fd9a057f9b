"""The seam of the keys of creations: which upload a key stands for, so that a repeated creation makes no second one.

A key is bound to the id of an upload before there is such an upload. So a crash between the two leaves a key without an
upload, and whoever repeats the creation makes it under exactly that id. `server/uploads/create_once.py` is the caller.
"""

from typing import Protocol

from msgspec import Struct

from onward.protocol.model import UploadId


class Binding(Struct, frozen=True, kw_only=True, gc=False):
    """What a key stands for."""

    id: UploadId
    # The hash of what the client asked for when the key was bound.
    request: str


class CreationKeys(Protocol):
    """Keys, each bound to one upload. Every method may raise Unreachable, and Full if it writes."""

    async def bind(
        self, key: str, binding: Binding, *, now: float, kept: float, instead_of: Binding | None = None
    ) -> Binding:
        """Bind a key from the time `now` on, for `kept` seconds, unless it is bound to anything but `instead_of`.

        Returns what the key is bound to now: the caller's binding, or the one that was there. One step, also among
        several servers, and as durable as the records that are inserted after it.
        """

    async def unbind(self, key: str, id: UploadId) -> None:
        """Forget a key if it stands for this upload; may be repeated."""

    async def tidy(self, now: float) -> None:
        """Remove the keys whose time is over, if the store does not do that by itself."""
