"""The routes of uploads: POST /files, PUT /files/{name}, and PATCH, HEAD, DELETE, GET and OPTIONS of /files/{id}.

Each handler reads the request by its dialect, calls the engine, and lets the dialect write the reply. Refusals are
raised from here, and answered in problems.py. server/app.py adds the routes.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from time import monotonic

from aiohttp import web

from onward.protocol.dialects import DEFAULT, DIALECTS, Dialect, Reply, Request
from onward.protocol.errors import (
    Absent,
    Denied,
    Failed,
    Forbidden,
    MethodNotAllowed,
    NotCompleted,
    NotFound,
    Refusal,
)
from onward.protocol.grants import Act
from onward.protocol.model import Limits, Role, Upload, UploadId
from onward.protocol.plain import parse_segment
from onward.server.http.access import OWNERS, check_access, check_token, granted_creation, granted_limits
from onward.server.http.app_keys import CONFIG, ENGINE, STOPPING, UPLOAD, named_dialect, upload_id
from onward.server.http.completed_steps import do_once
from onward.server.http.download import download
from onward.server.http.forms import FORM, receive_form
from onward.server.http.problems import log, refusal_of
from onward.server.http.proxies import Public, is_forwarded, public_origin, url_of
from onward.server.http.put import last_segment, put_file
from onward.server.http.request_head import offers, read_headers
from onward.server.http.transport.body import RequestBody, take_whole
from onward.server.http.transport.disconnect import cancel_on_disconnect
from onward.server.http.transport.interim import send_interim
from onward.server.http.wait_for_store import outlast, wait_for_store
from onward.server.uploads.create_once import create_once
from onward.server.uploads.short_uploads import MemoryBody
from onward.storage.base import Missing, StorageError
from onward.storage.failure_log import shorten_ids

# Called with the request and the dialect that it names, or None.
Handler = Callable[[web.Request, Dialect | None], Awaitable[web.StreamResponse]]


def _readable(request: web.Request, dialect: Dialect) -> Request:
    size = request.content_length
    chunked = size is None and request.body_exists
    return Request(
        headers=read_headers(request.headers, dialect),
        body_size=None if chunked else size or 0,
        has_body=chunked or bool(size),
        name=parse_segment(last_segment(request)) if request.method == "PUT" and dialect is not DEFAULT else None,
        find_collection=partial(_find_collection, request),
    )


def _find_collection(request: web.Request) -> tuple[str, str | None]:
    origin = _origin(request)
    return _collection(request), origin.host if origin else None


def _origin(request: web.Request) -> Public | None:
    config = request.app[CONFIG]
    return public_origin(request, config.trusted_proxies, config.proxy_headers, config.public_base)


def _collection(request: web.Request) -> str:
    """Return the path of the collection of uploads, with the prefix of an application that mounts the server."""
    resource = request.match_info.route.resource
    return resource.canonical.removesuffix("/{id}").removesuffix("/{name}").rstrip("/") if resource else ""


def _location(request: web.Request, id: UploadId) -> str:
    return public_url(request, f"{_collection(request)}/{id}")


def public_url(request: web.Request, path: str) -> str:
    """Return the URL of a path of this server as the client sees it; the bare path if that is not known."""
    return url_of(_origin(request), path)


def _interim(request: web.Request, dialect: Dialect) -> Callable[[Upload, str | None, Limits, float], Reply] | None:
    """Return what writes informational replies; None if there are none, or if a proxy might take one for the last."""
    return None if is_forwarded(request) else dialect.build_interim


def _body(request: web.Request, dialect: Dialect) -> RequestBody:
    config, build, engine = request.app[CONFIG], _interim(request, dialect), request.app[ENGINE]
    tell = None if build is None else lambda upload: build(upload, None, engine.limits, engine.records.clock())
    return RequestBody(request, config.body_idle, config.body_rate, tell, most=engine.limits.max_request)


def _now(request: web.Request) -> float:
    return request.app[ENGINE].records.clock()


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


async def create(request: web.Request, named: Dialect | None) -> web.StreamResponse:
    """POST /files: a creation in a dialect, or a form without one."""
    if named is None and request.content_type == FORM:
        with closing(_body(request, DEFAULT)) as body:
            return await receive_form(
                request, read_headers(request.headers, DEFAULT), body, partial(_location, request)
            )
    engine, dialect = request.app[ENGINE], named or DEFAULT
    asked = dialect.read_create(_readable(request, dialect), engine.limits)
    asked, limits = await granted_creation(request, asked)
    # Whoever brings all of the upload in one request sends all of it again, and does not ask for an offset.
    whole, told = await take_whole(request, engine.short.most), _interim(request, dialect) is not None
    at_once = b"" if told else whole  # otherwise the client is told of the upload before its bytes are stored
    creation = partial(create_once, engine, asked, limits=limits, resumable=not asked.completes, whole=at_once)
    created = await do_once(request, creation)
    upload, location = created.upload, _location(request, created.upload.id)
    request.app[OWNERS].remember(upload)
    if not created.new:
        return _response(dialect.build_created(upload, location, limits, _now(request)))
    try:
        if (build := _interim(request, dialect)) is not None:
            await send_interim(request, build(upload, location, limits, _now(request)))
        with closing(_body(request, dialect)) as body:
            brought = MemoryBody(whole, body) if whole else body
            upload = await do_once(request, partial(engine.fill, upload, asked, brought, limits=limits))
    except (Refusal, StorageError) as fault:
        refusal = fault if isinstance(fault, Refusal) else refusal_of(fault)
        refusal.headers["Location"] = location
        await _tell_of(request, dialect, upload.id, refusal)
        # The success of a request that was to bring all of the upload would be taken for the end of it.
        partly = dialect.is_passing(refusal.status) and not asked.completes
        stored = await _stored_of(request, dialect, upload) if partly else None
        if stored is None:
            raise refusal from fault
        why = shorten_ids(str(fault))
        log.info("upload %s… was created with %d bytes of its body: %s", stored.id[:8], stored.offset, why)
        upload = stored
    return _response(dialect.build_created(upload, location, limits, _now(request)))


async def _tell_of(request: web.Request, dialect: Dialect, id: UploadId, refusal: Refusal) -> None:
    """Note the recorded upload in a refusal, if the dialect tells of it and the upload is neither over nor private."""
    if dialect.tells_when_refused and not isinstance(refusal, UNTOLD):
        with suppress(StorageError):
            refusal.upload = await request.app[ENGINE].records.load(id)


async def _stored_of(request: web.Request, dialect: Dialect, upload: Upload) -> Upload | None:
    """Return the recorded state of an upload whose creation brought a body that was cut; None if it isn't known.

    The reply to a creation states how much of its body was stored. A client that is refused would begin another upload.
    """
    if upload.role is Role.FINAL:
        return None
    app = request.app
    work = partial(app[ENGINE].inspect, upload.id, finish=dialect.last_byte_finishes)
    try:
        return await outlast(work, until=monotonic() + app[CONFIG].lease_wait, stopping=app[STOPPING])
    except (Refusal, StorageError):
        return None


async def append(request: web.Request, named: Dialect | None) -> web.Response:
    """PATCH /files/{id}."""
    engine, id_, dialect, limits = request.app[ENGINE], upload_id(request), named or DEFAULT, request[LIMITS]
    asked = dialect.read_append(_readable(request, dialect), engine.limits)
    whole = await take_whole(request, engine.short.most)
    with closing(_body(request, dialect)) as body:
        brought = MemoryBody(whole, body) if whole else body
        work = do_once(request, partial(engine.append, id_, asked, brought, limits=limits))
        upload = await cancel_on_disconnect(request, work)
    return _response(dialect.build_appended(upload, limits, _now(request)))


def _is_plain(request: web.Request, named: Dialect | None) -> bool:
    """Return whether HEAD asks about a file, as wget and aria2 do, and not about an upload: it names no dialect."""
    return named is None and request.method == "HEAD"


async def inspect(request: web.Request, named: Dialect | None) -> web.StreamResponse:
    """HEAD /files/{id}. A request that names no dialect gets the headers of a download, if there is one."""
    if _is_plain(request, named):
        with suppress(NotCompleted, Forbidden):  # an unfinished upload can only be asked about in a dialect
            return await download(request)
    dialect = named or DEFAULT
    dialect.check_headers("HEAD", read_headers(request.headers, dialect))
    work = partial(request.app[ENGINE].inspect, upload_id(request), finish=dialect.last_byte_finishes)
    upload = await wait_for_store(request, partial(do_once, request, work))
    return _response(dialect.build_inspected(upload, request.app[ENGINE].limits, _now(request)))


async def terminate(request: web.Request, named: Dialect | None) -> web.Response:
    """DELETE /files/{id}."""
    dialect = named or DEFAULT
    dialect.check_headers("DELETE", read_headers(request.headers, dialect))
    await request.app[ENGINE].terminate(upload_id(request))
    return _response(dialect.build_terminated())


async def discover(request: web.Request, named: Dialect | None) -> web.Response:
    """OPTIONS of every route: what each dialect offers. That of the request has the last word."""
    limits = request.app[ENGINE].limits
    own, headers = (named or DEFAULT).build_discovered(limits), dict[str, str]()
    for dialect in DIALECTS:
        headers |= dialect.build_discovered(limits).headers
    return web.Response(status=own.status, headers=headers | own.headers)


@web.middleware
async def discovering(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer `OPTIONS *`, which asks about the whole server; aiohttp's router knows paths only."""
    if request.method == "OPTIONS" and request.raw_path == "*":
        return await discover(request, named_dialect(request))
    return await handler(request)


