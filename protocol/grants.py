"""What a request is allowed: a `Grant`, and the words for what requests do.

A grant comes from a token (`claims.py`), from the access function of `create_app(config, access=…)`, or from the
application behind `--ask`. `server/http/access.py` asks for it; the engine decides within the limits that it leaves.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.errors import AccessDenied, BadRequest
from onward.protocol.headers import MAX_METADATA, MAX_METADATA_KEYS, build_metadata, parse_metadata
from onward.protocol.model import Allowance, CreateRequest, Limits, UploadId
from onward.protocol.quantities import MOST_SECONDS

MOST_OWNER = 1000  # bytes


class Act(StrEnum):
    """What a request is about to do; `join` is asked for each part of a final upload."""

    CREATE = "create"
    JOIN = "join"
    INSPECT = "inspect"
    APPEND = "append"
    TERMINATE = "terminate"
    DOWNLOAD = "download"
    WATCH = "watch"
    LIST = "list"
    METRICS = "metrics"


class Scope(StrEnum):
    """A word of what a token allows."""

    CREATE = "create"
    APPEND = "append"
    INSPECT = "inspect"
    DOWNLOAD = "download"
    TERMINATE = "terminate"
    WATCH = "watch"
    LIST = "list"
    ADMIN = "admin"  # everything, with everybody's uploads


USUAL = frozenset(Scope) - {Scope.LIST, Scope.ADMIN}  # what a token without `scope` allows
NEEDED = {  # the scope that an act needs, unless the grant has `admin`
    Act.CREATE: Scope.CREATE,
    Act.JOIN: Scope.CREATE,
    Act.INSPECT: Scope.INSPECT,
    Act.APPEND: Scope.APPEND,
    Act.TERMINATE: Scope.TERMINATE,
    Act.DOWNLOAD: Scope.DOWNLOAD,
    Act.WATCH: Scope.WATCH,
    Act.LIST: Scope.LIST,
    Act.METRICS: Scope.ADMIN,
}
ON_ONE_UPLOAD = frozenset({Act.INSPECT, Act.APPEND, Act.TERMINATE, Act.DOWNLOAD, Act.WATCH})


class Grant(Struct, frozen=True, kw_only=True, gc=False):
    """What a request is allowed, beside the act that it was asked for. Sizes are in bytes."""

    # Whose uploads the request may see, if `scopes` are given, and who owns what it creates. It has MOST_OWNER bytes at
    # most. None leaves the owner of a creation as it is.
    owner: str | None = None
    # The acts that are allowed, with the owner's uploads only, unless `admin` is among them. None if whoever made the
    # grant has decided about the act and the upload already, as an access function has.
    scopes: frozenset[Scope] | None = None
    # The one upload that the grant is for; None for no such limit.
    upload: UploadId | None = None
    # The largest upload that the request may create. For an upload whose length is not declared yet, the grants of the
    # requests that append to it count as well. None leaves the limit of the server.
    max_size: int | None = None
    # How many uploads of the owner may be created under `token_id`; None for no limit.
    max_uploads: int | None = None
    # What names the token among all tokens (`jti`); None if it has no name.
    token_id: str | None = None
    # How many bytes of the owner may be stored and promised at a time; None for what the server says.
    quota: int | None = None
    # The media types that an upload may have, such as `image/*`, beside those that the server allows; None for all.
    types: tuple[str, ...] | None = None
    # Replaces the metadata of the client; None leaves it.
    metadata: Mapping[str, bytes] | None = None
    # Is added to the metadata of the client (or to what replaces it), and wins over it.
    added_metadata: Mapping[str, bytes] | None = None
    # How long after its last change a new upload expires, in seconds; more than MOST_SECONDS is no more than that. None
    # leaves what the server says.
    expire_after: float | None = None
    # When the grant itself expires, in seconds since the epoch; None for never. A watcher must leave then.
    expires: float | None = None

    def __post_init__(self) -> None:
        """Check the length of the owner's name, which is in every event. Raises ValueError."""
        if self.owner is not None and len(self.owner.encode()) > MOST_OWNER:
            raise ValueError(f"an owner has {MOST_OWNER} bytes at most")

    @property
    def is_admin(self) -> bool:
        """Return whether everything is allowed, with the uploads of everybody."""
        return self.scopes is not None and Scope.ADMIN in self.scopes

    def check(self, act: Act) -> None:
        """Check that the grant allows an act, whichever upload it is about. Raises AccessDenied."""
        if self.scopes is not None and NEEDED[act] not in self.scopes and Scope.ADMIN not in self.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{NEEDED[act]}"'
            raise AccessDenied(f"It needs the scope {NEEDED[act]}.", headers={"WWW-Authenticate": challenge})
        if self.upload is not None and act not in ON_ONE_UPLOAD:
            raise AccessDenied("The token is for one upload only.")

    def sees(self, id: UploadId, owner: str | None) -> bool:
        """Return whether the grant concerns an upload; one that it doesn't must look like an unknown one.

        `owner` is who owns the upload. A grant for one upload without an owner of its own sees it whoever owns it.
        """
        if self.upload is not None and self.upload != id:
            return False
        if self.scopes is None or Scope.ADMIN in self.scopes:
            return True
        return self.owner == owner if self.owner is not None else self.upload is not None

    def within(self, limits: Limits) -> Limits:
        """Return the limits that count for the request: those of the server, and a size that is never more.

        The quota of the grant replaces that of the server.
        """
        limits = limits.at_most(self.max_size)
        return limits if self.quota is None else replace(limits, quota=self.quota)

    def applied_to(self, creation: CreateRequest) -> CreateRequest:
        """Return the request with what the grant adds to it or replaces in it. Raises BadRequest for the metadata."""
        return replace(
            creation,
            owner=creation.owner if self.owner is None else self.owner,
            metadata=self._applied_to_metadata(creation.metadata),
            allowance=self._allowance or creation.allowance,
            expire_after=creation.expire_after if self.expire_after is None else min(self.expire_after, MOST_SECONDS),
            types=creation.types if self.types is None else (*creation.types, self.types),
        )

    @property
    def _allowance(self) -> Allowance | None:
        """Return the limit of the token; the quota is one of the limits (`within`)."""
        return None if self.max_uploads is None else Allowance(token=self.token_id or "", max_uploads=self.max_uploads)

    def _applied_to_metadata(self, metadata: str | None) -> str | None:
        if self.metadata is not None:
            metadata = build_metadata(dict(self.metadata))
        if self.added_metadata:
            pairs = parse_metadata(metadata or "") | dict(self.added_metadata)
            metadata = build_metadata(pairs)
            if len(metadata) > MAX_METADATA or len(pairs) > MAX_METADATA_KEYS:
                raise BadRequest("Upload-Metadata and what the token adds to it are too large together.")
        return metadata
