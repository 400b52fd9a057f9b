"""The server with owners and limits that the headers of a request name: owners_server.py WORDS…

It stands for a server with tokens, where a test is about what is counted and not about who may.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from aiohttp import web

from onward.protocol.grants import Act, Grant, Scope
from onward.protocol.model import CreateRequest, UploadId

PROGRAM = (str(Path(__file__)),)


def grant_of(headers: Mapping[str, str]) -> Grant:
    """Give what the headers of a request allow."""

    def number(name: str) -> int | None:
        return int(headers[name]) if name in headers else None

    return Grant(
        owner=headers.get("X-Owner"),
        token_id=headers.get("X-Token"),
        scopes=frozenset(map(Scope, headers["X-Scopes"].split())) if "X-Scopes" in headers else None,
        max_uploads=number("X-Max-Uploads"),
        quota=number("X-Quota"),
        max_size=number("X-Max-Size"),
    )


async def allow(request: web.Request, act: Act, _id: UploadId | None, _creation: CreateRequest | None) -> Grant:
    """Allow what the headers say."""
    grant = grant_of(request.headers)
    grant.check(act)
    return grant


if __name__ == "__main__":
    from functools import partial

    from onward.server import serve
    from onward.server.app import create_app
    from onward.server.cli import main

    vars(serve)["create_app"] = partial(create_app, access=allow)
    main()
