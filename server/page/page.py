"""The web page at `/` and its files.

The files are read once, when the application is created, and served from memory. All their URLs are relative, and a
Content-Security-Policy keeps the page from loading anything else. `server/app.py` calls `add_page`.
"""

import hashlib
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path

from aiohttp import web

from onward.protocol.headers import matches_etag
from onward.server.http.app_keys import CONFIG

Handler = Callable[[web.Request], Awaitable[web.Response]]

STATIC = Path(__file__).with_name("static")
INDEX = "index.html"
PLACE = "/page/"  # can't be an upload under the base path /, because ids of uploads are longer
MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # anyone who knows the URL of an upload can write to it
    "X-Content-Type-Options": "nosniff",
}


def _serve(content: bytes, media_type: str) -> Handler:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": etag}

    async def serve(request: web.Request) -> web.Response:
        if matches_etag(request.headers.get("If-None-Match", ""), etag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, headers=headers, content_type=media_type, charset="utf-8")

    return serve


def add_page(app: web.Application) -> None:
    """Add the page and its files. Must come before the routes of uploads: with the base path `/` both are at `/`."""
    config = app[CONFIG]
    if not config.page:
        return
    told = {
        "endpoint": escape(config.prefix.removeprefix("/") or "."),
        "max_request": str(config.max_request or ""),
        "max_size": str(config.max_size or ""),
        "types": escape("" if "*/*" in config.types else ",".join(config.types)),
        "needs_token": " data-needs-token" if config.auth else "",
    }
    for file in filter(Path.is_file, STATIC.rglob("*")):
        content, path = file.read_bytes(), PLACE + file.relative_to(STATIC).as_posix()
        if file.name == INDEX:
            for name, value in told.items():
                content = content.replace(b"{%s}" % name.encode(), value.encode())
            path = "/"
        app.router.add_get(path, _serve(content, MEDIA_TYPES[file.suffix]))
