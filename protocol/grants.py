"""What an application allows a request: the value that its access function returns.

`server/http/access.py` asks the access function of `create_app(config, access=…)`; the engine decides within the limits
that a grant leaves.
"""

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.model import Limits


class Grant(Struct, frozen=True, kw_only=True, gc=False):
    """What a request is allowed, beside the act that it was asked for."""

    # The largest upload that the request may create, in bytes. For an upload whose length is not declared yet, the
    # grants of the requests that append to it count as well. None leaves the limit of the server.
    max_size: int | None = None

    def within(self, limits: Limits) -> Limits:
        """Return the limits that count for the request: those of the server, and never more."""
        if self.max_size is None or (limits.max_size is not None and limits.max_size <= self.max_size):
            return limits
        return replace(limits, max_size=self.max_size)
