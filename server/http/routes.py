"""The routes of uploads: POST /files, and PATCH, HEAD, DELETE, GET and OPTIONS of /files/{id}.

Each handler chooses the dialect of the request, reads the request by it, calls the engine, and writes the result as the
headers of the dialect. Refusals are raised from here, and answered in problems.py. server/app.py adds the routes.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from functools import partial

from aiohttp import web

from onward.protocol.dialects import Dialect, Request, choose, named
from onward.protocol.errors import BadRequest, Forbidden, MethodNotAllowed, NotCompleted, Refusal
from onward.protocol.model import Limits, Role, Upload, UploadId
from onward.server.http.access import Act, check_access, granted_limits
from onward.server.http.app_keys import CONFIG, ENGINE, STOPPING, UPLOAD, upload_id
from onward.server.http.download import download
from onward.server.http.outage import outlast
from onward.server.http.problems import log, refusal_of
from onward.server.http.proxies import public_origin
from onward.server.http.transport.body import RequestBody
from onward.server.http.transport.disconnect import cancel_on_disconnect
from onward.storage.base import StorageError
from onward.storage.failure_log import shorten_ids

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _headers(request: web.Request, dialect: Dialect) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower in headers and lower.startswith(dialect.sent_once):
            raise BadRequest(f"{name} was sent twice.")
        headers[lower] = value
    return headers


def _readable(request: web.Request, dialect: Dialect) -> Request:
    size = request.content_length
    chunked = size is None and request.body_exists
    origin = _origin(request)
    return Request(
        headers=_headers(request, dialect),
        body_size=None if chunked else size or 0,
        has_body=chunked or bool(size),
        path=_collection(request),
        host=origin[1] if origin else None,
    )


def _origin(request: web.Request) -> tuple[str, str] | None:
    config = request.app[CONFIG]
    return public_origin(request, config.trusted_proxies, config.proxy_headers)


def _collection(request: web.Request) -> str:
    """Return the path of the collection of uploads, with the prefix of an application that mounts the server."""
    resource = request.match_info.route.resource
    return resource.canonical.removesuffix("/{id}").rstrip("/") if resource else ""


def _location(request: web.Request, id: UploadId) -> str:
    path = f"{_collection(request)}/{id}"
    origin = _origin(request)
    return f"{origin[0]}://{origin[1]}{path}" if origin else path


def _body(request: web.Request) -> RequestBody:
    config = request.app[CONFIG]
    return RequestBody(request, config.body_idle, config.body_rate)


async def create(request: web.Request) -> web.Response:
    """POST /files."""
    engine, dialect = request.app[ENGINE], choose(request.headers)
    asked = dialect.read_create(_readable(request, dialect), engine.limits)
    limits = await granted_limits(request, Act.CREATE, None, asked)
    for part in asked.concat.parts if asked.concat else ():
        await check_access(request, Act.JOIN, part)
    upload = await engine.create(asked, limits=limits, may_wait=dialect.offers(limits, "concatenation-unfinished"))
    location = {"Location": _location(request, upload.id)}
    try:
        with closing(_body(request)) as body:
            upload = await engine.fill(upload, asked, body, limits=limits)
    except (Refusal, StorageError) as fault:
        refusal = fault if isinstance(fault, Refusal) else refusal_of(fault)
        refusal.headers |= location
        stored = await _stored_of(request, upload) if dialect.is_passing(refusal.status) else None
        if stored is None:
            raise refusal from fault
        why = shorten_ids(str(fault))
        log.info("upload %s… was created with %d bytes of its body: %s", stored.id[:8], stored.offset, why)
        upload = stored
    return web.Response(status=201, headers=location | dialect.build_upload_headers(upload))


async def _stored_of(request: web.Request, upload: Upload) -> Upload | None:
    """Return the recorded state of an upload whose creation brought a body that was cut; None if it isn't known.

    The reply to a creation states how much of its body was stored. A client that is refused would begin another upload.
    """
    if upload.role is Role.FINAL:
        return None
    try:
        return await _inspected(request, upload.id)
    except (Refusal, StorageError):
        return None


def _inspected(request: web.Request, id: UploadId) -> Awaitable[Upload]:
    """Return the state of an upload, even if the store does not answer for a few seconds."""
    app = request.app
    return outlast(partial(app[ENGINE].inspect, id), within=app[CONFIG].lease_wait, stopping=app[STOPPING])


async def append(request: web.Request) -> web.Response:
    """PATCH /files/{id}."""
    engine, id_, dialect = request.app[ENGINE], upload_id(request), choose(request.headers)
    limits = await granted_limits(request, Act.APPEND, id_)
    asked = dialect.read_append(_readable(request, dialect), engine.limits)
    with closing(_body(request)) as body:
        upload = await cancel_on_disconnect(request, engine.append(id_, asked, body, limits=limits))
    return web.Response(status=204, headers=dialect.build_upload_headers(upload))


def _is_plain_head(request: web.Request) -> bool:
    """Return whether HEAD asks about a file, as wget and aria2 do, and not about an upload."""
    return request.method == "HEAD" and named(request.headers) is None


async def inspect(request: web.Request) -> web.StreamResponse:
    """HEAD /files/{id}. A request that names no dialect gets the headers of a download, if there is one."""
    if _is_plain_head(request):
        with suppress(NotCompleted, Forbidden):  # an unfinished upload can only be asked about in a dialect
            return await download(request)
    dialect = choose(request.headers)
    dialect.check_version(_headers(request, dialect))
    upload = await _inspected(request, upload_id(request))
    return web.Response(status=200, headers=dialect.build_head_headers(upload))


async def terminate(request: web.Request) -> web.Response:
    """DELETE /files/{id}."""
    dialect = choose(request.headers)
    dialect.check_version(_headers(request, dialect))
    await request.app[ENGINE].terminate(upload_id(request))
    return web.Response(status=204)


async def discover(request: web.Request) -> web.Response:
    """OPTIONS /files and /files/{id}."""
    return web.Response(status=204, headers=choose(request.headers).build_options_headers(request.app[ENGINE].limits))


async def _expect(_: web.Request) -> None:
    """Send no `100 Continue` yet: the body sends it when it is read, after the licence was granted."""


ONE = {"GET": download, "HEAD": inspect, "OPTIONS": discover, "PATCH": append, "DELETE": terminate}
ALL = {"OPTIONS": discover, "POST": create}
ACTS = {"DELETE": Act.TERMINATE, "GET": Act.DOWNLOAD, "HEAD": Act.INSPECT}  # PATCH and POST ask for their limits
NEEDS = {"DELETE": "termination", "POST": "creation"}


def _dispatch(table: Mapping[str, Handler]) -> Handler:
    def is_offered(method: str, dialect: Dialect, limits: Limits) -> bool:
        return method in table and (method not in NEEDS or dialect.offers(limits, NEEDS[method]))

    async def dispatch(request: web.Request) -> web.StreamResponse:
        method = request.headers.get("X-HTTP-Method-Override", request.method)
        dialect, limits = choose(request.headers), request.app[ENGINE].limits
        if not is_offered(method, dialect, limits):
            raise MethodNotAllowed(allowed=[name for name in table if is_offered(name, dialect, limits)])
        if method in ACTS:
            act = Act.DOWNLOAD if method == "HEAD" and _is_plain_head(request) else ACTS[method]
            await check_access(request, act, upload_id(request))
        return await table[method](request)

    return dispatch


def add_routes(app: web.Application) -> None:
    """Add the routes of uploads and of downloads.

    A route accepts every method, and `dispatch` finds the handler: X-HTTP-Method-Override may replace the method of the
    request (tus 1.0.0), and aiohttp has chosen the route before that. It tries the routes in this order.
    """
    base = app[CONFIG].prefix
    for path, table in ((base + UPLOAD, ONE), (base, ALL), (f"{base}/", ALL)):
        app.router.add_route("*", path, _dispatch(table), expect_handler=_expect)
