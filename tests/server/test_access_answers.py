"""An access function may say no with aiohttp's own exceptions: its status, reason and headers reach the client."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web

from onward.protocol.grants import Act
from onward.protocol.model import CreateRequest, UploadId
from onward.server.app import create_app, create_runner
from onward.server.config import Config

EVENTS = {"Accept": "text/event-stream"}
LENGTH = {"Upload-Length": "4"}
LOGIN = "https://login.example/?next=/"


class Door:
    """An application whose access function answers every act with the same exception."""

    url = ""
    answer: web.HTTPException | None = None

    async def ask(
        self, request: web.Request, act: Act, id: UploadId | None, create_request: CreateRequest | None
    ) -> None:
        if self.answer is not None:
            raise self.answer


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    door, config = Door(), Config(data=str(tmp_path / "data"), state="memory:")
    runner = create_runner(create_app(config, access=door.ask), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        door.url = f"http://127.0.0.1:{runner.addresses[0][1]}/files"
        yield door
    finally:
        await runner.cleanup()


async def test_a_challenge_reaches_the_client_on_every_route(door: Door, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, door.url, 4)
    many = f"{door.url.removesuffix('/files')}/progress?id={url.rpartition('/')[2]}"
    acts: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("POST", door.url, tus.TUS | LENGTH),
        ("PATCH", url, tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}),
        ("DELETE", url, tus.TUS),
        ("GET", url, {}),
        ("GET", f"{url}/progress", {}),
        ("GET", f"{url}/progress", EVENTS),
        ("GET", many, EVENTS),
    )
    for method, address, headers in acts:
        door.answer = web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="files"'})
        door.answer.headers.add("WWW-Authenticate", "Basic")
        async with http.request(method, address, headers=headers) as answer:
            assert (answer.status, answer.reason) == (401, "Unauthorized"), (method, address)
            assert answer.headers.getall("WWW-Authenticate") == ['Bearer realm="files"', "Basic"]
            assert (answer.content_type, answer.headers["Tus-Resumable"]) == ("application/problem+json", "1.0.0")
            assert await answer.json(content_type=None) == {
                "type": "urn:onward:error:unauthorized", "title": "Unauthorized", "status": 401, "code": "unauthorized",
            }  # fmt: skip
    door.answer = web.HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"})
    async with http.head(url, headers=tus.TUS) as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Basic")
    for address in (f"{url}/progress", many):
        door.answer = web.HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"})
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(address)
        assert refused.value.status == 401
        assert refused.value.headers is not None
        assert refused.value.headers["WWW-Authenticate"] == "Basic"


@pytest.mark.parametrize(
    ("raised", "status", "code", "title", "detail"),
    [
        (web.HTTPForbidden(), 403, "access-denied", "This is not allowed to you", None),
        (web.HTTPForbidden(reason="Paid accounts only"), 403, "access-denied", "Paid accounts only", None),
        (web.HTTPForbidden(text="Ask a manager."), 403, "access-denied", "This is not allowed to you", "Ask a manager."),
        (web.HTTPNotFound(text="There is no project 7."), 404, "not-found", "There is nothing here", "There is no project 7."),
        (web.HTTPBadRequest(text="Which project?"), 400, "bad-request", "The request is malformed", "Which project?"),
        (web.HTTPTooManyRequests(headers={"Retry-After": "7"}), 429, "too-many-requests", "Too Many Requests", None),
        (web.HTTPServiceUnavailable(), 503, "service-unavailable", "Service Unavailable", None),
    ],
)  # fmt: skip
async def test_an_error_is_passed_on_as_a_problem(
    door: Door, http: aiohttp.ClientSession, raised: web.HTTPException, status: int, code: str, title: str, detail: str
) -> None:
    door.answer = raised
    async with http.post(door.url, headers=tus.TUS | LENGTH) as answer:
        told = await answer.json(content_type=None)
        assert (answer.status, answer.reason, answer.content_type) == (
            status,
            raised.reason,
            "application/problem+json",
        )
        assert answer.headers.get("Retry-After") == raised.headers.get("Retry-After")
    assert (told["status"], told["code"], told["title"], told.get("detail")) == (status, code, title, detail)


async def test_a_redirect_and_its_cookie_are_passed_on_as_they_are(door: Door, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, door.url, 4)
    for address in (url, f"{url}/progress"):
        door.answer = web.HTTPFound(LOGIN)
        door.answer.set_cookie("from", "files")
        async with http.get(address, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, LOGIN)
            assert (answer.cookies["from"].value, await answer.text()) == ("files", "302: Found")


async def test_what_aiohttp_itself_refuses_is_answered_as_ever(door: Door, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, door.url, 4)
    for method, address, status, code in (
        ("GET", f"{door.url}/nothing", 404, "not-found"),
        ("POST", f"{url}/progress", 405, "method-not-allowed"),
        ("PROPFIND", url, 405, "method-not-allowed"),
    ):
        async with http.request(method, address, headers=tus.TUS) as answer:
            told = await answer.json(content_type=None)
            assert (answer.status, told["code"]) == (status, code)
            assert "detail" not in told
            assert status != 405 or "GET" in answer.headers["Allow"]
