"""What is read from the head of a request before its handler runs: its headers for a dialect, and what is offered.

The routes use it for every request, and `fast_heads.py` for those that it answers.
"""

from collections.abc import Mapping

from aiohttp import HttpVersion, HttpVersion11
from multidict import MultiMapping

from onward.protocol.dialects import DEFAULT, Dialect
from onward.protocol.errors import BadRequest
from onward.protocol.model import Limits
from onward.server.http.proxies import HOST


def read_headers(headers: MultiMapping[str], dialect: Dialect) -> Mapping[str, str]:
    """Return the headers with their names in lower case, as a dialect reads them.

    Raises BadRequest if one is sent twice that may be sent once only.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower not in found:
            found[lower] = value
        elif lower.startswith(dialect.sent_once):
            raise BadRequest(f"{name} was sent twice.")
        else:
            found[lower] += f", {value}"
    return found


def check_message(headers: MultiMapping[str], version: HttpVersion) -> None:
    """Refuse a message that a proxy may read differently (RFC 9112, 3.2 and 6.1). Raises BadRequest."""
    if not HOST.fullmatch(headers.get("Host", "none")):
        raise BadRequest("Host must be a name or an address, and a port.")
    coding = headers.get("Transfer-Encoding")
    if coding is not None and (coding.lower() != "chunked" or version < HttpVersion11):
        raise BadRequest("The only supported Transfer-Encoding is chunked, of HTTP/1.1.")


def offers(named: Dialect | None, method: str, limits: Limits) -> bool:
    """Return whether a method is offered. A plain PUT names no dialect, and is a creation."""
    if named is None and method == "PUT":
        return DEFAULT.offers_method("POST", limits)
    return (named or DEFAULT).offers_method(method, limits)
