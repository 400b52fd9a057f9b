"""Where the client reached the server: at its own scheme and host, or at those that a trusted proxy states.

The operator may also name it (`--public-base`). The routes need it for Location, and watching for the check of origins.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Protocol

from aiohttp import web
from multidict import MultiMapping

HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", re.ASCII)
FORWARDED = ("Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Prefix")
TRACES = (*FORWARDED, "Via", "X-Real-IP")
LONGEST_PREFIX = 200  # characters
LONGEST_NODE = 45  # characters of an address
UNIX = "unix"
_BASE = re.compile(r"(https?)://([^/?#@]+)(/[^?#]*)?", re.ASCII | re.IGNORECASE)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?", re.ASCII)
_NODE_PORT = re.compile(r"(?<=[\]0-9]):[0-9]+$", re.ASCII)
Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_trusted(words: Sequence[str]) -> tuple[Networks, bool]:
    """Read addresses and networks, and whether `unix` is among them. Raises ValueError."""
    return tuple(ip_network(word) for word in words if word != UNIX), UNIX in words


class Public(NamedTuple):
    """Where clients reach the server."""

    scheme: str
    host: str
    prefix: str = ""  # the path before the server's own paths, without a slash at its end


def parse_base(text: str) -> Public:
    """Read a URL of a scheme, a host and perhaps a path, such as https://files.example/api. Raises ValueError."""
    found = _BASE.fullmatch(text)
    if not found or not HOST.fullmatch(found[2]):
        raise ValueError(f"{text!r} is not a URL such as https://files.example or https://app.example/api")
    return Public(found[1].lower(), found[2], _read_prefix(found[3] or ""))


def _read_prefix(path: str) -> str:
    """Read a path of safe characters; raises ValueError."""
    if len(path) > LONGEST_PREFIX or not _PREFIX.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError(f"{path!r} is not a path such as /api")
    return path.rstrip("/")


def _trusts(trusted: Sequence[str], peer: str | None) -> bool:
    networks, unix = parse_trusted(trusted)
    if not peer:
        return unix
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _trusts_node(trusted: Sequence[str], node: str) -> bool:
    """Return whether an element of a chain names a trusted proxy, perhaps with a port."""
    return _trusts(trusted, _NODE_PORT.sub("", node).strip("[]") or "?")


class Forwarding(Protocol):
    """What is seen of a request: its peer, and what proxies state in its headers."""

    @property
    def remote(self) -> str | None:
        """The address of the peer."""

    @property
    def headers(self) -> MultiMapping[str]:
        """The headers."""

    @property
    def forwarded(self) -> Sequence[Mapping[str, str]]:
        """The elements of `Forwarded`."""


class Addressed(Forwarding, Protocol):
    """What is seen of the URL of a request besides."""

    @property
    def scheme(self) -> str:
        """`https` for a connection with TLS."""

    @property
    def host(self) -> str:
        """The value of Host."""

    @property
    def raw_path(self) -> str:
        """The target of the request as the client wrote it."""


def client_of(request: Forwarding, trusted: Sequence[str], family: str) -> str:
    """Return the address of the client: that of the peer or, if that is a trusted proxy, the one that it states."""
    peer = request.remote or ""
    if not trusted or not any(map(request.headers.__contains__, FORWARDED)) or not _trusts(trusted, peer):
        return peer or UNIX
    nodes = [element.get("for", "") for element in request.forwarded]
    for node in reversed(nodes if family == "forwarded" else _values(request, "X-Forwarded-For")):
        peer = _NODE_PORT.sub("", node).strip("[]")
        if not _trusts(trusted, peer or "?"):
            break
    return ascii(peer[:LONGEST_NODE])[1:-1] or UNIX


def _forwarded(request: Forwarding, trusted: Sequence[str]) -> tuple[str, str, str]:
    """Return the scheme and host from the farthest element of Forwarded that a trusted proxy has written."""
    scheme = host = ""
    for element in reversed(request.forwarded):
        scheme, host = element.get("proto", scheme), element.get("host", host)
        if not _trusts_node(trusted, element.get("for", "")):
            break
    return scheme, host, ""


def _x_forwarded(request: Forwarding, trusted: Sequence[str]) -> tuple[str, str, str]:
    """Return the scheme, host and prefix that the farthest trusted proxy has written into X-Forwarded headers.

    Each proxy adds the address of its client to X-Forwarded-For. So the trusted addresses at the right end of that
    header are the proxies behind the farthest one, and each may have added a value to the other headers too.
    """
    behind = 0
    for node in reversed(_values(request, "X-Forwarded-For")):
        if not _trusts_node(trusted, node):
            break
        behind += 1

    def stated(name: str) -> str:
        values = _values(request, name)
        return values[-min(behind + 1, len(values))] if values else ""

    return stated("X-Forwarded-Proto"), stated("X-Forwarded-Host"), stated("X-Forwarded-Prefix")


def _values(request: Forwarding, name: str) -> list[str]:
    return [value.strip() for line in request.headers.getall(name, []) for value in line.split(",")]


def is_forwarded(request: web.Request) -> bool:
    """Return whether the headers of a request show that a proxy has passed it on, whether that is trusted or not."""
    return any(map(request.headers.__contains__, TRACES))


def public_origin(request: Addressed, trusted: Sequence[str], family: str, base: str = "") -> Public | None:
    """Return where the client has reached the server; None if that isn't known.

    `base` is the URL that the operator names, which wins. `family` is the kind of headers that the proxies write:
    `forwarded`, or the X-Forwarded ones. The headers of the other kind are ignored, since a proxy may pass them on as a
    client wrote them.
    """
    if base:
        return parse_base(base)
    if "Host" not in request.headers:
        return None
    scheme, host, prefix = request.scheme, request.host, ""
    if any(map(request.headers.__contains__, FORWARDED)):
        if not _trusts(trusted, request.remote):
            return None
        stated_scheme, stated_host, stated_prefix = (_forwarded if family == "forwarded" else _x_forwarded)(
            request, trusted
        )
        scheme, host = (stated_scheme or scheme).lower(), stated_host or host
        try:
            prefix = _read_prefix(stated_prefix)
        except ValueError:
            return None
    elif not request.raw_path.startswith(("/", "*")):
        return None
    return Public(scheme, host, prefix) if scheme in ("http", "https") and HOST.fullmatch(host) else None


def url_of(origin: Public | None, path: str) -> str:
    """Return the URL of a path of this server as the client sees it; the bare path if that is not known."""
    return f"{origin.scheme}://{origin.host}{origin.prefix}{path}" if origin else path