async def get(request: web.Request, named: Dialect | None) -> web.StreamResponse:
    """GET /files/{id}: a download, in every dialect."""
    describe, limits = named.build_described if named else None, request.app[ENGINE].limits
    if describe is None:
        return await download(request)
    return await download(request, lambda upload: describe(upload, limits, _now(request)))


async def put(request: web.Request, named: Dialect | None) -> web.StreamResponse:
    """PUT /files/{name}: a creation in a dialect, or else a file in one request. The name may look like an id."""
    if named is not None:
        return await create(request, named)
    with closing(_body(request, DEFAULT)) as body:
        return await put_file(request, _readable(request, DEFAULT), body, partial(_location, request))


async def _expect(_: web.Request) -> None:
    """Send no `100 Continue` yet: the body sends it when it is read, after the licence was granted."""


ONE = {"GET": get, "HEAD": inspect, "OPTIONS": discover, "PATCH": append, "DELETE": terminate, "PUT": put}
NAMED = {"OPTIONS": discover, "PUT": put}
ALL = {"OPTIONS": discover, "POST": create}
ABOUT_ONE = ("GET", "HEAD", "PATCH", "DELETE")
UNTOLD = (Absent, Denied, Failed)  # refusals that say nothing about the upload, since it is over or private
ACTS = {"DELETE": Act.TERMINATE, "GET": Act.DOWNLOAD, "HEAD": Act.INSPECT}  # others ask for their limits
LIMITS: web.RequestKey[Limits] = web.RequestKey("limits", Limits)  # of a PATCH


