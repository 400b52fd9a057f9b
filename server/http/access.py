"""The access function of an application that embeds the server: it is asked before every act, watching too.

It is given to `create_app`. It allows an act by returning a `Grant`, or None for no limits of its own, and refuses it
by raising a Refusal or one of aiohttp's own exceptions. The routes of uploads and of progress ask it here.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web
from msgspec.structs import replace
from multidict import MultiMapping

from onward.protocol.grants import Act, Grant
from onward.protocol.model import CreateRequest, Limits, UploadId
from onward.server.http.app_keys import ENGINE

# Called with the request, the act, the id of the upload (None for CREATE), and what is to be created (None for all
# acts but CREATE).
Access = Callable[[web.Request, Act, UploadId | None, CreateRequest | None], Awaitable[Grant | None]]


async def allow_everything(
    _request: web.Request, _act: Act, _id: UploadId | None, _create_request: CreateRequest | None
) -> None:
    """Allow everything."""


ACCESS: web.AppKey[Access] = web.AppKey("access")

# Asks the application behind `--ask`: called with what is to be created, the address of the client, and the headers of
# its request. Refuses by raising a Refusal.
AskCreation = Callable[[CreateRequest, str | None, MultiMapping[str]], Awaitable[Grant]]
ASK_CREATION: web.AppKey[AskCreation | None] = web.AppKey("ask_creation")


def check_access(request: web.Request, act: Act, id: UploadId) -> Awaitable[Grant | None]:
    """Ask whether a request may act on an upload; to await the answer raises what the access function raises."""
    return request.app[ACCESS](request, act, id, None)


async def granted_limits(request: web.Request, id: UploadId) -> Limits:
    """Ask whether a request may append, and return its limits; raises what the access function raises."""
    grant = await request.app[ACCESS](request, Act.APPEND, id, None)
    limits = request.app[ENGINE].limits
    return grant.within(limits) if grant is not None else limits


async def granted_creation(request: web.Request, creation: CreateRequest) -> tuple[CreateRequest, Limits]:
    """Ask whether a request may create an upload: first the access function, then the application behind `--ask`.

    Returns the request with what they changed in it, and its limits. Raises what they raise.
    """
    limits = request.app[ENGINE].limits
    if (grant := await request.app[ACCESS](request, Act.CREATE, None, creation)) is not None:
        creation, limits = grant.applied_to(creation), grant.within(limits)
    if (ask := request.app[ASK_CREATION]) is not None:
        grant = await ask(creation, request.remote, request.headers)
        # It is not asked when a body comes, so its size is recorded for a length that is declared later.
        creation, limits = replace(grant.applied_to(creation), max_size=grant.max_size), grant.within(limits)
    return creation, limits
