"""Makes tokens that are signed with the server's own key: `mint` for applications, and for grant_command.py."""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from onward.protocol.claims import build_claims
from onward.protocol.grants import Grant
from onward.protocol.quantities import read_time
from onward.server.access.key_file import SIZE, read
from onward.server.uploads.checks.types import read_types

WEEK = 7 * 86400.0  # seconds
NO_PACKAGE = "tokens need a package that is not installed: pip install 'onward[auth]'"


def mint(
    grant: Grant,
    key: bytes | str | os.PathLike[str],
    *,
    lifetime: float | str = WEEK,
    clock: Callable[[], float] = time.time,
) -> str:
    """Make a token that allows what a grant does, for a server with `--auth key`.

    `key` is the path of its key file, or the key itself. `lifetime` is in seconds, or a time such as "2h"; it counts
    unless the grant says when it `expires`. A token without a `token_id` gets one, and one with neither an `owner` nor
    an `upload` an owner of its own, so that it sees what was created with it and nothing else. Without `scopes` it
    allows all but `list` and `admin`. Raises ValueError for a grant that no token can carry and for a key that is none,
    OSError for a key file that can't be read, and ImportError without PyJWT.
    """
    try:
        import jwt  # noqa: PLC0415 - it is optional
    except ImportError as error:
        raise ImportError(NO_PACKAGE) from error
    if not isinstance(key, bytes):
        key = read(Path(key))
    if len(key) < SIZE:
        raise ValueError(f"a key has {SIZE} bytes or more")
    name = secrets.token_urlsafe(12)
    grant = replace(
        grant,
        expires=int(clock() + read_time(lifetime, positive=True)) if grant.expires is None else grant.expires,
        token_id=grant.token_id or name,
        owner=f"link-{name}" if grant.owner is None and grant.upload is None else grant.owner,
        types=None if grant.types is None else read_types(grant.types),
    )
    return jwt.encode(build_claims(grant), key, algorithm="HS256")
