"""The access function of an application that embeds the server: it is asked before every act, watching too.

It is given to `create_app`. It allows an act by returning a `Grant`, or None for no limits of its own, and refuses it
by raising a Refusal or one of aiohttp's own exceptions. The routes of uploads and of progress ask it here.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from aiohttp import web

from onward.protocol.grants import Grant
from onward.protocol.model import CreateRequest, Limits, UploadId
from onward.server.http.app_keys import ENGINE


class Act(StrEnum):
    """What a request is about to do; `join` is asked for each part of a final upload."""

    CREATE = "create"
    JOIN = "join"
    INSPECT = "inspect"
    APPEND = "append"
    TERMINATE = "terminate"
    DOWNLOAD = "download"
    WATCH = "watch"


# Called with the request, the act, the id of the upload (None for CREATE), and what is to be created (None for all
# acts but CREATE).
Access = Callable[[web.Request, Act, UploadId | None, CreateRequest | None], Awaitable[Grant | None]]


async def allow_everything(
    _request: web.Request, _act: Act, _id: UploadId | None, _create_request: CreateRequest | None
) -> None:
    """Allow everything."""


ACCESS: web.AppKey[Access] = web.AppKey("access")


def check_access(request: web.Request, act: Act, id: UploadId) -> Awaitable[Grant | None]:
    """Ask whether a request may act on an upload; to await the answer raises what the access function raises."""
    return request.app[ACCESS](request, act, id, None)


async def granted_limits(
    request: web.Request, act: Act, id: UploadId | None, create_request: CreateRequest | None = None
) -> Limits:
    """Ask whether a request may create or append, and return its limits; raises what the access function raises."""
    grant = await request.app[ACCESS](request, act, id, create_request)
    limits = request.app[ENGINE].limits
    return grant.within(limits) if grant is not None else limits
