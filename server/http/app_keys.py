"""What the handlers find in the application and in a URL."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from onward.protocol.model import ID_PATTERN, UploadId
from onward.server.config import Config
from onward.server.uploads.engine import Engine

ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping", asyncio.Event)
CONFIG: web.AppKey[Config] = web.AppKey("config", Config)
CLOSE: web.AppKey[Callable[[], Awaitable[None]]] = web.AppKey("close")  # the engine; may be called again
UPLOAD = f"/{{id:{ID_PATTERN}}}"


def upload_id(request: web.Request) -> UploadId:
    """Give the id in the URL; the route has checked its form."""
    return UploadId(request.match_info["id"])
