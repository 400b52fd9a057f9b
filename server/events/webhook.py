"""One attempt to deliver an event: a signed POST to a webhook, or a call of a function of the application.

`delivery.py` decides when to try, and what follows from the result.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import msgspec
from yarl import URL

from onward.protocol.events import OutgoingEvent
from onward.protocol.headers import parse_retry_after
from onward.server.events.signature import Signer

WITHIN = 15.0  # seconds for a whole attempt: names, connection, request and reply
GONE = 410
THROTTLED = (429, 503)
FUNCTION = "on_event"  # the name of the application's function as a target

# A function of the application. It gets the JSON object of a webhook, and the `webhook-id` in it as "id".
OnEvent = Callable[[dict[str, Any]], Awaitable[None]]


class NotTaken(Exception):
    """The target did not take the event now; its text says why.

    `after` is for how many seconds it asked to be left alone, and `busy` says whether it meant all events.
    """

    def __init__(self, why: str, *, after: float = 0.0, busy: bool = False) -> None:
        super().__init__(why)
        self.after, self.busy = after, busy


class Closed(Exception):
    """The target wants no events any more."""


class Target(Protocol):
    """Something that events are delivered to."""

    name: str  # as in OutgoingEvent.target
    shown: str  # for the log

    async def deliver(self, event: OutgoingEvent, now: float) -> None:
        """Deliver an event; returns if it was taken. Raises NotTaken or Closed."""


def open_session() -> aiohttp.ClientSession:
    """Open the client for all webhooks, without cookies. `delivery.py` limits the attempts, and so the connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "onward"},
        timeout=aiohttp.ClientTimeout(total=WITHIN),
    )


class Webhook:
    """The URL of a receiver."""

    def __init__(self, url: str, signer: Signer, session: aiohttp.ClientSession) -> None:
        self.name = url
        self.shown = (
            f"the webhook at {URL(url).host_port_subcomponent}"  # the path of a URL may be a secret of the receiver
        )
        self._url, self._signer, self._session = URL(url), signer, session

    async def deliver(self, event: OutgoingEvent, now: float) -> None:
        """Send an event; any 2xx takes it. Redirects are not followed. Raises NotTaken or Closed."""
        headers = {"Content-Type": "application/json", **self._signer.sign(event.id, now, event.body)}
        try:
            async with self._session.post(
                self._url, data=event.body, headers=headers, allow_redirects=False
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise NotTaken(f"no answer within {WITHIN:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:  # ValueError: the answer is not HTTP
            raise NotTaken(why(fault)) from None
        if 200 <= status < 300:
            return
        if status == GONE:
            raise Closed
        raise NotTaken(f"status {status}", after=parse_retry_after(retry_after, now), busy=status in THROTTLED)


def why(fault: Exception) -> str:
    """Say in one line why a request failed, without its URL: the path of a URL may be a secret of the receiver."""
    if isinstance(fault, aiohttp.ClientResponseError):  # its own text ends with the URL
        return " ".join(f"the answer is no HTTP: {fault.message}".split())
    if isinstance(fault, aiohttp.InvalidURL):
        return type(fault).__name__
    return str(fault) or type(fault).__name__


class Function:
    """A function of the application that embeds the server."""

    name = shown = FUNCTION

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event

    async def deliver(self, event: OutgoingEvent, now: float) -> None:  # noqa: ARG002
        """Call the function; the event is taken when it returns. Raises NotTaken for any exception."""
        document = msgspec.json.decode(event.body)
        try:
            await self._on_event({"id": event.id, **document})
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            raise NotTaken("what the function waited for was cancelled") from None
        except Exception as fault:
            raise NotTaken(f"{type(fault).__name__}: {fault}") from fault
