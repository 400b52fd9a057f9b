"""An application is built synchronously, opens its storage when it starts, and stops step by step."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from onward_process import ROOT
from ports import free_port

from onward import Config, create_app, create_runner
from onward.server.lifespan import CUT_DOWNLOADS, REQUESTS_END, SETTLED, open_engine

DATA = b"built before any event loop runs" * 10_000
PROGRAM = """
import sys
from aiohttp import web
from onward import Config, create_app

def factory():
    app = web.Application()
    app.add_subapp("/api", create_app(Config(data=sys.argv[1])))
    return app

web.run_app(factory(), host="127.0.0.1", port=int(sys.argv[2]), print=lambda _: print("ready", flush=True))
"""


def test_an_application_is_built_without_an_event_loop_and_opens_nothing(tmp_path: Path) -> None:
    outer = web.Application()
    outer.add_subapp("/api", create_app(Config(data=str(tmp_path / "data"))))
    assert not (tmp_path / "data").exists()


async def test_it_opens_its_storage_at_the_start_and_closes_it_at_the_end(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    config = Config(data=str(tmp_path / "data"))
    runner = create_runner(create_app(config), config)
    await runner.setup()
    with pytest.raises(Exception, match="data"):
        await open_engine(config)
    await runner.cleanup()
    engine = await open_engine(config)
    await engine.close()


async def test_the_start_raises_what_can_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("this is a file")
    config = Config(data=str(tmp_path / "data"))
    outer = web.Application()
    outer.add_subapp("/api", create_app(config))
    with pytest.raises(ValueError, match="it is not a folder"):
        await create_runner(outer, config).setup()


async def test_a_plain_aiohttp_server_serves_it_from_a_synchronous_factory(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    port, data = free_port(), tmp_path / "data"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(data), str(port), cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        url = await tus.create(http, f"http://127.0.0.1:{port}/api/files", len(DATA))
        assert (await tus.patch(http, url, 0, DATA)).status == 204
        async with http.get(f"{url}/progress") as answer:
            assert (await answer.json())["status"] == "completed"
        async with http.get(url) as answer:
            assert await answer.read() == DATA
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    engine = await open_engine(Config(data=str(data)))
    await engine.close()


def test_the_phases_of_a_stop_follow_one_another_within_the_drain() -> None:
    assert 0 < CUT_DOWNLOADS < REQUESTS_END < SETTLED < 1
