"""A server with webhooks, from the request of a client to the receiver: what arrives, and when the server starts."""

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from onward_process import onward
from standardwebhooks import Webhook as Verifier
from webhook_receiver import SECRET, answer_with, receiver
from yarl import URL

from onward import Config, create_app, create_runner

DATA = b"an upload of the application" * 100
METADATA = {"Upload-Metadata": "filename YS5wZGY=,folder x6k="}


def secret_file(folder: Path) -> str:
    path = folder / "webhook.secret"
    path.write_text(SECRET + "\n")
    return f"--webhook-secret-file={path}"


async def test_an_application_is_told_of_creation_and_completion(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with receiver() as hook:
        options = [f"--webhook={hook.url}", secret_file(tmp_path)]
        async with onward(tmp_path / "data", "sqlite:", options) as server:
            url = await tus.create(http, server.url, len(DATA), **METADATA)
            assert (await tus.patch(http, url, 0, DATA)).status == 204
            await hook.until(lambda: len(hook.taken) == 2, within=2)
            metrics = ""
            async with asyncio.timeout(5):
                while "onward_events_waiting 0.0" not in metrics:
                    async with http.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
                        metrics = await answer.text()
            for name, value in (("delivered_total", "2.0"), ("failed_total", "0.0"), ("waiting", "0.0")):
                assert re.search(rf"^onward_events_{name} {value}$", metrics, re.MULTILINE), metrics
            assert "onward_events_oldest_seconds 0.0" in metrics
            assert SECRET not in server.log()
    created, completed = hook.taken
    for got in hook.taken:
        Verifier(SECRET).verify(got.body, got.headers)
        assert got.upload == url.rpartition("/")[2]
    assert (created.type, completed.type) == ("upload.created", "upload.completed")
    data = completed.event["data"]
    assert (data["uploadedBytes"], data["fileName"], data["metadata"]) == (
        len(DATA),
        "a.pdf",
        {"filename": "a.pdf", "folder": "ǩ"},
    )


async def test_only_the_events_that_are_wanted_are_sent_and_one_url_delays_no_other(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with receiver(answer_with(500)) as bad, receiver() as good:
        options = [f"--webhook={bad.url}", f"--webhook={good.url}", f"--webhook-secret={SECRET}"]
        wanted = ["--webhook-events=upload.terminated,upload.failed"]
        async with onward(tmp_path / "data", "sqlite:", options + wanted) as server:
            for _ in range(5):
                url = await tus.create(http, server.url, len(DATA))
                async with http.delete(url, headers=tus.TUS) as answer:
                    assert answer.status == 204
            await good.until(lambda: len(good.taken) == 5, within=2)
            await bad.until(lambda: len(bad.received) >= 7, within=10)
            assert {got.type for got in good.taken + bad.received} == {"upload.terminated"}
            assert f"the webhook at {URL(bad.url).authority} fails, and is tried again: status 500" in server.log()
            bad.answer = answer_with(200)
            await bad.until(lambda: len(bad.taken) == 5, within=20)


async def test_events_wait_for_a_receiver_that_is_away_also_over_a_restart(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with receiver() as hook:
        url_of_hook = hook.url
    options = [f"--webhook={url_of_hook}", f"--webhook-secret={SECRET}"]
    async with onward(tmp_path / "data", "sqlite:", options) as server:
        url = await tus.create(http, server.url, len(DATA))
        assert (await tus.patch(http, url, 0, DATA)).status == 204
        assert await server.stop() == 0
        got: list[str] = []

        async def take(request: web.Request) -> web.Response:
            got.append((await request.json())["type"])
            return web.Response()

        app = web.Application()
        app.router.add_post("/hook", take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(url_of_hook.split(":")[2].partition("/")[0])).start()
        await server.start()
        async with asyncio.timeout(10):
            while len(got) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert got == ["upload.created", "upload.completed"]
        await runner.cleanup()


async def test_a_function_of_the_application_is_called_until_it_returns(
    http: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[dict[str, Any]] = []
    done = asyncio.Event()

    async def on_event(event: dict[str, Any]) -> None:
        calls.append(event)
        if len(calls) == 1:
            raise LookupError("no such row")
        if event["type"] == "upload.completed":
            done.set()

    config = Config(data=str(tmp_path / "data"))
    runner = create_runner(create_app(config, on_event=on_event), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = await tus.create(http, f"http://127.0.0.1:{runner.addresses[0][1]}/files", len(DATA))
        assert (await tus.patch(http, url, 0, DATA)).status == 204
        await asyncio.wait_for(done.wait(), 10)
    finally:
        await runner.cleanup()
    assert [call["type"] for call in calls] == ["upload.created", "upload.created", "upload.completed"]
    assert calls[0] == calls[1]
    assert calls[0]["id"] == f"{url.rpartition('/')[2]}_created"
    assert "on_event fails, and is tried again: LookupError: no such row" in caplog.text


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "can't be read"), (b"whsec_c2hvcnQ=", "5 bytes"), (b"\xff", "not ASCII"), (b"secret", "whsec_")],
)
async def test_a_wrong_file_of_the_secret_stops_the_start_and_is_not_shown(
    content: bytes | None, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    config = Config(data=str(tmp_path / "data"), webhook="http://127.0.0.1:1/", webhook_secret_file=str(path))
    runner = create_runner(create_app(config), config)
    with pytest.raises(ValueError, match=f"webhook_secret_file: .*{why}") as refused:
        await runner.setup()
    await runner.cleanup()
    assert "c2hvcnQ" not in str(refused.value)
    assert not (tmp_path / "data").exists()