def _dispatch(table: Mapping[str, Handler]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def dispatch(request: web.Request) -> web.StreamResponse:
        named, limits = named_dialect(request), request.app[ENGINE].limits
        dialect = named or DEFAULT
        method = dialect.find_method(request.method, request.headers)
        if table is NAMED and method not in table:
            await check_token(request, ACTS.get(method, Act.APPEND))
            raise NotFound  # no upload has such an id
        if method not in table or not offers(named, method, limits):
            raise MethodNotAllowed(allowed=[name for name in table if offers(named, name, limits)])
        if method in ACTS:
            act = Act.DOWNLOAD if method == "HEAD" and _is_plain(request, named) else ACTS[method]
            await check_access(request, act, upload_id(request))
        elif method == "PATCH":  # here, since a refusal that is raised below tells of the upload
            request[LIMITS] = await granted_limits(request, upload_id(request))
        elif method in ("POST", "PUT"):  # what is to be created is not known yet
            await check_token(request, Act.CREATE)
        try:
            return await table[method](request, named)
        except (Refusal, StorageError) as fault:
            if method not in ABOUT_ONE or isinstance(fault, Missing):
                raise
            refusal = fault if isinstance(fault, Refusal) else refusal_of(fault)
            await _tell_of(request, dialect, upload_id(request), refusal)
            if refusal is fault:
                raise
            raise refusal from fault

    return dispatch


def add_routes(app: web.Application) -> None:
    """Add the routes of uploads and of downloads.

    A route accepts every method, and `dispatch` finds the handler: a dialect may let a header replace the method of the
    request, and aiohttp has chosen the route before that. It tries the routes in this order.
    """
    base = app[CONFIG].prefix
    for path, table in ((base + UPLOAD, ONE), (base, ALL), (f"{base}/", ALL), (f"{base}/{{name:[^/]+}}", NAMED)):
        app.router.add_route("*", path, _dispatch(table), expect_handler=_expect)
