"""What a stop finds of connections that have just been made."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from onward import Config, create_app, create_runner
from onward.server.http.transport.connection import Connection

WITHIN = 10.0


async def test_a_connection_that_is_made_at_the_moment_of_a_stop_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(data=str(tmp_path / "data"), drain=6 * WITHIN)
    runner = create_runner(create_app(config), config)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = Connection.connection_made

    def made_and_stopped(connection: Connection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        assert runner.server is not None
        runner.server.pre_shutdown()

    monkeypatch.setattr(Connection, "connection_made", made_and_stopped)
    try:
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        async with asyncio.timeout(WITHIN):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(runner.cleanup(), WITHIN)
    finally:
        await runner.cleanup()
