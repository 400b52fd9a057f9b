"""One attempt to deliver an event over HTTP, to real receivers: what takes it, what does not, and what is sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace
from multidict import CIMultiDict
from standardwebhooks import Webhook as Verifier
from test_outbox_contract import COMPLETED
from webhook_receiver import SECRET, Received, answer_with, hang, raw_receiver, receiver

from onward.protocol.errors import Unavailable
from onward.protocol.model import CreateRequest
from onward.server.events.ask import Ask
from onward.server.events.signature import Signer, read_secret
from onward.server.events.webhook import Closed, Function, NotTaken, Webhook, open_session

CREATION = CreateRequest(length=1, metadata=None, promised=None, body_size=0, has_body=False)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


async def deliver(url: str, session: aiohttp.ClientSession) -> None:
    await Webhook(url, Signer(read_secret(SECRET)), session).deliver(COMPLETED, time.time())


@pytest.mark.parametrize("status", [200, 202, 204, 299])
async def test_any_2xx_takes_an_event_that_is_signed(session: aiohttp.ClientSession, status: int) -> None:
    async with receiver(answer_with(status)) as hook:
        await deliver(hook.url, session)
        await deliver(hook.url, session)
        first, again = hook.received
    assert first.body == again.body == COMPLETED.body
    assert first.id == again.id == COMPLETED.id
    assert first.headers["content-type"] == "application/json"
    Verifier(SECRET).verify(first.body, first.headers)


@pytest.mark.parametrize(
    ("status", "after", "busy"),
    [(500, 0.0, False), (404, 0.0, False), (429, 120.0, True), (503, 120.0, True), (502, 120.0, False)],
)
async def test_another_status_does_not(session: aiohttp.ClientSession, status: int, after: float, busy: bool) -> None:
    headers = {"Retry_After": "120"} if after else {}
    async with receiver(answer_with(status, **headers)) as hook:
        with pytest.raises(NotTaken, match=str(status)) as refused:
            await deliver(hook.url, session)
    assert (refused.value.after, refused.value.busy) == (after, busy)


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("in 600 s", 600.0),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 +999999999999999999999", 0.0),
        ("-5", 0.0),
        ("٣", 0.0),
    ],
    ids=("later", "past", "no date", "year", "zone", "negative", "other digits"),
)
async def test_retry_after_may_be_a_date_and_nonsense_is_ignored(
    session: aiohttp.ClientSession, header: str, after: float
) -> None:
    said = formatdate(time.time() + after, usegmt=True) if after else header
    async with receiver(answer_with(503, Retry_After=said)) as hook:
        with pytest.raises(NotTaken) as refused:
            await deliver(hook.url, session)
    assert refused.value.after == pytest.approx(after, abs=60)


async def test_410_wants_no_more(session: aiohttp.ClientSession) -> None:
    async with receiver(answer_with(410)) as hook:
        with pytest.raises(Closed):
            await deliver(hook.url, session)


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    async with receiver() as other, receiver(answer_with(307, Location=other.url)) as hook:
        with pytest.raises(NotTaken, match="307"):
            await deliver(hook.url, session)
        assert other.received == []


async def test_no_answer_in_time_is_no_answer(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.server.events.webhook.WITHIN", 0.3)

    async def trickle(got: Received) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return await hang(got)

    async with open_session() as hasty, receiver(trickle) as hook:
        began = time.monotonic()
        with pytest.raises(NotTaken, match=r"no answer within 0\.3 s"):
            await deliver(hook.url, hasty)
        assert time.monotonic() - began < 2


async def test_a_receiver_that_is_not_there_or_speaks_no_http(session: aiohttp.ClientSession) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NotTaken):
        await deliver(f"http://127.0.0.1:{port}/", session)
    server.close()
    await server.wait_closed()
    with pytest.raises(NotTaken):
        await deliver(f"http://127.0.0.1:{port}/", session)


async def test_an_endless_answer_is_not_read(session: aiohttp.ClientSession) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + bytes(2**16) + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    began = time.monotonic()
    await deliver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", session)
    assert time.monotonic() - began < 2
    server.close()


def test_the_log_names_the_host_of_a_webhook_only() -> None:
    hook = Webhook("https://user:password@app.example:8443/hooks/secret?key=1", Signer(b""), None)  # type: ignore[arg-type]
    assert hook.shown == "the webhook at app.example:8443"


async def test_a_function_gets_the_event_with_its_id_and_takes_it_by_returning() -> None:
    got: list[dict[str, Any]] = []

    async def on_event(event: dict[str, Any]) -> None:
        got.append(event)
        if len(got) == 1:
            raise LookupError("no such row")

    function, event = Function(on_event), replace(COMPLETED, body=b'{"type": "upload.completed", "data": {"a": 1}}')
    with pytest.raises(NotTaken, match="LookupError: no such row"):
        await function.deliver(event, 0.0)
    await function.deliver(event, 0.0)
    assert got == [{"id": COMPLETED.id, "type": "upload.completed", "data": {"a": 1}}] * 2


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"",
    ],
    ids=["garbage", "long header", "length", "closed"],
)
async def test_what_is_no_http_is_told_without_the_path_of_the_url(
    session: aiohttp.ClientSession, answer: bytes
) -> None:
    async with raw_receiver(answer) as origin:
        with pytest.raises(NotTaken) as refused:
            await deliver(f"{origin}/path-is-secret?key-is-secret", session)
        assert "secret" not in str(refused.value)
        assert "\n" not in str(refused.value)
        ask = Ask(f"{origin}/path-is-secret", Signer(read_secret(SECRET)), within=5, headers=())
        with pytest.raises(Unavailable) as unclear:
            await ask.creation(CREATION, None, CIMultiDict[str]())
        assert "secret" not in f"{unclear.value} {unclear.value.__cause__}"


async def test_a_function_whose_own_wait_was_cancelled_has_not_taken_the_event() -> None:
    async def on_event(event: dict[str, Any]) -> None:
        helper = asyncio.ensure_future(asyncio.sleep(10))
        helper.cancel()
        await helper

    with pytest.raises(NotTaken, match="cancelled"):
        await Function(on_event).deliver(COMPLETED, 0)

    async def waits(event: dict[str, Any]) -> None:
        await asyncio.sleep(10)

    attempt = asyncio.create_task(Function(waits).deliver(COMPLETED, 0))
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
