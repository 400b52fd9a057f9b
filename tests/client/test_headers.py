"""The user's own headers: uploading and watching log in with them, and no other origin gets them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from client_process import run
from embedded_server import embedded
from pytest_aiohttp.plugin import AiohttpServer

from onward import Act, Options, Refused, upload, watch
from onward.protocol.errors import Refusal
from onward.protocol.model import CreateRequest, UploadId

TOKEN = "Bearer secret"
LOGIN = f"Authorization: {TOKEN}"


class Unauthenticated(Refusal):
    """Nobody is logged in."""

    status, code, title = 401, "unauthenticated", "Log in first"


async def access(
    request: web.Request, act: Act, upload_id: UploadId | None, create_request: CreateRequest | None
) -> None:
    """Allow requests that carry the token."""
    if request.headers.get("Authorization") != TOKEN:
        raise Unauthenticated


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """Where a server that asks for a token takes uploads."""
    async with embedded(tmp_path / "data", access=access, state="memory:") as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"some bytes")
    return path


@pytest.mark.parametrize("way", ["option", "environment"])
async def test_watching_logs_in_as_uploading_does(url: str, file: Path, tmp_path: Path, way: str) -> None:
    options, environ = ([f"--header={LOGIN}"], {}) if way == "option" else ([], {"ONWARD_HEADER": LOGIN})
    sent = await run(tmp_path, "upload", str(file), "--to", url, *options, environ=environ)
    assert sent.code == 0, sent.err
    watched = await run(tmp_path, "watch", sent.out.strip(), *options, environ=environ)
    assert (watched.code, watched.err) == (0, "")
    assert "completed" in watched.out


async def test_an_option_comes_before_the_environment(url: str, file: Path, tmp_path: Path) -> None:
    words = ("upload", str(file), "--to", url, f"--header={LOGIN}")
    assert (await run(tmp_path, *words, environ={"ONWARD_HEADER": "Authorization: other"})).code == 0


async def test_a_refusal_is_told_with_the_reason_of_the_server(url: str, file: Path, tmp_path: Path) -> None:
    upload_url = (await upload(file, url, options=Options(headers={"Authorization": TOKEN}, state=tmp_path))).url
    sent = await run(tmp_path, "upload", str(file), "--to", url)
    assert (sent.code, sent.err) == (1, f"onward: {file}: the server answers 401: Log in first (POST {url})\n")
    watched = await run(tmp_path, "watch", upload_url)
    assert (watched.code, watched.out) == (1, "")
    assert watched.err == f"onward: {upload_url}: the server answers 401: Log in first\n"
    with pytest.raises(Refused, match="401: Log in first") as refused:
        [message async for message in watch(upload_url)]
    assert refused.value.status == 401


async def test_watching_from_code_takes_headers(url: str, file: Path, tmp_path: Path) -> None:
    headers = {"Authorization": TOKEN}
    result = await upload(file, url, options=Options(headers=headers, state=tmp_path))
    assert [message.status async for message in watch(result.url, headers=headers)] == ["completed"]


async def test_headers_come_before_the_credentials_of_a_url_and_of_a_netrc(
    url: str, file: Path, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    for target, environ in ((url.replace("//", "//user:pw@"), {}), (url, {"NETRC": str(netrc)})):
        sent = await run(tmp_path, "upload", str(file), "--to", target, f"--header={LOGIN}", environ=environ)
        assert sent.code == 0, sent.err
        watched = await run(tmp_path, "watch", sent.out.strip(), f"--header={LOGIN}", environ=environ)
        assert watched.code == 0, watched.err


async def test_a_password_in_a_url_is_not_repeated_in_an_error(url: str, file: Path, tmp_path: Path) -> None:
    sent = await run(tmp_path, "upload", str(file), "--to", url.replace("//", "//user:secret@") + "?token=secret")
    assert "the server answers 401" in sent.err
    assert "secret" not in sent.err


async def test_a_redirect_elsewhere_does_not_take_the_headers_along(
    url: str, file: Path, tmp_path: Path, aiohttp_server: AiohttpServer
) -> None:
    """The other origin is a listener that writes down what it is asked with."""
    seen: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get("X-Key"))
        raise web.HTTPForbidden

    async def here(request: web.Request) -> web.Response:
        seen.append(request.headers.get("X-Key"))
        raise web.HTTPFound(str(other.make_url("/files/1/progress")))

    far, near = web.Application(), web.Application()
    far.router.add_get("/files/1/progress", elsewhere)
    near.router.add_get("/files/1/progress", here)
    other, first = await aiohttp_server(far), await aiohttp_server(near)
    ended = await run(tmp_path, "watch", str(first.make_url("/files/1")), "--header=X-Key: secret")
    assert (ended.code, seen) == (1, ["secret", None])
    assert "the server answers 403: 403: Forbidden" in ended.err


@pytest.mark.parametrize("command", ["upload", "watch"])
@pytest.mark.parametrize(
    ("variable", "value"), [("ONWARD_HEADER", "bad"), ("ONWARD_RETRY_FOR", "never"), ("ONWARD_HEADER", "Näme: x")]
)
async def test_an_invalid_variable_is_named(tmp_path: Path, command: str, variable: str, value: str) -> None:
    words = {"upload": ["file.bin", "--to=http://127.0.0.1:1/"], "watch": ["http://127.0.0.1:1/1"]}[command]
    ended = await run(tmp_path, command, *words, environ={variable: value})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"onward: {variable}: {value!r} ")
    assert ended.err.count("\n") == 1
    assert f"{variable}: {value!r} is " in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err


async def test_an_empty_variable_counts_as_not_set(url: str, file: Path, tmp_path: Path) -> None:
    environ = {"ONWARD_HEADER": "", "ONWARD_PARALLEL": "", "ONWARD_CHUNK_SIZE": ""}
    ended = await run(tmp_path, "upload", str(file), "--to", url, f"--header={LOGIN}", environ=environ)
    assert ended.code == 0, ended.err
