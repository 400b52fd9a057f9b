"""The access check of an application that embeds the server: asked before every act, on uploads and on watching."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from aiohttp import web

from onward.protocol.model import UploadId


class Act(StrEnum):
    """What a request is about to do; `join` is asked for each part of a final upload."""

    CREATE = "create"
    JOIN = "join"
    INSPECT = "inspect"
    APPEND = "append"
    TERMINATE = "terminate"
    DOWNLOAD = "download"
    WATCH = "watch"


Access = Callable[[web.Request, Act, UploadId | None], Awaitable[None]]


async def allow_everything(_request: web.Request, _act: Act, _id: UploadId | None) -> None:
    """Allow everything."""


ACCESS: web.AppKey[Access] = web.AppKey("access")


async def check_access(request: web.Request, act: Act, id: UploadId | None) -> None:
    """Ask whether a request may do something; raises the Refusal of whoever is asked."""
    await request.app[ACCESS](request, act, id)
