"""Tokens and links: they let commands and code in, go to one origin only, and are repeated nowhere."""

import base64
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from client_process import end_of, resume_files, run, started
from embedded_server import embedded
from pytest_aiohttp.plugin import AiohttpServer

from onward import Act, Options, Refused, upload, watch
from onward.client.link import Link, read_target, read_watched
from onward.protocol.model import CreateRequest, UploadId

ID = "Zk3-_0123456789abcdefgh"


def token_for(**own: str) -> str:
    """Return a token that is signed by nobody."""
    words = ({"alg": "HS256"}, {"sub": "anna", "onward": own}, "signature")
    return ".".join(base64.urlsafe_b64encode(json.dumps(word).encode()).decode().rstrip("=") for word in words)


TOKEN = token_for()


async def access(
    request: web.Request, act: Act, upload_id: UploadId | None, create_request: CreateRequest | None
) -> None:
    """Allow requests that carry the token."""
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}, reason="A token is needed")


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """Where a server that asks for the token takes uploads."""
    async with embedded(tmp_path / "data", access=access, state="memory:") as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"some bytes")
    return path


@pytest.mark.parametrize("way", ["option", "environment", "link"])
async def test_commands_take_a_token(url: str, file: Path, tmp_path: Path, way: str) -> None:
    options = [f"--token={TOKEN}"] if way == "option" else []
    environ = {"ONWARD_TOKEN": TOKEN} if way == "environment" else {"ONWARD_TOKEN": "of-somebody-else"}
    target = f"{url.removesuffix('files')}#token={TOKEN}" if way == "link" else url
    sent = await run(tmp_path, "upload", str(file), "--to", target, *options, environ=environ)
    assert sent.code == 0, sent.err
    upload_url = sent.out.strip()
    watched = await run(
        tmp_path, "watch", f"{upload_url}#token={TOKEN}" if way == "link" else upload_url, *options, environ=environ
    )
    assert (watched.code, watched.err) == (0, "")
    assert TOKEN not in sent.out + sent.err + watched.out


async def test_code_takes_a_token(url: str, file: Path, tmp_path: Path) -> None:
    options = Options(token=TOKEN, state=tmp_path)
    assert TOKEN not in repr(options)
    result = await upload(file, url, options=options)
    assert [message.status async for message in watch(result.url, token=TOKEN)] == ["completed"]
    again = await upload(file, f"{url}#token={TOKEN}", options=Options(token="of-somebody-else", state=tmp_path))
    assert TOKEN not in again.url
    assert [message.status async for message in watch(f"{again.url}#token={TOKEN}")] == ["completed"]


async def test_a_server_that_wants_a_token_is_told_with_the_options(url: str, file: Path, tmp_path: Path) -> None:
    sent = await run(tmp_path, "upload", str(file), "--to", url)
    sentence = "the server answers 401: A token is needed; give one with --token or ONWARD_TOKEN"
    assert (sent.code, sent.err) == (1, f"onward: {file}: {sentence} (POST {url})\n")


