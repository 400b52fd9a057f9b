"""A start that fails lets go of all that was opened for it: the same data folder can be opened again at once."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from ports import free_port

from onward.server.app import create_app, create_runner
from onward.server.config import Config
from onward.server.lifespan import open_engine
from onward.server.serve import serve


class Broken(Exception):
    """What a start-up callback of an application raises."""


async def fail(_: web.Application) -> None:
    raise Broken


async def fail_in_context(_: web.Application) -> AsyncIterator[None]:
    for _ in ():
        yield _
    raise Broken


def config_in(folder: Path) -> Config:
    return Config(data=str(folder / "data"), port=free_port())


async def check_free(config: Config) -> None:
    """Check that nobody has the folder, which only one server at a time can have."""
    engine = await open_engine(config)
    await engine.close()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("how", ["callback", "context"])
async def test_a_callback_that_raises_leaves_nothing_open(tmp_path: Path, how: str, mounted: bool, first: bool) -> None:
    config = config_in(tmp_path)
    app = inner = create_app(config)
    if mounted:
        app = web.Application()
    if not first and mounted:
        app.add_subapp("/uploads", inner)
    if how == "callback":
        app.on_startup.insert(0 if first else len(app.on_startup), fail)
    else:
        app.cleanup_ctx.insert(0 if first else len(app.cleanup_ctx), fail_in_context)
    if first and mounted:
        app.add_subapp("/uploads", inner)
    with pytest.raises(Broken):
        await create_runner(app, config).setup()
    await check_free(config)


async def test_a_context_that_fails_at_the_end_keeps_nothing_open(tmp_path: Path) -> None:
    config = config_in(tmp_path)

    async def fail_at_the_end(_: web.Application) -> AsyncIterator[None]:
        yield
        raise Broken

    app = create_app(config)
    app.cleanup_ctx.append(fail_at_the_end)
    runner = create_runner(app, config)
    await runner.setup()
    with pytest.raises(Broken):
        await runner.cleanup()
    await check_free(config)


async def test_a_setting_that_is_wrong_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_in(tmp_path)

    def refuse(_: web.Application) -> None:
        raise Broken

    with monkeypatch.context() as patched:
        patched.setattr("onward.server.app.add_routes", refuse)
        with pytest.raises(Broken):
            create_app(config)
    await check_free(config)


async def test_a_server_that_can_not_listen_leaves_nothing_open(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with socket.create_server(("127.0.0.1", config.port)), pytest.raises(OSError, match="in use"):
        await serve(config)
    await check_free(config)


async def test_a_server_whose_start_up_fails_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path)

    def created(config: Config) -> web.Application:
        app = create_app(config)
        app.on_startup.append(fail)
        return app

    with monkeypatch.context() as patched:
        patched.setattr("onward.server.serve.create_app", created)
        with pytest.raises(Broken):
            await serve(config)
    await check_free(config)
