"""Follows an upload over a WebSocket on a plain socket."""

import json
from typing import Any

from http_connection import Connection, Headers, Tus

TEXT, CLOSE = 1, 8


class Follower:
    """All messages about one upload, read up to the end of the connection."""

    def __init__(self, tus: Tus, path: str) -> None:
        self._connection = Connection(tus.port)
        upgrade: Headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        self._connection.send(tus.request("GET", f"{path}/progress", upgrade))
        assert self._connection.answer().status == 101
        self.first = self._message()
        assert self.first is not None

    def _message(self) -> dict[str, Any] | None:
        head, size = self._connection.read(2)
        if size == 126:
            size = int.from_bytes(self._connection.read(2))
        text = self._connection.read(size)
        if head & 0x0F == CLOSE:
            return None
        assert head & 0x0F == TEXT
        message: dict[str, Any] = json.loads(text)
        return message

    def rest(self) -> list[dict[str, Any]]:
        """Give all that comes after the first message, up to the close."""
        messages = []
        with self._connection:
            while (message := self._message()) is not None:
                messages.append(message)
        return messages

    def close(self) -> None:
        """Leave."""
        with self._connection:
            pass
