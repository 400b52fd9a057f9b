"""web.Request -> question -> engine -> headers -> web.Response; no logic of its own."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing

from aiohttp import web

from protocol import tus1
from protocol.errors import BadRequest, Gone, MethodNotAllowed, Refusal
from protocol.headers import build_attachment, build_repr_digest, parse_range
from protocol.model import ID_PATTERN, UploadId
from protocol.progress import file_name
from server.body import RequestBody
from server.config import Config
from server.engine import Engine
from server.proxies import public_origin
from storage.base import Missing, StorageError

ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
CONFIG: web.AppKey[Config] = web.AppKey("config", Config)
UPLOAD = f"/{{id:{ID_PATTERN}}}"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def upload_id(request: web.Request) -> UploadId:
    """Give the id in the URL; the route has checked its form."""
    return UploadId(request.match_info["id"])


def _headers(request: web.Request) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower in headers and lower.startswith(("upload-", "tus-", "content-", "repr-")):
            raise BadRequest(f"{name} was sent twice.")
        headers[lower] = value
    return headers


def _question(request: web.Request) -> tus1.Question:
    size = request.content_length
    chunked = size is None and request.body_exists
    origin = public_origin(request, request.app[CONFIG].trusted_proxies)
    return tus1.Question(
        headers=_headers(request),
        body_size=None if chunked else size or 0,
        has_body=chunked or bool(size),
        path=_collection(request),
        host=origin[1] if origin else None,
    )


def _collection(request: web.Request) -> str:
    """Give the path of the uploads, with that of a mounting application before it."""
    resource = request.match_info.route.resource
    return resource.canonical.removesuffix("/{id}").rstrip("/") if resource else ""


def _location(request: web.Request, id: UploadId) -> str:
    path = f"{_collection(request)}/{id}"
    origin = public_origin(request, request.app[CONFIG].trusted_proxies)
    return f"{origin[0]}://{origin[1]}{path}" if origin else path


def _body(request: web.Request) -> RequestBody:
    config = request.app[CONFIG]
    return RequestBody(request, config.body_idle, config.body_rate)


async def create(request: web.Request) -> web.Response:
    """POST /files."""
    engine = request.app[ENGINE]
    wish = tus1.read_create(_question(request), engine.limits)
    upload = await engine.create(wish, may_wait=tus1.offers(engine.limits, "concatenation-unfinished"))
    location = {"Location": _location(request, upload.id)}
    try:
        upload = await engine.fill(upload, wish, _body(request))
    except Refusal as refusal:
        refusal.headers |= location
        raise
    return web.Response(status=201, headers=location | tus1.tell_stored(upload))


async def append(request: web.Request) -> web.Response:
    """PATCH /files/{id}."""
    wish = tus1.read_append(_question(request), request.app[ENGINE].limits)
    upload = await request.app[ENGINE].append(upload_id(request), wish, _body(request))
    return web.Response(status=204, headers=tus1.tell_stored(upload))


async def inspect(request: web.Request) -> web.Response:
    """HEAD /files/{id}."""
    tus1.check_version(_headers(request))
    upload = await request.app[ENGINE].inspect(upload_id(request))
    return web.Response(status=200, headers=tus1.tell_state(upload))


async def terminate(request: web.Request) -> web.Response:
    """DELETE /files/{id}."""
    tus1.check_version(_headers(request))
    await request.app[ENGINE].terminate(upload_id(request))
    return web.Response(status=204)


async def discover(request: web.Request) -> web.Response:
    """OPTIONS /files and /files/{id}."""
    return web.Response(status=204, headers=tus1.discovery(request.app[ENGINE].limits))


async def download(request: web.Request) -> web.StreamResponse:
    """GET /files/{id}: the whole file or one range of it."""
    engine = request.app[ENGINE]
    upload = await engine.published(upload_id(request))
    sha256, size = upload.sha256 or b"", upload.offset
    etag = f'"{sha256.hex()}"'
    wanted = request.headers.get("Range")
    unchanged = request.headers.get("If-Range", etag) == etag
    part = parse_range(wanted, size) if wanted and unchanged else None
    start, stop = part or (0, size)
    response = web.StreamResponse(
        status=206 if part else 200,
        headers={
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": build_attachment(file_name(upload)),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Content-Type": "application/octet-stream",
            "Cross-Origin-Resource-Policy": "same-origin",
            "ETag": etag,
            "Repr-Digest": build_repr_digest(sha256),
            "X-Content-Type-Options": "nosniff",
        },
    )
    if part:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response.content_length = stop - start
    async with aclosing(engine.read(upload, start, stop)) as blocks:
        try:
            first = await anext(blocks, b"")
        except Missing as fault:
            raise Gone("The bytes are lost.") from fault
        await response.prepare(request)
        await response.write(first)
        try:
            async for block in blocks:
                await response.write(block)
        except StorageError as fault:  # the headers are out: only a broken connection can tell it
            raise ConnectionAbortedError from fault
    await response.write_eof()
    return response


async def _expect(request: web.Request) -> None:
    """Leave `100 Continue` to the body: it is asked for once a licence was given."""
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed


ONE = {"GET": download, "HEAD": inspect, "OPTIONS": discover, "PATCH": append, "DELETE": terminate}
ALL = {"OPTIONS": discover, "POST": create}
NEEDS = {"DELETE": "termination", "POST": "creation"}


def _dispatch(table: Mapping[str, Handler]) -> Handler:
    async def dispatch(request: web.Request) -> web.StreamResponse:
        method = request.headers.get("X-HTTP-Method-Override", request.method)
        limits = request.app[ENGINE].limits
        allowed = {name for name in table if name not in NEEDS or tus1.offers(limits, NEEDS[name])}
        if method not in allowed:
            raise MethodNotAllowed(headers={"Allow": ",".join(sorted(allowed))})
        return await table[method](request)

    return dispatch


def add_routes(app: web.Application) -> None:
    """Add the routes of tus and of downloads.

    Methods are told apart here: X-HTTP-Method-Override replaces the real one (tus 1.0.0) after aiohttp has routed.
    """
    base = app[CONFIG].prefix
    for path, table in ((base, ALL), (f"{base}/", ALL), (base + UPLOAD, ONE)):
        app.router.add_route("*", path, _dispatch(table), expect_handler=_expect)
