"""GET of a published file: whole, or one range of it; who doesn't read is let go."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from aiohttp import web

from onward.protocol.errors import Gone
from onward.protocol.headers import build_attachment, build_repr_digest, matches_etag, parse_range
from onward.protocol.model import Upload
from onward.protocol.progress import file_name
from onward.server.http.app_keys import CONFIG, ENGINE, upload_id
from onward.server.http.transport.sendfile import send_file
from onward.server.http.transport.tcp import reset
from onward.storage.base import Missing, StorageError
from onward.storage.running.threads import Threads

TASKS: web.AppKey[set[asyncio.Task[object]]] = web.AppKey("downloads", set)
THREADS: web.AppKey[Threads] = web.AppKey("sending", Threads)
SEND_THREADS = 4
log = logging.getLogger("onward")
SHARE_OF_DRAIN = 0.8  # of the time for a stop, after which what still runs is cut


async def download(request: web.Request) -> web.StreamResponse:
    """GET /files/{id}, and HEAD of it as those who know nothing of tus ask: the same headers, and no body."""
    engine = request.app[ENGINE]
    upload = await engine.published(upload_id(request))
    headers = _headers(upload)
    if matches_etag(request.headers.get("If-None-Match", ""), headers["ETag"]):
        return web.Response(status=304, headers={name: headers[name] for name in ("Cache-Control", "ETag")})
    head = request.method == "HEAD"  # also with an override: an answer to HEAD has no body, whatever is asked for
    wanted = None if head else request.headers.get("Range")  # RFC 9110, 14.2: of GET only
    unchanged = request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
    part = parse_range(wanted, upload.offset) if wanted and unchanged else None
    start, stop = part or (0, upload.offset)
    response = web.StreamResponse(status=206 if part else 200, headers=headers)
    if part:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{upload.offset}"
    response.content_length = stop - start
    async with AsyncExitStack() as stack:
        try:
            file = await stack.enter_async_context(engine.file(upload, stop))
        except Missing as fault:
            raise Gone("The bytes are lost.") from fault
        if head:
            await response.prepare(request)
            return response
        if file is not None:
            request.app[THREADS].ready()  # while a refusal can still be told
        await stack.enter_async_context(_interruptible(request))
        transport = request.transport
        if file is None or transport is None or transport.get_extra_info("sslcontext"):
            await response.prepare(request)
            await _write(response, engine.read(upload, start, stop))
        else:
            transport.set_write_buffer_limits(0)  # so that the headers have left once they are drained
            await response.prepare(request)
            await request.writer.drain()
            await send_file(transport, file, start, stop, request.app[THREADS])
        await response.write_eof()
    return response


def _headers(upload: Upload) -> dict[str, str]:
    sha256 = upload.sha256 or b""
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": build_attachment(file_name(upload)),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Type": "application/octet-stream",
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": f'"{sha256.hex()}"',
        "Repr-Digest": build_repr_digest(sha256),
        "X-Content-Type-Options": "nosniff",
    }


@asynccontextmanager
async def _interruptible(request: web.Request) -> AsyncIterator[None]:
    """Let the end of the server cut a download; once headers are out, only a broken connection can tell of a fault."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    request.app[TASKS].add(task)
    try:
        yield
    except (StorageError, OSError) as fault:  # a TimeoutError is one
        if not isinstance(fault, ConnectionError | TimeoutError):
            log.warning("a download was cut off: %s", fault)
        if request.transport is not None:
            reset(request.transport)
        raise ConnectionAbortedError from fault
    finally:
        request.app[TASKS].discard(task)


async def _write(response: web.StreamResponse, blocks: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(blocks):
        async for block in blocks:
            await response.write(block)


def add_downloads(app: web.Application) -> None:
    """Have downloads cut in time when the server stops."""
    app[TASKS], app[THREADS] = set(), Threads(SEND_THREADS, "send")

    async def stop(_: web.Application) -> None:
        wait = app[CONFIG].drain * SHARE_OF_DRAIN
        for task in app[TASKS]:
            asyncio.get_running_loop().call_later(wait, task.cancel)

    async def close(app: web.Application) -> None:
        app[THREADS].shutdown()

    app.on_shutdown.append(stop)
    app.on_cleanup.append(close)
