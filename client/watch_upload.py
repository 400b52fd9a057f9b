"""Follows an upload over its WebSocket until it ends, and reconnects whenever the connection is lost.

Applications call `watch`, which yields messages. The command `onward watch` calls `follow`, which yields their text.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from onward.client.answers import judge
from onward.client.errors import Interrupted, Refused, Unreached, UploadMissing
from onward.client.link import read_watched
from onward.client.model import RETRY_FOR, Message
from onward.client.origin_headers import adding_headers, with_token
from onward.client.retry import Backoff, Reach
from onward.client.transport_errors import CONNECT_WAIT, translated
from onward.client.trust import trusting
from onward.client.urls import parse_target, without_secrets

HEARTBEAT = 20.0  # seconds between two pings; a server that does not answer one is gone
ANSWER_WAIT = 30.0  # seconds until the WebSocket must be open; from then on the heartbeat counts
LARGEST_MESSAGE = 2**20
LONGEST_REASON = 2**13  # bytes read of the body of a refusal
SWITCHING_PROTOCOLS = 101
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HANDSHAKE = frozenset({"Connection", "Host", "Upgrade"})  # headers that the user can't replace

OnTrouble = Callable[[str, float], None]


async def watch(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
    cacert: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    retry_for: float = RETRY_FOR,
    on_trouble: Callable[[str], None] | None = None,
) -> AsyncGenerator[Message, None]:
    """Follow an upload, given by its URL or the URL of its progress, to its end; raises UploadError.

    The headers and the token are sent to the origin of the URL and to no other; a link that `onward grant` prints for
    one upload has the token already. `cacert` is a file of certificates to trust, and `insecure` accepts every one.
    `on_trouble` gets a sentence whenever the connection
    is lost.
    """

    def report(reason: str, seconds: float) -> None:
        if on_trouble is not None:
            on_trouble(f"{reason}; trying again in {seconds:.1f} s")

    link = read_watched(url)
    own_headers = with_token(headers or {}, link.token or token)
    trusted = trusting(None if cacert is None else Path(cacert), insecure=insecure)
    following = follow(link.url, headers=own_headers, trusted=trusted, retry_for=retry_for, on_trouble=report)
    async with aclosing(following) as texts:
        async for text in texts:
            yield parse_message(text)


async def follow(
    url: str,
    *,
    headers: Mapping[str, str],
    trusted: ssl.SSLContext | bool = True,
    retry_for: float,
    on_trouble: OnTrouble,
) -> AsyncGenerator[str, None]:
    """Yield the text of each message, newer than the one before; raises UploadError."""
    place, backoff, reach, newest = parse_progress_url(url), Backoff(retry_for), Reach(), (-1, -1)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WAIT, sock_read=ANSWER_WAIT)
    middlewares = [_judging(place, reach), adding_headers(headers, place, HANDSHAKE)]
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=True, middlewares=middlewares
    ) as session:
        while True:
            try:
                async with aclosing(_messages(session, place)) as messages:
                    async for text in messages:
                        backoff.progressed()
                        message = parse_message(text)
                        if message.order > newest:
                            newest = message.order
                            yield text
                        if message.final:
                            return
                raise Interrupted("the server ended the connection")
            except Interrupted as fault:
                known = Interrupted(str(fault)) if isinstance(fault, Unreached) and reach.made else fault
                seconds = backoff.wait(known)
                on_trouble(str(fault), seconds)
                await asyncio.sleep(seconds)


def parse_progress_url(url: str) -> URL:
    """Return where the progress of an upload is, from the URL of either; raises Refused."""
    place = parse_target(url, "http", "https", "ws", "wss")
    if len(place.query.getall("id", [])) > 1:
        raise Refused(f"{url!r} is the progress of several uploads; watch each by its own URL")
    return place if place.path.rstrip("/").endswith("/progress") else place / "progress"


def parse_message(text: str) -> Message:
    """Read a progress message; raises Refused."""
    try:
        return msgspec.json.decode(text, type=Message)
    except msgspec.DecodeError:
        raise Refused("the server sent something that is not a progress message") from None


async def _messages(session: aiohttp.ClientSession, place: URL) -> AsyncGenerator[str, None]:
    """Yield the messages of one connection; raises Interrupted or Refused."""
    with translated(place):
        try:
            async with session.ws_connect(place, heartbeat=HEARTBEAT, max_msg_size=LARGEST_MESSAGE) as ws:
                async for message in ws:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.data
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(f"the server answers {error.status}, and opens no WebSocket", error.status) from error
        except UploadMissing as missing:
            raise Refused(str(missing)) from None


def _judging(place: URL, reach: Reach) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that judges each answer while its body can be read; a WebSocket error has no body."""

    async def judge_answer(request: aiohttp.ClientRequest, ask: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        answer = await ask(request)
        reach.made = True
        if answer.status != SWITCHING_PROTOCOLS and answer.status not in REDIRECTS and not answer.ok:
            try:
                reason = await answer.content.read(LONGEST_REASON)
            finally:
                answer.close()
            redirected = request.url.path != place.path  # then the reason has to name the URL that refused
            asked = f"GET {without_secrets(request.url)}" if redirected else ""
            judge(answer.status, answer.headers, reason, asked)
        return answer

    return judge_answer
