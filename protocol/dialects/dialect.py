"""What a dialect is: one value with everything that differs between the protocols for resumable uploads.

A dialect reads the headers of a request into the values of model.py, and writes results and refusals as headers.
The routes, the problem documents and CORS use a dialect through this value only. Each dialect is one file beside this
one that ends in one `Dialect`; the table of all of them is in `__init__.py`.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Upload

Headers = Mapping[str, str]


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """A request as a dialect reads it: its headers, and what is known about its body before a byte is read."""

    # Names in lower case.
    headers: Headers
    # The size of the body in bytes; None for a body of unknown size (chunked).
    body_size: int | None = 0
    has_body: bool = False
    # The path of the collection of uploads, as the client sees it.
    path: str = "/files"
    # The host that the client used; None if it isn't known.
    host: str | None = None


class Dialect(Struct, frozen=True, kw_only=True):
    """One protocol for resumable uploads."""

    # The name for people, as in logs and documents.
    name: str
    # The header that a request of this dialect carries. The case of its letters does not matter to aiohttp.
    marker: str
    # The headers that every reply of this dialect carries.
    stamp: Headers
    # A request may carry a header only once if its name begins with one of these; in lower case.
    sent_once: tuple[str, ...]
    # The headers that a page of another origin may send, and those that it may read (CORS).
    cors_requests: frozenset[str]
    cors_replies: frozenset[str]

    # Read a request to create an upload (POST), or to append a body (PATCH). Both raise ClientFault and Denied.
    read_create: Callable[[Request, Limits], CreateRequest]
    read_append: Callable[[Request, Limits], AppendRequest]
    # Check a request that has nothing else to read (HEAD, DELETE). Raises VersionUnsupported.
    check_version: Callable[[Headers], None]

    # Return the headers of a reply: to POST and PATCH, to HEAD, and to OPTIONS (discovery).
    build_upload_headers: Callable[[Upload], dict[str, str]]
    build_head_headers: Callable[[Upload], dict[str, str]]
    build_options_headers: Callable[[Limits], dict[str, str]]

    # Return the headers of a refusal, made from its values.
    build_refusal_headers: Callable[[Refusal], dict[str, str]]

    # What an operator may switch off (--without); the extensions of tus give the features their names.
    features: tuple[str, ...]
    # Return whether a feature is offered with these limits.
    offers: Callable[[Limits, str], bool]
    # Return whether a request that is answered with this status may succeed later.
    is_passing: Callable[[int], bool]
    # Return the status to refuse with, from the refusal's own status and from whether the request asks for an offset.
    choose_status: Callable[[int, bool], int]
