"""Follows an upload over its WebSocket until it ends, through whatever interrupts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import aiohttp
import msgspec
from yarl import URL

from client.answers import is_passing, parse_url, retry_after
from client.errors import Interrupted, Refused
from client.faults import translated
from client.model import RETRY_FOR, Message
from client.patience import Patience

HEARTBEAT = 20.0  # seconds; a server that says nothing for longer is gone
CONNECT_WAIT = 15.0
ANSWER_WAIT = 30.0  # seconds until a watcher is let in; after that the heartbeat counts
LARGEST_MESSAGE = 2**20


async def watch(
    url: str, *, retry_for: float = RETRY_FOR, on_trouble: Callable[[str], None] | None = None
) -> AsyncGenerator[Message, None]:
    """Follow an upload, named by its URL or that of its progress, to its end; raises UploadError."""
    async with aclosing(follow(url, retry_for=retry_for, on_trouble=on_trouble)) as texts:
        async for text in texts:
            yield parse_message(text)


async def follow(
    url: str, *, retry_for: float = RETRY_FOR, on_trouble: Callable[[str], None] | None = None
) -> AsyncGenerator[str, None]:
    """Give the messages of an upload as they come, each newer than the one before; raises UploadError."""
    place, patience, seq = _progress_of(url), Patience(retry_for), -1
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WAIT, sock_read=ANSWER_WAIT)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
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
                seconds = patience.wait(fault)
                if on_trouble is not None:
                    on_trouble(f"{fault}; comes back in {seconds:.1f} s")
                await asyncio.sleep(seconds)


def _progress_of(url: str) -> URL:
    place = parse_url(url)
    if place.scheme not in ("http", "https", "ws", "wss") or not place.host:
        raise Refused(f"{url} is no URL of HTTP")
    if len(place.query.getall("id", [])) > 1:
        raise Refused(f"{url} tells of several uploads; watch each by its own URL")
    return place if place.path.rstrip("/").endswith("/progress") else place / "progress"


def parse_message(text: str) -> Message:
    """Read a progress message; raises Refused."""
    try:
        return msgspec.json.decode(text, type=Message)
    except msgspec.DecodeError:
        raise Refused("this is no progress message of an upload") from None


async def _messages(session: aiohttp.ClientSession, place: URL) -> AsyncGenerator[str, None]:
    """Give the messages of one connection; raises Interrupted or Refused."""
    with translated():
        try:
            async with session.ws_connect(place, heartbeat=HEARTBEAT, max_msg_size=LARGEST_MESSAGE) as ws:
                async for message in ws:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.data
        except aiohttp.WSServerHandshakeError as error:
            sentence = f"the server answers {error.status}"
            if is_passing(error.status):
                asked = error.headers.get("Retry-After", "") if error.headers else ""
                raise Interrupted(sentence, retry_after(asked)) from error
            raise Refused(f"it can't be watched: {sentence}", error.status) from error
