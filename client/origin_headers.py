"""The user's own headers. They may be credentials, so they are sent to the origin of the target and to no other."""

from collections.abc import Container, Mapping

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from yarl import URL

AUTHORIZATION = "Authorization"
SCHEMES = {"ws": "http", "wss": "https"}


def adding_headers(headers: Mapping[str, str], target: URL, own: Container[str] = ()) -> ClientMiddlewareType:
    """Return a middleware that adds headers to each request to the target's origin, also after a redirect.

    Headers that the request has of its `own` are not replaced. A middleware is used because aiohttp does not accept
    an Authorization header beside credentials in the URL or in a .netrc; here the header replaces them.
    """
    origin = _origin_of(target)

    async def add(request: ClientRequest, ask: ClientHandlerType) -> ClientResponse:
        if _origin_of(request.url) == origin:
            for name, value in headers.items():
                if name.title() not in own:
                    request.headers[name] = value
        return await ask(request)

    return add


def with_token(headers: Mapping[str, str], token: str | None) -> Mapping[str, str]:
    """Return headers with a token, if there is one; it replaces an Authorization among them."""
    if token is None:
        return headers
    kept = {name: value for name, value in headers.items() if name.title() != AUTHORIZATION}
    return kept | {AUTHORIZATION: f"Bearer {token}"}


def _origin_of(url: URL) -> URL:
    return url.with_scheme(SCHEMES.get(url.scheme, url.scheme)).origin()
