"""Headers that the user gives, which may be credentials: they go to the origin of the target and to no other."""

from collections.abc import Container, Mapping

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from yarl import URL

SCHEMES = {"ws": "http", "wss": "https"}


def giving(headers: Mapping[str, str], target: URL, own: Container[str] = ()) -> ClientMiddlewareType:
    """Add headers to each request to the target's origin, also after a redirect; those of its `own` stay as they are.

    They come before credentials in the URL and in a .netrc, which the HTTP client takes no header beside.
    """
    origin = _origin_of(target)

    async def give(request: ClientRequest, ask: ClientHandlerType) -> ClientResponse:
        if _origin_of(request.url) == origin:
            for name, value in headers.items():
                if name.title() not in own:
                    request.headers[name] = value
        return await ask(request)

    return give


def _origin_of(url: URL) -> URL:
    return url.with_scheme(SCHEMES.get(url.scheme, url.scheme)).origin()
