"""What an application allows a request: the value that its access function returns.

`server/http/access.py` asks the access function of `create_app(config, access=…)`, and the application behind `--ask`;
the engine decides within the limits that a grant leaves.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.headers import build_metadata
from onward.protocol.model import CreateRequest, Limits
from onward.protocol.quantities import MOST_SECONDS

MOST_OWNER = 1000  # bytes


class Grant(Struct, frozen=True, kw_only=True, gc=False):
    """What a request is allowed, beside the act that it was asked for."""

    # The largest upload that the request may create, in bytes. For an upload whose length is not declared yet, the
    # grants of the requests that append to it count as well. None leaves the limit of the server.
    max_size: int | None = None
    # The next three are for creations only; None leaves things as they are. An owner has MOST_OWNER bytes at most.
    owner: str | None = None
    # Replaces the metadata of the client.
    metadata: Mapping[str, bytes] | None = None
    # How long after its last change the upload expires, in seconds; more than MOST_SECONDS is no more than that.
    expire_after: float | None = None

    def __post_init__(self) -> None:
        """Check the length of the owner's name, which is in every event. Raises ValueError."""
        if self.owner is not None and len(self.owner.encode()) > MOST_OWNER:
            raise ValueError(f"an owner has {MOST_OWNER} bytes at most")

    def within(self, limits: Limits) -> Limits:
        """Return the limits that count for the request: those of the server, and never more."""
        return limits.at_most(self.max_size)

    def applied_to(self, creation: CreateRequest) -> CreateRequest:
        """Return the request with what the application adds to it or replaces in it."""
        return replace(
            creation,
            owner=creation.owner if self.owner is None else self.owner,
            metadata=creation.metadata if self.metadata is None else build_metadata(dict(self.metadata)),
            expire_after=creation.expire_after if self.expire_after is None else min(self.expire_after, MOST_SECONDS),
        )
