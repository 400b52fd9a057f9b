"""The decision whether a request may do what it asks for: one function for every route and every dialect.

    check_token    the token, with `--auth`: 401 without a right one, 403 if it does not allow the act, 404 if it is not
                   for this upload, exactly as for an unknown one; before any lease is taken
    check_access   the token, and then the access function of an application that embeds the server

A route calls one of them, or `granted_limits` and `granted_creation`, which do, before it does anything else. The
access function is given to `create_app`. It allows an act by returning a `Grant`, or None for no limits of its own, and
refuses it by raising a Refusal or one of aiohttp's own exceptions. What it allows must be allowed by the token as well.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec.structs import replace
from multidict import MultiMapping

from onward.protocol.claims import leaves_at
from onward.protocol.creation_keys import HEADER, build_creation_key, parse_key
from onward.protocol.errors import InvalidToken, NoToken
from onward.protocol.grants import Act, Grant
from onward.protocol.model import CreateRequest, Limits, Upload, UploadId
from onward.server.access.owners import Owners
from onward.server.access.pace import Pace
from onward.server.http.app_keys import ENGINE
from onward.server.http.bearer import find_token
from onward.server.http.request_log import OWNER
from onward.server.http.wait_for_store import wait_for_store

if TYPE_CHECKING:
    from onward.server.access.tokens import Tokens

# Called with the request, the act, the id of the upload (None for CREATE), and what is to be created (None for all
# acts but CREATE).
Access = Callable[[web.Request, Act, UploadId | None, CreateRequest | None], Awaitable[Grant | None]]
READS = frozenset({Act.DOWNLOAD, Act.WATCH, Act.LIST, Act.METRICS})


async def allow_everything(
    _request: web.Request, _act: Act, _id: UploadId | None, _create_request: CreateRequest | None
) -> None:
    """Allow everything."""


ACCESS: web.AppKey[Access] = web.AppKey("access")
TOKENS: web.AppKey["Tokens | None"] = web.AppKey("tokens")  # None if there is no access control by tokens
OWNERS: web.AppKey[Owners] = web.AppKey("owners", Owners)
PACE: web.AppKey[Pace] = web.AppKey("pace", Pace)
# The token of a creation is read once, when the request begins: it may ask for several files and parts.
_GRANT: web.RequestKey[Grant] = web.RequestKey("grant", Grant)
CREATIONS = (Act.CREATE, Act.JOIN)

# Asks the application behind `--ask`: called with what is to be created, the address of the client, and the headers of
# its request. Refuses by raising a Refusal.
AskCreation = Callable[[CreateRequest, str | None, MultiMapping[str]], Awaitable[Grant]]
ASK_CREATION: web.AppKey[AskCreation | None] = web.AppKey("ask_creation")


def owners_of(app: web.Application) -> Owners:
    """Return the memory of who owns which upload."""

    async def load(id: UploadId) -> Upload:
        return await app[ENGINE].records.storage.state.load(id, fresh=True)

    return Owners(load)


async def check_token(request: web.Request, act: Act, id: UploadId | None = None) -> Grant | None:
    """Return what the token of a request allows; None if there is no access control by tokens.

    Raises NoToken, InvalidToken, AccessDenied and NotFound, in this order; Unavailable and what the store raises.
    """
    app = request.app
    if (tokens := app[TOKENS]) is None:
        return None
    creates = act in CREATIONS
    if not creates or (grant := request.get(_GRANT)) is None:
        try:
            grant = await tokens.read(find_token(request, reads=act in READS), app[ENGINE].records.clock())
        except (NoToken, InvalidToken):
            if wait := app[PACE].wait(request.remote, time.monotonic()):
                await asyncio.sleep(wait)
            raise
        if creates:
            request[_GRANT] = grant
        if grant.owner is not None:
            request[OWNER] = grant.owner
    await _check(request, grant, act, id)
    return grant


async def _check(request: web.Request, grant: Grant, act: Act, id: UploadId | None) -> None:
    grant.check(act)
    if id is None:
        return
    check = partial(request.app[OWNERS].check, grant, id)
    await (wait_for_store(request, check) if act is Act.INSPECT else check())


async def check_access(
    request: web.Request, act: Act, id: UploadId | None, creation: CreateRequest | None = None
) -> tuple[Grant, ...]:
    """Return what the token and then the access function allow a request; raises what they raise.

    A grant of the access function with scopes, or for one upload, is heeded as that of a token is.
    """
    app = request.app
    if (allow := app[ACCESS]) is allow_everything and app[TOKENS] is None:
        return ()
    token = await check_token(request, act, id)
    own = await allow(request, act, id, creation)
    if own is not None and own.owner is not None:
        request[OWNER] = own.owner
    if own is not None and (own.scopes is not None or own.upload is not None):
        await _check(request, own, act, id)
    return tuple(grant for grant in (token, own) if grant is not None)


def seconds_left(request: web.Request, grants: tuple[Grant, ...]) -> float | None:
    """Return how long a watcher may stay, in seconds from now; None for as long as it wants."""
    now = request.app[ENGINE].records.clock()
    ends = [end for grant in grants if (end := leaves_at(grant, now)) is not None]
    return max(min(ends) - now, 0.0) if ends else None


async def granted_limits(request: web.Request, id: UploadId) -> Limits:
    """Ask whether a request may append, and return its limits; raises what `check_access` raises."""
    limits = request.app[ENGINE].limits
    for grant in await check_access(request, Act.APPEND, id):
        limits = grant.within(limits)
    return limits


async def granted_creation(request: web.Request, creation: CreateRequest) -> tuple[CreateRequest, Limits]:
    """Ask whether a request may create an upload: the token, the access function, then the application behind `--ask`.

    The first two are asked about each part of a final upload as well. Returns the request with what they changed in it
    and with the Idempotency-Key of its owner, and its limits. Raises what they raise, and BadRequest for a malformed
    key.
    """
    limits, asked = request.app[ENGINE].limits, creation
    key = parse_key(request.headers.getall(HEADER, ()))
    for grant in await check_access(request, Act.CREATE, None, creation):
        creation, limits = grant.applied_to(creation), grant.within(limits)
    if (token := request.get(_GRANT)) is not None:  # later requests may come with another token
        creation = creation.at_most(token.max_size)
    for part in creation.concat.parts if creation.concat else ():
        await check_access(request, Act.JOIN, part)
    if (ask := request.app[ASK_CREATION]) is not None:
        grant = await ask(creation, request.remote, request.headers)
        # It is not asked when a body comes, so its size is recorded for a length that is declared later.
        creation, limits = grant.applied_to(creation).at_most(grant.max_size), grant.within(limits)
    if key is not None:
        creation = replace(creation, creation_key=build_creation_key(key, creation.owner, asked))
    return creation, limits
