"""The scheme and host under which the client reached the server: its own, or those that a trusted proxy states.

The routes need them for Location, and watching for the check of the origin.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from aiohttp import web

HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", re.ASCII)
FORWARDED = ("Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For")
UNIX = "unix"
_NODE_PORT = re.compile(r"(?<=[\]0-9]):[0-9]+$", re.ASCII)
Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_trusted(words: Sequence[str]) -> tuple[Networks, bool]:
    """Read addresses and networks, and whether `unix` is among them. Raises ValueError."""
    return tuple(ip_network(word) for word in words if word != UNIX), UNIX in words


def _trusts(trusted: Sequence[str], peer: str | None) -> bool:
    networks, unix = parse_trusted(trusted)
    if not peer:
        return unix
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _forwarded(request: web.Request, trusted: Sequence[str], family: str) -> tuple[str | None, str | None]:
    """Return the scheme and host from the farthest element of the chain that a trusted proxy has written."""
    if family != "forwarded":
        scheme, host = (request.headers.get(f"X-Forwarded-{name}") for name in ("Proto", "Host"))
        return scheme and scheme.rpartition(",")[2].strip(), host and host.rpartition(",")[2].strip()
    scheme = host = None
    for element in reversed(request.forwarded):
        scheme, host = element.get("proto", scheme), element.get("host", host)
        if not _trusts(trusted, _NODE_PORT.sub("", element.get("for", "")).strip("[]") or "?"):
            break
    return scheme, host


def public_origin(request: web.Request, trusted: Sequence[str], family: str) -> tuple[str, str] | None:
    """Return the scheme and host that the client used; None if they aren't known.

    `family` is the kind of headers that the proxies write: `forwarded`, or the X-Forwarded ones. The headers of the
    other kind are ignored, since a proxy may pass them on as a client wrote them.
    """
    if "Host" not in request.headers:
        return None
    scheme, host = request.scheme, request.host
    if any(map(request.headers.__contains__, FORWARDED)):
        if not _trusts(trusted, request.remote):
            return None
        stated_scheme, stated_host = _forwarded(request, trusted, family)
        scheme, host = (stated_scheme or scheme).lower(), stated_host or host
    elif not request.raw_path.startswith(("/", "*")):
        return None
    return (scheme, host) if scheme in ("http", "https") and HOST.fullmatch(host) else None
