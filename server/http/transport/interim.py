"""Informational replies (RFC 9110, 15.2): `100 Continue`, and those of a dialect.

aiohttp has no public way to send one once the handler runs. They are written past it, and are not counted as a part of
the reply that follows.
"""

from http import HTTPStatus

from aiohttp import HttpVersion11, web

from onward.protocol.dialects import Reply

PHRASES = {status.value: status.phrase for status in HTTPStatus} | {104: "Upload Resumption Supported"}
CONTINUE = Reply(status=100, headers={})


async def send_interim(request: web.Request, reply: Reply) -> None:
    """Send an informational reply to a client of HTTP/1.1; older ones don't know them. Raises ConnectionError."""
    if request.version < HttpVersion11:
        return
    lines = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    await request.writer.write(f"HTTP/1.1 {reply.status} {PHRASES.get(reply.status, '')}\r\n{lines}\r\n".encode())
    request.writer.output_size = 0
