"""Server-Sent Events as they come."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

EVENTS = {"Accept": "text/event-stream"}


async def events_of(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Give the id and the message of each event."""
    id_ = ""
    async for line in answer.content:
        name, _, value = line.decode().strip().partition(": ")
        if name == "id":
            id_ = value
        elif name == "data":
            yield id_, json.loads(value)
