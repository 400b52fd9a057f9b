"""The access function of an application that embeds the server: it is asked before every act, watching too.

It is given to `create_app`, and refuses by raising a Refusal or one of aiohttp's own exceptions. The routes of uploads
and of progress call `check_access`.
"""

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
    """Ask the access function whether a request may do something; raises what it raises."""
    await request.app[ACCESS](request, act, id)
