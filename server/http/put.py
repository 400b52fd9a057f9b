"""PUT /files/{name}: one request that brings one file, as `curl -T` sends it. The routes call `put_file`."""

from collections.abc import Callable

from aiohttp import web

from onward.protocol.dialects import Request
from onward.protocol.errors import Unchecked
from onward.protocol.headers import build_repr_digest
from onward.protocol.model import Upload, UploadId
from onward.protocol.plain import read_put
from onward.protocol.progress import progress
from onward.server.http.access import granted_creation
from onward.server.http.app_keys import ENGINE
from onward.server.http.transport.body import take_whole
from onward.server.uploads.create_once import create_once
from onward.server.uploads.receive import Body
from onward.server.uploads.short_uploads import MemoryBody
from onward.server.uploads.single_request import receive_whole

JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def put_file(
    request: web.Request, asked: Request, body: Body, location: Callable[[UploadId], str]
) -> web.Response:
    """Store the body as a file of the name in the path; raises what `read_put`, access and `receive_whole` raise."""
    engine = request.app[ENGINE]
    creation, limits = await granted_creation(request, read_put(asked, last_segment(request)))
    whole = await take_whole(request, engine.short.most)
    created = await create_once(engine, creation, limits=limits, resumable=False, whole=whole)
    upload, where = created.upload, {"Location": location(created.upload.id)}
    try:
        if created.new:
            brought = MemoryBody(whole, body) if whole else body
            upload = await receive_whole(engine, upload, brought, size=creation.body_size, limits=limits)
    except Unchecked as held:  # it is whole, and will be published there
        held.headers |= where
        raise
    return web.Response(status=201, headers=_headers(upload) | where, body=progress(upload).json.encode())


def last_segment(request: web.Request) -> bytes:
    """Return the last segment of the path, as it was sent."""
    return request.rel_url.raw_path.rpartition("/")[2].encode(errors="surrogateescape")


def _headers(upload: Upload) -> dict[str, str]:
    headers = JSON | {"Repr-Digest": build_repr_digest(upload.sha256 or b"")}
    return headers if upload.url is None else headers | {"Content-Location": upload.url}
