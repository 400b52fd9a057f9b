"""What handlers find in the application and in a request (typed keys), and the id that they find in a URL.

`create_app` sets CONFIG; `server/lifespan.py` sets the others when the application starts.
"""

import asyncio

from aiohttp import web

from onward.protocol.dialects import DEFAULT, Dialect, named
from onward.protocol.model import ID_PATTERN, UploadId
from onward.server.config import Config
from onward.server.uploads.engine import Engine

CONFIG: web.AppKey[Config] = web.AppKey("config", Config)
ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping", asyncio.Event)  # set when the stop begins
NAMED: web.RequestKey[Dialect | None] = web.RequestKey("named")
UPLOAD = f"/{{id:{ID_PATTERN}}}"  # the end of the path of one upload, as a pattern of aiohttp's router


def upload_id(request: web.Request) -> UploadId:
    """Return the id in the URL; the route has checked its form."""
    return UploadId(request.match_info["id"])


def named_dialect(request: web.Request) -> Dialect | None:
    """Return the dialect that a request names, or None; it is looked for once in each request."""
    if NAMED not in request:
        request[NAMED] = named(request.headers)
    return request[NAMED]


def dialect_of(request: web.Request) -> Dialect:
    """Return the dialect that a request is read and answered in: the one that it names, or else the default."""
    return named_dialect(request) or DEFAULT
