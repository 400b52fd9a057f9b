"""Follows an upload over its WebSocket until it ends, through whatever interrupts."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import aiohttp
import msgspec
from yarl import URL

from onward.client.answers import judge, parse_target, shown
from onward.client.errors import Gone, Interrupted, Refused, Unreached
from onward.client.model import RETRY_FOR, Message
from onward.client.origin_headers import giving
from onward.client.retry import Patience, Reach
from onward.client.transport_errors import CONNECT_WAIT, translated

HEARTBEAT = 20.0  # seconds; a server that says nothing for longer is gone
ANSWER_WAIT = 30.0  # seconds until a watcher is let in; after that the heartbeat counts
LARGEST_MESSAGE = 2**20
LONGEST_REASON = 2**13  # bytes read of the body of a refusal
SWITCHING = 101
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HANDSHAKE = frozenset({"Connection", "Host", "Upgrade"})

OnTrouble = Callable[[str, float], None]


async def watch(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    retry_for: float = RETRY_FOR,
    on_trouble: Callable[[str], None] | None = None,
) -> AsyncGenerator[Message, None]:
    """Follow an upload, given by its URL or that of its progress, to its end; raises UploadError.

    The headers go to the origin of the URL and to no other.
    """

    def tell(reason: str, seconds: float) -> None:
        if on_trouble is not None:
            on_trouble(f"{reason}; trying again in {seconds:.1f} s")

    async with aclosing(follow(url, headers=headers or {}, retry_for=retry_for, on_trouble=tell)) as texts:
        async for text in texts:
            yield parse_message(text)


async def follow(
    url: str, *, headers: Mapping[str, str], retry_for: float, on_trouble: OnTrouble
) -> AsyncGenerator[str, None]:
    """Give the messages of an upload as they come, each newer than the one before; raises UploadError."""
    place, patience, reach, seq = _progress_of(url), Patience(retry_for), Reach(), -1
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WAIT, sock_read=ANSWER_WAIT)
    middlewares = [_judging(place, reach), giving(headers, place, HANDSHAKE)]
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True, middlewares=middlewares) as session:
        while True:
            try:
                async with aclosing(_messages(session, place)) as messages:
                    async for text in messages:
                        patience.progressed()
                        message = parse_message(text)
                        if message.seq > seq:
                            seq = message.seq
                            yield text
                        if message.final:
                            return
                raise Interrupted("the server ended the connection")
            except Interrupted as fault:
                known = Interrupted(str(fault)) if isinstance(fault, Unreached) and reach.made else fault
                seconds = patience.wait(known)
                on_trouble(str(fault), seconds)
                await asyncio.sleep(seconds)


def _progress_of(url: str) -> URL:
    place = parse_target(url, "http", "https", "ws", "wss")
    if len(place.query.getall("id", [])) > 1:
        raise Refused(f"{url} is the progress of several uploads; watch each by its own URL")
    return place if place.path.rstrip("/").endswith("/progress") else place / "progress"


def parse_message(text: str) -> Message:
    """Read a progress message; raises Refused."""
    try:
        return msgspec.json.decode(text, type=Message)
    except msgspec.DecodeError:
        raise Refused("the server sent something that is no progress message of an upload") from None


async def _messages(session: aiohttp.ClientSession, place: URL) -> AsyncGenerator[str, None]:
    """Give the messages of one connection; raises Interrupted or Refused."""
    with translated(place):
        try:
            async with session.ws_connect(place, heartbeat=HEARTBEAT, max_msg_size=LARGEST_MESSAGE) as ws:
                async for message in ws:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.data
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(f"the server answers {error.status}, and opens no WebSocket", error.status) from error
        except Gone as gone:
            raise Refused(str(gone)) from None


def _judging(place: URL, reach: Reach) -> aiohttp.ClientMiddlewareType:
    """Judge each answer while its body can still be read; the error of a WebSocket has no body."""

    async def look(request: aiohttp.ClientRequest, ask: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        answer = await ask(request)
        reach.made = True
        if answer.status != SWITCHING and answer.status not in REDIRECTS and not answer.ok:
            try:
                reason = await answer.content.read(LONGEST_REASON)
            finally:
                answer.close()
            asked = "" if request.url.path == place.path else f"GET {shown(request.url)}"  # it was redirected
            judge(answer.status, answer.headers, reason, asked)
        return answer

    return look
