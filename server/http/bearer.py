"""The token of a request (RFC 6750): in the header Authorization, or in the query of a GET.

The query is for what can send no headers: WebSockets, Server-Sent Events and downloads in a browser.
"""

from aiohttp import web

from onward.protocol.errors import InvalidToken, NoToken

SCHEME = "bearer"
PARAMETER = "token"


def find_token(request: web.Request, *, reads: bool) -> str:
    """Return the token of a request; `reads` if it only reads something. Raises NoToken or InvalidToken."""
    asked = request.query.getall(PARAMETER, ()) if request.query_string else ()
    if asked and not (reads and request.method == "GET"):
        raise InvalidToken("Only GET may have its token in the query.")
    headers = request.headers.getall("Authorization", ())
    if len(headers) > 1:
        raise InvalidToken("Authorization was sent twice.")
    tokens = {*asked} if asked else set[str]()
    for header in headers:
        scheme, _, token = header.partition(" ")
        if scheme.lower() == SCHEME:
            if not asked:
                return token
            tokens.add(token)
    if not tokens:
        raise NoToken
    if len(tokens) > 1:
        raise InvalidToken("The request has two tokens.")
    return tokens.pop()
