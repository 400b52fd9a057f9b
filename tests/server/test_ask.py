"""The application is asked before an upload is created and before a file is published, and what it replies counts."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from onward_process import OnwardProcess, onward
from standardwebhooks import Webhook as Verifier
from token_maker import OwnKey
from webhook_receiver import SECRET, Answer, Received, Receiver, answer_with, hang, raw_receiver, receiver
from yarl import URL

DATA = b"may this be here?" * 10
METADATA = {"Upload-Metadata": "filename YS5wZGY="}


def reply(body: object, status: int = 200, content_type: str = "application/json", **headers: str) -> Answer:
    """Answer with JSON."""

    async def answer(_: Received) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type=content_type, headers=headers)

    return answer


@asynccontextmanager
async def asking(tmp_path: Path, *options: str) -> AsyncIterator[tuple[Receiver, OnwardProcess]]:
    """Run a server that asks an application."""
    async with receiver() as application:
        words = [f"--ask={application.url}", f"--webhook-secret={SECRET}", "--sweep-every=0.2", *options]
        async with onward(tmp_path / "data", "sqlite:", words) as server:
            yield application, server


async def create(http: aiohttp.ClientSession, server: OnwardProcess, **headers: str) -> tuple[int, dict[str, Any], Any]:
    """Ask for an upload; gives the status, the problem document if there is one, and the headers."""
    sent = tus.TUS | METADATA | {"Upload-Length": str(len(DATA))} | {k.replace("_", "-"): v for k, v in headers.items()}
    async with http.post(server.url, headers=sent) as answer:
        document = await answer.json(content_type=None) if answer.status >= 400 else {}
        return answer.status, document, answer.headers


async def test_the_question_is_signed_and_says_what_is_to_be_created(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with asking(tmp_path, "--ask-headers=Authorization,x-tenant") as (application, server):
        status, *_ = await create(http, server, Authorization="Bearer abc", Cookie="a=b")
        assert status == 201
        (got,) = application.received
        Verifier(SECRET).verify(got.body, got.headers)
        assert got.type == "ask.create"
        assert got.event["data"] == {
            "act": "create", "owner": None, "length": len(DATA), "metadata": {"filename": "a.pdf"},
            "client": "127.0.0.1", "headers": {"authorization": "Bearer abc"},
        }  # fmt: skip
        await create(http, server)
        assert len({got.id for got in application.received}) == 2


async def test_a_reply_may_set_owner_metadata_size_and_expiry(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with receiver() as hook, asking(tmp_path, f"--webhook={hook.url}") as (application, server):
        binary = {"base64": b64encode(b"\xff").decode()}
        application.answer = reply({
            "owner": "alice", "metadata": {"filename": "b.pdf", "raw": binary}, "maxSize": len(DATA), "expireAfter": 1,
        })  # fmt: skip
        status, _, headers = await create(http, server)
        assert status == 201
        answer = await tus.head(http, headers["Location"])
        assert answer.headers["Upload-Metadata"] == "filename Yi5wZGY=,raw /w=="
        await hook.until(lambda: [got.type for got in hook.taken] == ["upload.created", "upload.expired"], within=5)
        data = hook.taken[1].event["data"]
        assert (data["owner"], data["metadata"]) == ("alice", {"filename": "b.pdf", "raw": binary})
        application.answer = reply({"maxSize": len(DATA) - 1})
        status, document, _ = await create(http, server)
        assert (status, document["code"]) == (413, "too-large")


async def test_an_expiry_of_its_own_counts_from_the_last_change(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with asking(tmp_path) as (application, server):
        application.answer = reply({"expireAfter": 1.2})
        _, _, headers = await create(http, server)
        for at in range(4):
            await asyncio.sleep(0.6)
            assert (await tus.patch(http, headers["Location"], at, b"x")).status == 204
        async with asyncio.timeout(10):
            while (await tus.head(http, headers["Location"])).status != 410:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refusal_reaches_the_client_with_its_reason(
    http: aiohttp.ClientSession, tmp_path: Path, status: int
) -> None:
    async with asking(tmp_path) as (application, server):
        problem = {"title": "Your plan is full", "detail": "10 of 10 GB are used.", "secret": "x"}
        application.answer = reply(
            problem, status, "application/problem+json", **{"WWW-Authenticate": "Bearer", "Set-Cookie": "a=b"}
        )
        found, document, headers = await create(http, server)
        assert (found, document["title"], document["detail"]) == (status, "Your plan is full", "10 of 10 GB are used.")
        assert "secret" not in document
        assert headers["WWW-Authenticate"] == "Bearer"
        assert "Set-Cookie" not in headers
        application.answer = reply("<html>no", status, "text/html")
        found, document, _ = await create(http, server)
        assert (found, document["title"]) == (status, "The application refuses the upload")


@pytest.mark.parametrize(
    "answer",
    [
        answer_with(500), answer_with(302, Location="http://127.0.0.1:1/"), hang, reply("no JSON"), reply({"maxSize": -1}),
        reply({"owner": 7}), reply({"metadata": {"a b": "c"}}), reply({"metadata": {"a": "x" * 5000}}),
        reply({"expireAfter": -1}), reply({"metadata": {"a": {"base64": "!"}}}), reply({"owner": "ä" * 501}),
    ],
    ids=["500", "redirect", "hangs", "no JSON", "size", "owner", "key", "long", "expiry", "base64", "long owner"],
)  # fmt: skip
async def test_without_a_clear_reply_nothing_is_created_and_the_client_may_come_again(
    http: aiohttp.ClientSession, tmp_path: Path, answer: Answer
) -> None:
    async with asking(tmp_path, "--ask-timeout=0.5") as (application, server):
        application.answer = answer
        status, document, headers = await create(http, server)
        assert (status, document["code"], headers["Retry-After"]) == (503, "unavailable", "5")
        assert list((server.data / "partial").iterdir()) == []
        assert f"the application at {URL(application.url).authority} fails, and is tried again" in server.log()


@pytest.mark.parametrize("after", ["1e12", "1e18", "1e300", "9" * 30])
async def test_an_expiry_beyond_all_dates_is_a_hundred_years(
    http: aiohttp.ClientSession, tmp_path: Path, after: str
) -> None:
    async with asking(tmp_path) as (application, server):
        application.answer = reply(f'{{"expireAfter": {after}, "maxSize": {"9" * 30}}}')
        status, _, headers = await create(http, server)
        assert status == 201
        assert "Upload-Expires" in headers
        assert (await tus.head(http, headers["Location"])).status == 200


async def test_the_size_of_a_reply_counts_for_a_length_that_is_stated_later(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with asking(tmp_path) as (application, server):
        application.answer = reply({"maxSize": 10})
        url = await tus.create(http, server.url, None)
        assert (await tus.patch(http, url, 0, b"x" * 11)).status == 413
        assert (await tus.patch(http, url, 0, b"x" * 6)).status == 204
        assert (await tus.patch(http, url, 6, b"", Upload_Length="11")).status == 413
        assert (await tus.patch(http, url, 6, b"x" * 4, Upload_Length="10")).status == 204
        application.answer = answer_with(204)
        parts = [await tus.create(http, server.url, None, **{"Upload-Concat": "partial"}) for _ in range(2)]
        application.answer = reply({"maxSize": 10})
        assert (waits := await tus.final(http, server.url, parts)).status == 201
        for part in parts:
            assert (await tus.patch(http, part, 0, b"x" * 6, Upload_Length="6")).status == 204
        assert (await tus.head(http, waits.headers["Location"])).status == 410


async def test_headers_of_any_bytes_are_asked_about_and_a_reason_passes_only_with_headers_that_can_be_sent(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with asking(tmp_path, "--ask-headers=authorization") as (application, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1\r\nConnection: close\r\n"
            b"Authorization: caf\xe9\r\nAuthorization: caf\xc3\xa9, 2\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"201"
        writer.close()
        (got,) = application.received
        assert got.event["data"]["headers"] == {"authorization": "caf\xe9, caf\u00c3\u00a9, 2"}

    answer = b"HTTP/1.1 401 No\r\nRetry-After: a\x7fb\r\nWWW-Authenticate: A\r\nWWW-Authenticate: B\r\nContent-Length: 0\r\n\r\n"
    async with raw_receiver(answer) as origin:
        words = [f"--ask={origin}", f"--webhook-secret={SECRET}"]
        async with onward(tmp_path / "other", "sqlite:", words) as server:
            status, _, headers = await create(http, server)
            assert (status, headers["WWW-Authenticate"]) == (401, "A, B")
            assert "Retry-After" not in headers


async def test_the_application_is_told_the_owner_of_the_token_and_may_set_another(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with asking(tmp_path, "--auth=key") as (application, server):
        own = OwnKey(tmp_path / "data" / "auth.key")
        alice, team = ({"Authorization": f"Bearer {own.token(sub)}"} for sub in ("alice", "team"))
        for owner, sees, lacks in ((None, alice, team), ("team", team, alice)):
            application.answer = reply({} if owner is None else {"owner": owner})
            status, _, headers = await create(http, server, **alice)
            assert status == 201
            assert application.received[-1].event["data"]["owner"] == "alice"
            for told, expected in ((sees, 200), (lacks, 404)):
                async with http.head(headers["Location"], headers=tus.TUS | told) as answer:
                    assert answer.status == expected


async def test_a_final_upload_is_asked_about_too(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with asking(tmp_path) as (application, server):
        parts = [await tus.part(http, server.url, DATA) for _ in range(2)]
        application.answer = answer_with(403)
        assert (await tus.final(http, server.url, parts)).status == 403
        assert len(application.received) == 3


async def test_before_publishing_the_application_may_refuse(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with asking(tmp_path, "--ask-acts=publish") as (application, server):
        url = await tus.create(http, server.url, len(DATA), **METADATA)
        assert application.received == []
        application.answer = reply({"title": "Not for us", "detail": "It is a picture."}, 409)
        async with http.patch(url, data=DATA, headers=tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}) as answer:
            document = await answer.json(content_type=None)
            assert (answer.status, document["code"], document["title"], document["detail"]) == (
                422, "rejected", "Not for us", "It is a picture.",
            )  # fmt: skip
        (got,) = application.received
        Verifier(SECRET).verify(got.body, got.headers)
        data = got.event["data"]
        assert (got.type, data["status"], data["uploadedBytes"], data["fileName"]) == (
            "ask.publish", "verifying", len(DATA), "a.pdf",
        )  # fmt: skip
        assert len(data["sha256"]) == 64
        assert data["contentType"] == "text/plain"
        assert (await tus.head(http, url)).status == 410
        assert list((server.data / "files").iterdir()) == []


@pytest.mark.parametrize(
    "busy", [hang, answer_with(429), answer_with(425), answer_with(503)], ids=["hangs", "429", "425", "503"]
)
async def test_a_file_waits_for_an_application_that_is_away_or_busy(
    http: aiohttp.ClientSession, tmp_path: Path, busy: Answer
) -> None:
    async with asking(tmp_path, "--ask-acts=create,publish", "--ask-timeout=0.5") as (application, server):
        url = await tus.create(http, server.url, len(DATA))
        application.answer = busy
        answer = await tus.patch(http, url, 0, DATA)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await tus.head(http, url)).status == 423
        application.answer = answer_with(204)
        async with asyncio.timeout(20):
            while not list((server.data / "files").iterdir()):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert await tus.offset(http, url) == len(DATA)
