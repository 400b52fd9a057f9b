"""A second dialect is one value: here one with replies of its own, informational ones too, beside tus 1.0.0."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded

from onward.protocol.dialects import DEFAULT, Dialect, Headers, Reply, Request, build_problem, named
from onward.protocol.errors import BadRequest, Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status, Upload
from onward.server.http import app_keys
from onward.storage.base import Durability

MARK = {"Other-Version": "3"}
DATA = b"said in other words" * 100_000


def _told(upload: Upload) -> dict[str, str]:
    return {"Other-Done": "?1" if upload.status is Status.COMPLETED else "?0", "Other-Offset": str(upload.offset)}


def _read_create(request: Request, _limits: Limits) -> CreateRequest:
    length = int(request.headers["other-length"])
    return CreateRequest(
        length=length, metadata=None, promised=None, body_size=request.body_size, has_body=request.has_body
    )


def _read_append(request: Request, _limits: Limits) -> AppendRequest:
    offset = int(request.headers["other-offset"])
    return AppendRequest(offset=offset, length=None, promised=None, body_size=request.body_size, completes=True)


def _check(_method: str, headers: Headers) -> None:
    if "other-length" in headers:
        raise BadRequest("There is nothing to state here.")


def _build_created(upload: Upload, location: str, _limits: Limits, _now: float) -> Reply:
    return Reply(status=200, headers={"Location": location} | _told(upload), body=b"made")


def _build_interim(upload: Upload, location: str | None, _limits: Limits, _now: float) -> Reply:
    return Reply(status=104, headers=_told(upload) | ({} if location is None else {"Location": location}))


def _build_refused(refusal: Refusal, for_offset: bool, _limits: Limits, _now: float) -> Reply:
    return build_problem(
        refusal, refusal.status, {"Other-Done": "?0"}, type="https://other.example/no", asks=for_offset
    )


OTHER = Dialect(
    name="other",
    signs=("Other-Version",),
    claims=lambda _method, headers: "Other-Version" in headers,
    stamp=MARK,
    sent_once=("other-",),
    cors_requests=frozenset({"Other-Version", "Other-Length", "Other-Offset"}),
    cors_replies=frozenset({"Other-Version", "Other-Done", "Other-Offset"}),
    find_method=lambda method, _headers: method,
    offers_method=lambda method, _limits: method != "DELETE",
    read_create=_read_create,
    read_append=_read_append,
    check_headers=_check,
    build_created=_build_created,
    build_appended=lambda upload, _limits, _now: Reply(status=200, headers=_told(upload)),
    build_inspected=lambda upload, _limits, _now: Reply(status=204, headers=_told(upload)),
    build_terminated=lambda: Reply(status=200, headers={}),
    build_discovered=lambda _limits: Reply(status=200, headers={}),
    build_refused=_build_refused,
    build_interim=_build_interim,
    features=(),
    is_passing=lambda status: status == 503,
)


@pytest.fixture
async def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(app_keys, "named", partial(named, dialects=(DEFAULT, OTHER)))
    async with embedded(tmp_path / "data", durability=Durability.NONE) as url:
        yield url


async def _exchange(files: str, method: str, path: str, headers: dict[str, str], body: bytes) -> list[str]:
    """Send one request, the second half of its body a while later; return the heads of all replies."""
    host, port = files.removeprefix("http://").removesuffix("/files").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = MARK | headers | {"Host": f"{host}:{port}", "Content-Length": str(len(body)), "Connection": "close"}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    writer.write("\r\n".join([*head, "", ""]).encode())
    writer.write(body[: len(body) // 2])
    await writer.drain()
    await asyncio.sleep(0.6)  # for two strides
    writer.write(body[len(body) // 2 :])
    heads = (await reader.read()).decode("latin-1").split("\r\n\r\n")
    writer.close()
    return [head for head in heads if head.startswith("HTTP/1.1")]


async def test_an_upload_is_made_and_finished_with_informational_replies(
    files: str, http: aiohttp.ClientSession
) -> None:
    length = {"Other-Length": str(len(DATA))}
    first, *between, last = await _exchange(files, "POST", "/files", length, DATA[: len(DATA) // 2])
    url = first.partition("Location: ")[2].partition("\r\n")[0]
    assert first.startswith("HTTP/1.1 104 ")
    assert "Other-Offset: 0" in first
    assert between
    assert all(head.startswith("HTTP/1.1 104 ") and "Location" not in head for head in between)
    assert last.startswith("HTTP/1.1 200 ")
    assert f"Location: {url}" in last
    async with http.head(url, headers=MARK) as answer:
        assert (answer.status, answer.headers["Other-Offset"]) == (204, str(len(DATA) // 2))
        assert (answer.headers["Other-Done"], answer.headers["Other-Version"]) == ("?0", "3")
    path = url[url.index("/files") :]
    *between, last = await _exchange(
        files, "PATCH", path, {"Other-Offset": str(len(DATA) // 2)}, DATA[len(DATA) // 2 :]
    )
    offsets = [int(head.partition("Other-Offset: ")[2].partition("\r\n")[0]) for head in [*between, last]]
    assert between
    assert offsets == sorted(offsets)
    assert all(head.startswith("HTTP/1.1 104 ") for head in between)
    assert last.startswith("HTTP/1.1 200 ")
    assert "Other-Done: ?1" in last
    async with http.get(url) as answer:
        assert await answer.read() == DATA


async def test_refusals_and_methods_are_those_of_the_dialect(files: str, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, files, 5)
    async with http.delete(url, headers=MARK) as answer:
        assert (answer.status, answer.headers["Other-Done"]) == (405, "?0")
        problem = json.loads(await answer.read())
        assert (problem["type"], problem["asks"]) == ("https://other.example/no", False)
    async with http.post(url, headers=MARK | {"X-HTTP-Method-Override": "HEAD"}) as answer:
        assert answer.status == 405, "this dialect knows no such header"
    async with http.head(url, headers=MARK | {"Other-Length": "1"}) as answer:
        assert answer.status == 400
    async with http.head(f"{files}/{'0' * 32}", headers=MARK) as answer:
        assert (answer.status, answer.headers["Other-Version"]) == (404, "3")
    async with http.options(files, headers=MARK) as answer:
        assert answer.status == 200
    async with http.head(url, headers=tus.TUS) as answer:
        assert (answer.status, answer.headers["Upload-Offset"]) == (200, "0")
        assert "Other-Version" not in answer.headers


async def test_a_client_of_http_1_0_gets_no_informational_reply(files: str) -> None:
    host, port = files.removeprefix("http://").removesuffix("/files").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /files HTTP/1.0\r\nHost: {host}:{port}\r\nOther-Version: 3\r\nOther-Length: 5\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.0 200 ")
    writer.close()
