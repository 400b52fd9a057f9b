"""What handlers find in the application (typed keys), and the id and the dialect that they find in a request.

`create_app` sets CONFIG and CHECKS; `server/lifespan.py` sets the others when the application starts.
"""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from onward.protocol.dialects import DEFAULT, Dialect, named
from onward.protocol.model import ID_PATTERN, UploadId
from onward.server.config import Config
from onward.server.uploads.checks import Check
from onward.server.uploads.engine import Engine

CONFIG: web.AppKey[Config] = web.AppKey("config", Config)
CHECKS: web.AppKey[Sequence[Check]] = web.AppKey("checks")
ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping", asyncio.Event)  # set when the stop begins
UPLOAD = f"/{{id:{ID_PATTERN}}}"  # the end of the path of one upload, as a pattern of aiohttp's router


def upload_id(request: web.Request) -> UploadId:
    """Return the id in the URL; the route has checked its form."""
    return UploadId(request.match_info["id"])


def named_dialect(request: web.Request) -> Dialect | None:
    """Return the dialect that a request names, or None. To look costs less than to remember it in the request."""
    return named(request.method, request.headers)


def dialect_of(request: web.Request) -> Dialect:
    """Return the dialect that a request is read and answered in: the one that it names, or else the default."""
    return named(request.method, request.headers) or DEFAULT
