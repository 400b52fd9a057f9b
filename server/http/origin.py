"""Which web pages may watch, and may send forms. The progress routes ask before they open a WebSocket.

A browser lets any page open a WebSocket to any server, and send it a form, without asking the server before, and sends
the user's cookies along. So the server itself has to refuse pages of foreign origins.
"""

from aiohttp import web

from onward.protocol.errors import ForeignOrigin
from onward.server.http.app_keys import CONFIG
from onward.server.http.cors import EVERY, parse_origins
from onward.server.http.proxies import public_origin

OWN_SITES = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site; none: typed by the user
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _own(request: web.Request) -> str | None:
    config = request.app[CONFIG]
    own = public_origin(request, config.trusted_proxies, config.proxy_headers, config.public_base)
    return f"{own.scheme}://{own.host.lower().removesuffix(DEFAULT_PORTS[own.scheme])}" if own else None


def check_sole_origin(request: web.Request) -> None:
    """Refuse a request with several origins: a proxy may have judged another one of them; raises ForeignOrigin."""
    if len(request.headers.getall("Origin", [])) > 1:
        raise ForeignOrigin


def check_origin(request: web.Request) -> None:
    """Refuse a page of another origin than the server's own and `--cors-origins`; raises ForeignOrigin.

    Behind a proxy that is not trusted, the scheme of the server is unknown, and the host alone decides. A request
    without Origin is allowed: it does not come from a browser.
    """
    origin = request.headers.get("Origin", "").lower()
    allowed = parse_origins(request.app[CONFIG].cors_origins)
    if "Origin" not in request.headers or EVERY in allowed or origin in allowed:
        return
    own = _own(request)
    if origin != own if own else origin.partition("://")[2] != request.host.lower():
        raise ForeignOrigin


def check_form_origin(request: web.Request) -> None:
    """Refuse a form that a browser sends from a page of another origin; raises ForeignOrigin.

    `Sec-Fetch-Site` is the browser's own word, which no page can change; it also tells a page of this server that
    hides its origin (`Referrer-Policy: no-referrer`) from one of another site.
    """
    check_sole_origin(request)
    site = request.headers.get("Sec-Fetch-Site", "")
    if site in OWN_SITES:
        return
    if site and "Origin" not in request.headers:
        raise ForeignOrigin
    check_origin(request)
