"""GET of a published file: the whole file, or one range of it. The routes call `download`.

On a plain connection the kernel sends the file (`transport/sendfile.py`); over TLS, and from a store without files, the
blocks pass through this process. A client that stops reading is reset, and a stop of the server cuts what still runs.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from aiohttp import web

from onward.protocol.errors import Gone
from onward.protocol.headers import build_disposition, build_repr_digest, matches_etag, parse_range
from onward.protocol.model import Upload
from onward.protocol.progress import file_name
from onward.server.http.app_keys import CONFIG, ENGINE, upload_id
from onward.server.http.transport.sendfile import send_file
from onward.server.http.transport.tcp import reset
from onward.server.uploads.checks.types import TEXT, is_shown
from onward.storage.base import Missing, StorageError
from onward.storage.running.threads import Threads

SEND_THREADS = 4
log = logging.getLogger("onward")


class Downloads:
    """The downloads of one application: the requests that run, and the threads that send files."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[object]] = set()
        self.threads = Threads(SEND_THREADS, "send")

    def cut_after(self, seconds: float) -> None:
        """Cancel the downloads that run now, if they still run after so many seconds."""
        for task in self.running:
            asyncio.get_running_loop().call_later(seconds, task.cancel)

    def close(self) -> None:
        """End the threads, after what they send now."""
        self.threads.shutdown()


DOWNLOADS: web.AppKey[Downloads] = web.AppKey("downloads", Downloads)


async def download(
    request: web.Request, describe: Callable[[Upload], Mapping[str, str]] | None = None
) -> web.StreamResponse:
    """GET /files/{id}, and HEAD without `Tus-Resumable`: the same headers, and no body.

    `describe` returns what else is said about the upload.
    Raises Gone if the bytes are missing, and what `Engine.published` and `parse_range` raise.
    """
    engine = request.app[ENGINE]
    upload = await engine.published(upload_id(request))
    headers = _headers(upload, request.app[CONFIG].inline) | (dict(describe(upload)) if describe else {})
    if request.app[CONFIG].download == "redirect":
        location = upload.url or await engine.link(upload, headers["Content-Disposition"])
        if location is not None:
            return web.Response(status=302, headers={"Location": location, "Cache-Control": "private, no-cache"})
    if matches_etag(request.headers.get("If-None-Match", ""), headers["ETag"]):
        return web.Response(status=304, headers={name: headers[name] for name in ("Cache-Control", "ETag")})
    head = request.method == "HEAD"  # the real method, not the override: an answer to HEAD never has a body
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
            request.app[DOWNLOADS].threads.ready()  # a refusal must come before the headers
        await stack.enter_async_context(_interruptible(request))
        transport = request.transport
        if file is None or transport is None or transport.get_extra_info("sslcontext"):
            await response.prepare(request)
            await _write(response, engine.read(upload, start, stop))
        else:
            transport.set_write_buffer_limits(0)  # so that drain waits until the headers are sent
            await response.prepare(request)
            await request.writer.drain()
            await send_file(transport, file, start, stop, request.app[DOWNLOADS].threads)
        await response.write_eof()
    return response


def _headers(upload: Upload, inline: Sequence[str]) -> dict[str, str]:
    """Return the headers of a download, which browsers show only if its recognised type is one of `inline`."""
    sha256, kind, media_type = upload.sha256 or b"", "attachment", "application/octet-stream"
    if upload.content_type is not None and is_shown(upload.content_type, inline):
        kind, media_type = "inline", upload.content_type
        media_type += "; charset=utf-8" if media_type == TEXT else ""
    location = {} if upload.url is None else {"Content-Location": upload.url}
    return location | {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": build_disposition(kind, file_name(upload)),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Type": media_type,
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": f'"{sha256.hex()}"',
        "Repr-Digest": build_repr_digest(sha256),
        "X-Content-Type-Options": "nosniff",
    }


@asynccontextmanager
async def _interruptible(request: web.Request) -> AsyncIterator[None]:
    """Note a download as running; on a fault, reset its connection, since the headers may have been sent already.

    Raises ConnectionAbortedError then.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    request.app[DOWNLOADS].running.add(task)
    try:
        yield
    except (StorageError, OSError) as fault:  # a TimeoutError is an OSError
        if not isinstance(fault, ConnectionError | TimeoutError):
            log.warning("a download was cut off: %s", fault)
        if request.transport is not None:
            reset(request.transport)
        raise ConnectionAbortedError from fault
    finally:
        request.app[DOWNLOADS].running.discard(task)


async def _write(response: web.StreamResponse, blocks: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(blocks):
        async for block in blocks:
            await response.write(block)
