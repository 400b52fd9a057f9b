"""GET /uploads: the uploads of whoever asks, or all of them, page by page, the newest first.

A token, or the access function of an application, says who asks. Without both there is no such route, since anybody
could read the ids of all uploads. A cursor names a place in the list, the time of creation and the id, which never
change. So the pages fit together however many uploads come and go. server/app.py adds the route.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from math import isfinite
from re import ASCII, fullmatch

from aiohttp import web

from onward.protocol.errors import BadRequest, NotFound
from onward.protocol.grants import Act, Grant
from onward.protocol.listing import listed
from onward.protocol.model import ID_PATTERN, Status, UploadId
from onward.server.http.access import check_access
from onward.server.http.app_keys import CONFIG, ENGINE, named_dialect
from onward.server.http.routes import discover, public_url
from onward.storage.base import Cursor

PATH = "/uploads"
USUAL, MOST = 100, 1000  # uploads on a page


def build_cursor(place: Cursor | None) -> str | None:
    """Return a place in the list as clients get it."""
    return None if place is None else urlsafe_b64encode(f"{place.created!r} {place.id}".encode()).decode().rstrip("=")


def parse_cursor(text: str | None) -> Cursor | None:
    """Read a place in the list. Raises BadRequest."""
    if text is None:
        return None
    try:
        created, _, id_ = urlsafe_b64decode(text.encode("ascii") + b"==").decode("ascii").partition(" ")
        place = Cursor(float(created), UploadId(id_))
    except ValueError:
        place = None
    if place is None or not isfinite(place.created) or not fullmatch(ID_PATTERN, place.id, ASCII):
        raise BadRequest("after must be the `next` of an earlier page.")
    return place


def parse_limit(text: str) -> int:
    """Read how many uploads a page may have; more than MOST are no more than that. Raises BadRequest."""
    if not fullmatch(r"[0-9]{1,9}", text, ASCII) or int(text) < 1:
        raise BadRequest("limit must be a number above 0.")
    return min(int(text), MOST)


def parse_statuses(words: Sequence[str]) -> frozenset[Status]:
    """Read statuses, each by itself or joined by commas; all if there are none. Raises BadRequest."""
    try:
        return frozenset(Status(each) for word in words for each in word.split(",")) or frozenset(Status)
    except ValueError:
        raise BadRequest(f"status must be one of {', '.join(Status)}.") from None


def whose(grants: Sequence[Grant]) -> str | None:
    """Return the owner whose uploads may be listed, or None for those of everybody. Raises NotFound."""
    owners = {grant.owner for grant in grants if grant.owner is not None and not grant.is_admin}
    if len(owners) == 1:
        return owners.pop()
    if owners or not any(grant.is_admin for grant in grants):
        raise NotFound
    return None


async def list_uploads(request: web.Request) -> web.Response:
    """GET /uploads?status=…&limit=…&after=…."""
    owner = whose(await check_access(request, Act.LIST, None))
    query, engine = request.query, request.app[ENGINE]
    page = await engine.records.page(
        after=parse_cursor(query.get("after")),
        limit=parse_limit(query.get("limit", str(USUAL))),
        statuses=parse_statuses(query.getall("status", [])),
        owner=owner,
    )
    uploads = [{**listed(upload), "location": _location(request, upload.id)} for upload in page.uploads]
    document: Mapping[str, object] = {"uploads": uploads, "next": build_cursor(page.following)}
    return web.json_response(document, headers={"Cache-Control": "private, no-store"})


def _location(request: web.Request, id: UploadId) -> str:
    """Return the URL of an upload, with the prefix of an application that mounts the server."""
    return public_url(request, f"{request.path.removesuffix(PATH)}{request.app[CONFIG].prefix}/{id}")


async def _discover(request: web.Request) -> web.StreamResponse:
    return await discover(request, named_dialect(request))


def add_listing(app: web.Application) -> None:
    """Add the route of the list."""
    app.router.add_get(PATH, list_uploads, allow_head=False)
    app.router.add_options(PATH, _discover)
