"""Answers to requests that never reach a handler: broken HTTP, and a connection too many.

`connection.py` sends them. They are problem documents, as all other refusals are; aiohttp's own answers are plain text
that repeats the request.
"""

from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from onward.protocol.dialects import DEFAULT
from onward.protocol.errors import BadRequest, Crowded, HeadTooLarge, Refusal, ServerFault
from onward.server.http.problems import problem


def refusal_of(fault: BaseException | None) -> Refusal:
    """Return the refusal for what aiohttp's parser, or a handler, has raised."""
    if isinstance(fault, LineTooLong):
        return HeadTooLarge()
    if isinstance(fault, HttpProcessingError):
        return BadRequest("The request is not valid HTTP/1.1.")
    return ServerFault()


def _write_crowded() -> bytes:
    """Write the answer to a connection beyond the limit. Its request is not read; it may be a HEAD for an offset."""
    response = problem(Crowded("There are too many connections from this address."), for_offset=True)
    body = response.text or ""
    stamp = "".join(f"{name}: {value}\r\n" for name, value in DEFAULT.stamp.items())
    return (
        f"HTTP/1.1 {response.status} {response.reason}\r\n"
        f"Content-Type: {response.content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Retry-After: {response.headers['Retry-After']}\r\n{stamp}Connection: close\r\n\r\n{body}"
    ).encode()


CROWDED = _write_crowded()
