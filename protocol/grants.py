"""What an application allows a request: the value that its access function returns.

`server/http/access.py` asks the access function of `create_app(config, access=…)`, and the application behind `--ask`;
the engine decides within the limits that a grant leaves.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.headers import build_metadata
from onward.protocol.model import CreateRequest, Limits


class Grant(Struct, frozen=True, kw_only=True, gc=False):
    """What a request is allowed, beside the act that it was asked for."""

    # The largest upload that the request may create, in bytes. For an upload whose length is not declared yet, the
    # grants of the requests that append to it count as well. None leaves the limit of the server.
    max_size: int | None = None
    # The next three are for creations only; None leaves things as they are.
    owner: str | None = None
    # Replaces the metadata of the client.
    metadata: Mapping[str, bytes] | None = None
    # How long after its last change the upload expires, in seconds.
    expire_after: float | None = None

    def within(self, limits: Limits) -> Limits:
        """Return the limits that count for the request: those of the server, and never more."""
        if self.max_size is None or (limits.max_size is not None and limits.max_size <= self.max_size):
            return limits
        return replace(limits, max_size=self.max_size)

    def applied_to(self, creation: CreateRequest) -> CreateRequest:
        """Return the request with what the application adds to it or replaces in it."""
        return replace(
            creation,
            owner=creation.owner if self.owner is None else self.owner,
            metadata=creation.metadata if self.metadata is None else build_metadata(dict(self.metadata)),
            expire_after=creation.expire_after if self.expire_after is None else self.expire_after,
        )
