"""Connections are counted by address; one that ends costs the same however many other addresses there are."""

from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from onward.server.app import create_app, create_runner
from onward.server.config import Config
from onward.server.http.transport.server import Server


class Untouched(Counter[str]):
    """A count of which no more is looked at than what is asked for by name."""

    def __iadd__(self, _: object) -> Any:
        raise AssertionError("all addresses are gone through")

    def __iter__(self) -> Any:
        raise AssertionError("all addresses are gone through")


async def test_the_end_of_a_connection_looks_at_its_own_address_only(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    config = Config(data=str(tmp_path / "data"), state="memory:", connections=1)
    runner = create_runner(create_app(config), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        assert isinstance(runner.server, Server)
        runner.server.limits.counts = Untouched({f"10.0.0.{number}": 1 for number in range(100)})
        for _ in range(5):
            async with http.get(f"http://127.0.0.1:{runner.addresses[0][1]}/healthz") as answer:
                assert answer.status == 200
        await http.close()
        assert "127.0.0.1" not in runner.server.limits.counts, "it is forgotten with its last connection"
        assert dict.__len__(runner.server.limits.counts) == 100
    finally:
        await runner.cleanup()
