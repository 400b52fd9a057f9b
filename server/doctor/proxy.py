"""The doctor uploads a little through the proxy, as clients do, and removes it again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from onward.server.doctor.finding import Finding, judge_clock

ABOUT = "proxy"
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = {"Content-Type": "application/offset+octet-stream"}
SIZE = 2**20  # bytes of the upload; the first half is sent, then the doctor looks whether it has arrived
LARGE = 2**40  # bytes of a body that is announced, and never sent
ARRIVES_WITHIN, ANSWERS_WITHIN = 4.0, 15.0  # seconds


async def look_at_proxy(url: str, token: str) -> AsyncIterator[Finding]:
    """Yield what is found between here and the server whose uploads are created at a URL."""
    headers = TUS | ({"Authorization": f"Bearer {token}"} if token else {})
    timeout = aiohttp.ClientTimeout(total=ANSWERS_WITHIN)
    location: URL | None = None
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        try:
            async with http.post(url, headers={"Upload-Length": str(SIZE)}, allow_redirects=False) as answer:
                if answer.status != 201:
                    yield Finding(
                        "problem",
                        ABOUT,
                        f"A creation at {url} is answered {answer.status}: check the path, the token (--token), "
                        "and what the proxy passes on.",
                    )
                    return
                told, date = answer.headers.get("Location", ""), answer.headers.get("Date")
            if date:
                yield judge_clock(url, time.time() - parsedate_to_datetime(date).timestamp())
            location = URL(url).join(URL(told))
            yield _judge_location(URL(url), URL(told))
            location = location if location.origin() == URL(url).origin() else URL(url).join(location.relative())
            yield await _head(http, location)
            yield await _limit(http, location)
            yield await _watching(http, location)
            yield await _buffering(http, location)
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            yield Finding(
                "problem",
                ABOUT,
                f"{url} does not answer as it should ({fault or 'too late'}): check the address, the "
                "certificate, and that the server runs.",
            )
        finally:
            if location is not None:
                with suppress(aiohttp.ClientError, TimeoutError):
                    await http.delete(location)


def _judge_location(asked: URL, told: URL) -> Finding:
    if told.absolute and told.origin() != asked.origin():
        return Finding(
            "problem", ABOUT, f"Location names {told.origin()} instead of {asked.origin()}: have the proxy send "
                "X-Forwarded-Proto and X-Forwarded-Host, and name it with --trusted-proxies, or set "
                "--public-base.",
        )  # fmt: skip
    if not told.absolute:
        return Finding(
            "warning",
            ABOUT,
            "Location is a path, since the proxy is not trusted: name it with --trusted-proxies, "
            "so that limits by address and the log know the clients.",
        )
    return Finding("ok", ABOUT, "Location names the host that was asked.")


async def _head(http: aiohttp.ClientSession, location: URL) -> Finding:
    async with http.head(location) as answer:
        if answer.status == 200 and answer.headers.get("Upload-Offset") == "0":
            return Finding("ok", ABOUT, "HEAD tells the offset.")
        return Finding(
            "problem",
            ABOUT,
            f"HEAD is answered {answer.status} without the offset: the proxy must pass HEAD on as "
            "it is, and cache nothing.",
        )


async def _limit(http: aiohttp.ClientSession, location: URL) -> Finding:
    """Announce a large body at a wrong offset: the server refuses it unsent, and a limit before that."""

    async def never() -> AsyncIterator[bytes]:
        yield b"0"
        await asyncio.sleep(ANSWERS_WITHIN)

    headers = OCTETS | {"Upload-Offset": "7", "Content-Length": str(LARGE)}
    fine = Finding("ok", ABOUT, "It has no limit for the size of a body.")
    timeout = aiohttp.ClientTimeout(total=ARRIVES_WITHIN)
    try:
        answer = await http.patch(location, data=never(), headers=headers, expect100=True, timeout=timeout)
    except TimeoutError:  # a proxy that collects bodies waits for this one
        return fine
    async with answer:
        if answer.content_type == "application/problem+json" or answer.status != 413:
            return fine
        return Finding(
            "problem", ABOUT, "It refuses large bodies: set client_max_body_size 0, or tell clients with --max-request."
        )


async def _watching(http: aiohttp.ClientSession, location: URL) -> Finding:
    try:
        async with http.ws_connect(location / "progress", origin=str(location.origin())) as ws:
            message = await ws.receive(timeout=ARRIVES_WITHIN)
            if message.type is aiohttp.WSMsgType.TEXT:
                return Finding("ok", ABOUT, "WebSockets pass.")
    except (aiohttp.ClientError, TimeoutError):
        pass
    return Finding(
        "warning",
        ABOUT,
        "WebSockets do not pass, so watchers see nothing: have the proxy pass Upgrade and Connection on.",
    )


async def _buffering(http: aiohttp.ClientSession, location: URL) -> Finding:
    """Send half of a body, look whether it has arrived, and send the rest."""
    arrived = asyncio.Event()
    sent = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield bytes(SIZE // 2)
        sent.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(arrived.wait(), ARRIVES_WITHIN)
        yield bytes(SIZE - SIZE // 2)

    async def look() -> None:
        await sent.wait()
        while not arrived.is_set():
            async with http.get(location / "progress", headers={"Accept": "application/json"}) as answer:
                told: dict[str, Any] = await answer.json(content_type=None) if answer.status == 200 else {}
            if told.get("receivedBytes") or told.get("uploadedBytes"):
                arrived.set()
            await asyncio.sleep(0.2)

    looking = asyncio.ensure_future(look())
    try:
        headers = OCTETS | {"Upload-Offset": "0", "Content-Length": str(SIZE)}
        async with http.patch(location, data=slowly(), headers=headers) as answer:
            seen, status, ours = arrived.is_set(), answer.status, answer.content_type == "application/problem+json"
    finally:
        looking.cancel()
        await asyncio.wait({looking})
    if status == 413 and not ours:
        return Finding("problem", ABOUT, f"It refuses a body of {SIZE:,} bytes: set client_max_body_size 0.")
    if status != 204:
        return Finding(
            "problem", ABOUT, f"A body of {SIZE:,} bytes is answered {status}: the log of the server says why."
        )
    if not seen:
        return Finding(
            "problem", ABOUT, "It collects bodies before it passes them on, so a cut one is lost, and watchers see "
                "nothing: set proxy_request_buffering off.",
        )  # fmt: skip
    return Finding("ok", ABOUT, "It passes bodies on as they come.")