async def test_an_interrupted_command_keeps_the_token_to_itself(
    file: Path, tmp_path: Path, aiohttp_server: AiohttpServer
) -> None:
    """The server accepts the upload, and then never has time for its bytes."""

    async def create(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        return web.Response(status=201, headers={"Location": "/files/1"})

    async def put_off(request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    app = web.Application()
    app.router.add_post("/files", create)
    app.router.add_route("PATCH", "/files/1", put_off)
    page = str((await aiohttp_server(app)).make_url("/"))
    async with started(tmp_path, "upload", str(file), "--to", f"{page}#token={TOKEN}", "--again") as process:
        assert process.stderr is not None
        trouble = (await process.stderr.readline()).decode()
        process.send_signal(signal.SIGTERM)
        ended = await end_of(process)
    assert "trying again" in trouble
    again = f"onward upload {file} --to '{page}#token=TOKEN'"
    assert (ended.code, ended.err.strip()) == (143, f"interrupted; to resume, run the same command: {again}")
    [saved] = [path.read_text() for path in resume_files(tmp_path) if path.suffix == ".json"]
    assert f"{page}files/1" in saved
    assert TOKEN not in trouble + ended.err + saved


async def test_no_other_origin_gets_the_token(file: Path, tmp_path: Path, aiohttp_server: AiohttpServer) -> None:
    """The server creates uploads on another origin, and redirects watchers there."""
    seen: list[tuple[str, str | None]] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append((request.method, request.headers.get("Authorization")))
        raise web.HTTPForbidden

    async def here(request: web.Request) -> web.Response:
        seen.append((request.method, request.headers.get("Authorization")))
        location = str(far.make_url(request.path))
        return web.Response(status=201 if request.method == "POST" else 302, headers={"Location": location})

    apps = web.Application(), web.Application()
    for app, handler in zip(apps, (elsewhere, here), strict=True):
        app.router.add_route("*", "/{tail:.*}", handler)
    far, near = await aiohttp_server(apps[0]), await aiohttp_server(apps[1])
    page, login = str(near.make_url("/")), f"Bearer {TOKEN}"
    with pytest.raises(Refused, match="403"):
        await upload(file, f"{page}#token={TOKEN}", options=Options(state=tmp_path))
    with pytest.raises(Refused, match="403"):
        [message async for message in watch(f"{page}files/1", token=TOKEN)]
    assert seen == [("POST", login), ("PATCH", None), ("GET", login), ("GET", None)]


@pytest.mark.parametrize(
    ("given", "url", "token"),
    [
        ("http://h/", "http://h/", None),
        ("http://h/files#here", "http://h/files#here", None),
        ("http://h/#token=a.b.c", "http://h/files", "a.b.c"),
        ("https://h/sub/#token=a.b.c", "https://h/sub/files", "a.b.c"),
        ("http://h/files#token=a.b.c", "http://h/files", "a.b.c"),
        ("http://h/files/#token=a.b.c", "http://h/files/", "a.b.c"),
        ("http://h/api/up#token=a.b.c", "http://h/api/up", "a.b.c"),
    ],
)
def test_a_link_is_a_target_and_a_token(given: str, url: str, token: str | None) -> None:
    assert read_target(given) == Link(url, token)


ONE = token_for(upload=ID)


@pytest.mark.parametrize(
    ("given", "url", "token"),
    [
        (f"http://h/files/{ID}", f"http://h/files/{ID}", None),
        (f"http://h/files/{ID}#token={TOKEN}", f"http://h/files/{ID}", TOKEN),
        (f"http://h/#token={ONE}", f"http://h/files/{ID}", ONE),
        (f"http://h/sub/#watch={ID}", f"http://h/sub/files/{ID}", None),
        (f"http://h/#watch={ID}&token={TOKEN}", f"http://h/files/{ID}", TOKEN),
    ],
)
def test_a_link_is_an_upload_and_a_token(given: str, url: str, token: str | None) -> None:
    assert read_watched(given) == Link(url, token)


@pytest.mark.parametrize("payload", ["", ".", "....", "a.!.c", "a.bnVsbA.c", f"a.{'x' * 101}.c", TOKEN])
def test_a_link_that_names_no_upload_can_not_be_watched(payload: str) -> None:
    with pytest.raises(Refused, match=r"'http://h/' is a page|damaged") as refused:
        read_watched(f"http://h/#token={payload}")
    assert not payload.strip(".") or payload not in str(refused.value)


@pytest.mark.parametrize("url", ["http://h/#token=a+secret", "h/#token=secret", "http://[h/#token=secret"])
def test_a_wrong_link_is_shown_without_its_token(url: str) -> None:
    for read in (read_target, read_watched):
        with pytest.raises(Refused) as refused:
            read(url)
        assert "secret" not in str(refused.value)


async def test_a_wrong_token_is_not_shown(tmp_path: Path) -> None:
    ended = await run(tmp_path, "upload", "a", "--to=http://h/files", "--token=a secret")
    sentence = "onward: --token: it is not a token; one has only letters, digits and -._~+/=\n"
    assert (ended.code, ended.out, ended.err) == (2, "", sentence)
