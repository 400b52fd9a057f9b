"""Where aiohttp is another one than was tested, the server does without what it misses, and says so once."""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from http_connection import Connection
from onward_process import ROOT
from server_process import serving

from onward.server.app import create_app, create_runner
from onward.server.config import Config
from onward.server.http.transport import support
from onward.server.http.transport.connection import Connection as OwnConnection
from onward.server.http.transport.connection_limits import ConnectionLimits
from onward.server.http.transport.server import Server

SIZES = (1000, 131_071, 131_072, 2**20, 5 * 2**20 + 1)
PROGRAM = str(ROOT / "tests" / "support" / "reduced_aiohttp_server.py")


@pytest.mark.parametrize(
    ("which", "line"),
    [("FAST", "from its stream"), ("SHORT", "short requests are answered"), ("CONNECTION", "its own connections")],
)
def test_bodies_of_every_size_arrive_without_what_is_missing(tmp_path: Path, which: str, line: str) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "data", program=(PROGRAM, which), log=log) as server:
        tus = server.tus
        for size in SIZES:
            data = os.urandom(size)
            assert server.published(tus.stored(data)) == data
            path = tus.create(size)
            assert tus.patch(path, 0, parts=[data[: size // 2], data[size // 2 :]]).status == 204
            assert tus.ask("GET", path).body == data
            path = tus.create(size)
            with Connection(tus.port) as connection:
                head = tus.request("PATCH", path, tus.patching(0, {"Content-Length": str(size)}))
                connection.send(head + data + tus.request("HEAD", path))
                assert connection.answer().status == 204
                assert connection.answer("HEAD")["Upload-Offset"] == str(size)
    told = [each for each in log.read_text().splitlines() if "aiohttp" in each]
    assert len(told) == 1
    assert "lacks _gone" in told[0]
    assert line in told[0]


def test_the_tested_versions_are_those_of_the_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first, end = (".".join(map(str, version)) for version in support.TESTED)
    assert f"aiohttp>={first},<{end}" in project["dependencies"]


@pytest.mark.parametrize(
    ("version", "tested"),
    [("3.14.5", True), ("3.14.12", True), ("3.14.4", False), ("3.13.5", False), ("3.15.0", False), ("4.0.0a1", False)],
)
def test_a_version_is_known_or_not(version: str, tested: bool) -> None:
    assert support.is_tested(version) is tested


async def started(tmp_path: Path) -> web.AppRunner:
    """Start a server without a socket, and end it again."""
    config = Config(data=str(tmp_path / "data"), state="memory:")
    runner = create_runner(create_app(config), config)
    await runner.setup()
    await runner.cleanup()
    return runner


async def test_this_aiohttp_lacks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await started(tmp_path)
    assert [each for each in caplog.messages if "aiohttp" in each] == []


async def test_another_version_is_named_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "TESTED", ((2, 0), (2, 1)))
    monkeypatch.setattr(support, "is_tested", lambda: False)
    await started(tmp_path)
    assert [record.levelname for record in caplog.records if "is not one of the versions" in record.message] == [
        "WARNING"
    ]


@pytest.mark.parametrize("broken", [TypeError("another argument"), None])
async def test_a_parser_that_is_another_one_is_not_built_upon(broken: Exception | None) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        raise NotImplementedError

    connection = Server(web.Server(handler), ConnectionLimits(1, 0))()
    assert isinstance(connection, OwnConnection)

    class Parser:
        def feed_data(self, _: bytes) -> tuple[Any, ...]:
            return (), False, b""

    def other() -> Parser:
        if broken:
            raise broken
        return Parser()

    ours: Callable[[], Any] = connection.fresh_parser
    assert support.missing_for_bypass(connection, ours) == []
    assert len(support.missing_for_bypass(connection, other)) == 1
