"""Makes the server's connections, if this aiohttp allows it; `server/app.py` builds the `Runner`.

aiohttp has no public way to use a connection class of one's own. If the way used here is missing, aiohttp's own
connections serve instead; the package's docstring says what is lost then.
"""

from typing import Any

import aiohttp
from aiohttp import web

from onward.server.http.app_keys import ENGINE
from onward.server.http.fast_bodies import FastBodies
from onward.server.http.fast_heads import FastHeads, is_plain
from onward.server.http.fast_path import FastPath
from onward.server.http.problems import log
from onward.server.http.transport import support
from onward.server.http.transport.connection import Connection
from onward.server.http.transport.connection_limits import ConnectionLimits, FastPaths


class Server(web.Server):
    """Makes a `Connection` for each client; `original` is the server that aiohttp would have used."""

    def __init__(self, original: web.Server, limits: ConnectionLimits) -> None:
        self.limits = limits
        super().__init__(
            original.request_handler,
            request_factory=original.request_factory,
            handler_cancellation=original.handler_cancellation,
            **original._kwargs,
        )

    def __call__(self) -> Connection:
        return Connection(self, self.limits, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application by connections of our own; `options` are those of web.AppRunner."""

    __slots__ = ("_limits",)

    def __init__(self, app: web.Application, *, header_wait: float, connections: int, **options: Any) -> None:
        super().__init__(app, **options)
        self._limits = ConnectionLimits(header_wait, connections)

    async def setup(self) -> None:
        """Start the application; raises what its start raises, after everything that was opened for it is closed."""
        if not support.is_tested():
            log.warning("aiohttp %s is not one of the versions that this server is tested with", aiohttp.__version__)
        try:
            await super().setup()
        except BaseException:
            await self._clean_up(self.app)
            raise

    async def _make_server(self) -> web.Server:
        original = await super()._make_server()
        if (engine := self.app.get(ENGINE)) is not None:
            self._limits.measures = engine.records.measures
        try:
            server = Server(original, self._limits)
            connection = server()
            missing = support.missing_for_connections(connection)
        except (AttributeError, TypeError) as error:
            missing = [str(error)]
        if missing:
            log.warning("aiohttp lacks %s: its own connections are used, with fewer limits", ", ".join(missing))
            return original
        if missing := support.missing_for_bypass(connection, connection.fresh_parser):
            log.warning("aiohttp lacks %s: large bodies are read more slowly, from its stream", ", ".join(missing))
        self._limits.can_bypass_parser = not missing
        if missing := support.missing_for_fast_paths(connection, connection.fresh_parser):
            log.warning("aiohttp lacks %s: short requests are answered more slowly", ", ".join(missing))
        elif is_plain(self.app):
            way = FastPath(self.app)
            self._limits.fast = FastPaths(way, FastHeads(way), FastBodies(self.app, way))
        return server

    async def _clean_up(self, app: web.Application) -> None:
        """Leave the contexts that a start has entered; those of mounted applications first."""
        for mounted in getattr(app, "_subapps", ()):
            await self._clean_up(mounted)
        try:
            await app.cleanup()
        except Exception:
            log.exception("an application could not be cleaned up after a start that failed")
