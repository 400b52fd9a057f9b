"""What a dialect is: one value with everything that differs between the protocols for resumable uploads.

A dialect reads the headers of a request into the values of model.py, and writes results and refusals as replies.
The routes, the problem documents and CORS use a dialect through this value only. Each dialect is one file beside this
one that ends in one `Dialect`; the table of all of them is in `__init__.py`. A dialect whose versions differ may have
one `Dialect` for each of them.
"""

import json
from collections.abc import Callable, Mapping

from msgspec import Struct

from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Upload

Headers = Mapping[str, str]
PROBLEM = {
    "Content-Type": "application/problem+json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """A request as a dialect reads it: its headers, and what is known about its body before a byte is read."""

    # Names in lower case.
    headers: Headers
    # The size of the body in bytes; None for a body of unknown size (chunked).
    body_size: int | None = 0
    has_body: bool = False
    # The name of the file if it is in the URL (PUT).
    name: str | None = None
    # Return the path of the collection of uploads as the client sees it, and the host that it used; None for a host
    # that isn't known. Few requests need them, and to find them takes time.
    find_collection: Callable[[], tuple[str, str | None]] = lambda: ("/files", None)


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """A reply as a dialect writes it."""

    status: int
    headers: dict[str, str]
    body: bytes | None = None


def build_problem(
    refusal: Refusal, status: int, headers: dict[str, str], *, type: str | None = None, **members: object
) -> Reply:
    """Write a refusal as a problem document (RFC 9457), with the `type` and the further members of a dialect."""
    document: dict[str, object] = {"type": type or f"urn:onward:error:{refusal.code}", "title": refusal.title}
    document["status"] = status
    if refusal.detail:
        document["detail"] = refusal.detail
    body = json.dumps(document | refusal.members | members | {"code": refusal.code}).encode()
    return Reply(status=status, headers=PROBLEM | headers, body=body)


class Dialect(Struct, frozen=True, kw_only=True):
    """One protocol for resumable uploads.

    Headers that come from the server may be a mapping of aiohttp, which finds a name in any case.
    """

    # The name for people, as in logs and documents.
    name: str
    # Headers without any of which a request is never one of this dialect; to look for them is cheaper than to ask.
    signs: tuple[str, ...]
    # Return whether a request is one of this dialect, from its method and its headers.
    claims: Callable[[str, Headers], bool]
    # The headers that every reply of this dialect carries.
    stamp: Headers
    # A request may carry a header only once if its name begins with one of these; in lower case. The values of any
    # other header that is sent twice are joined, as HTTP has it.
    sent_once: tuple[str, ...]
    # The headers that a page of another origin may send, and those that it may read (CORS).
    cors_requests: frozenset[str]
    cors_replies: frozenset[str]

    # Return the method that a request means, from the one in its first line and from its headers.
    find_method: Callable[[str, Headers], str]
    # Return whether requests with this method are offered with these limits; the routes must know the method as well.
    offers_method: Callable[[str, Limits], bool]

    # Read a request to create an upload, or to append a body (PATCH). Both raise ClientFault and Denied.
    read_create: Callable[[Request, Limits], CreateRequest]
    read_append: Callable[[Request, Limits], AppendRequest]
    # Check a request that has nothing else to read (HEAD, DELETE), by its method and headers. Raises ClientFault.
    check_headers: Callable[[str, Headers], None]

    # Return the reply to a creation (with the URL of the upload), to an append, to HEAD, to DELETE, and to OPTIONS. The
    # last argument is the time, in seconds since the epoch.
    build_created: Callable[[Upload, str, Limits, float], Reply]
    build_appended: Callable[[Upload, Limits, float], Reply]
    build_inspected: Callable[[Upload, Limits, float], Reply]
    build_terminated: Callable[[], Reply]
    build_discovered: Callable[[Limits], Reply]
    # Return the reply to a request that is refused. The second argument says whether it asks, or may ask, for the
    # offset of an upload.
    build_refused: Callable[[Refusal, bool, Limits, float], Reply]
    # Return an informational reply (1xx), which comes before the reply itself: to a creation before its body is read,
    # with the URL of the upload, and after each stride of a body, without it. None if the dialect has no such replies.
    build_interim: Callable[[Upload, str | None, Limits, float], Reply] | None = None
    # Return what a download says about its upload in this dialect. None for nothing.
    build_described: Callable[[Upload, Limits, float], Headers] | None = None

    # What an operator may switch off (--without); the extensions of tus give the features their names.
    features: tuple[str, ...]
    # Return whether a request that is answered with this status may succeed later.
    is_passing: Callable[[int], bool]
    # Whether an upload is finished by its last byte. Otherwise a request says so, and HEAD may tell of an upload whose
    # bytes are all there that it is not finished.
    last_byte_finishes: bool = True
    # Whether a refusal tells of the upload that the request is about.
    tells_when_refused: bool = False
