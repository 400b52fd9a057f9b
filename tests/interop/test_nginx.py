"""Onward behind nginx as docs/examples/nginx.conf sets it up: TLS, HTTP/1.1 and HTTP/2, bodies buffered or not."""

import asyncio
import hashlib
import json
import random
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import end_to_end_scenario as scenario
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from curl import Curl, Version
from http_connection import OCTETS, Headers, path_of, poll
from nginx_process import Buffering, Nginx, nginx
from server_process import Server, Start, serving

TRUSTING = "--trusted-proxies=127.0.0.1"
DATA = random.Random(2027).randbytes(5 * 2**20 + 321)
SHA256 = hashlib.sha256(DATA)
REPR_DIGEST = f"sha-256=:{b64encode(SHA256.digest()).decode()}:"
THIRD = len(DATA) // 3
BEGUN = DATA[:1_000_000]
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")  # of tuspy, aiotus, tus-js-client


@dataclass(frozen=True, slots=True)
class Proxied:
    """A server behind nginx."""

    server: Server
    nginx: Nginx
    buffering: Buffering

    @property
    def files(self) -> str:
        return f"{self.nginx.origin}/files"

    def stored(self, url: str) -> bytes:
        return self.server.published(url)

    def told(self, url: str) -> int:
        """Give the recorded bytes, past nginx and without disturbing the upload."""
        told: int = json.loads(self.server.tus.progress(path_of(url)))["uploadedBytes"]
        return told


@pytest.fixture(scope="module", params=["off", "on"], ids=["unbuffered", "buffered"])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder, buffering = tmp_path_factory.mktemp("proxied"), request.param
    with (
        serving(folder / "data", [TRUSTING]) as server,
        nginx(folder / "nginx", server.tus.port, buffering=buffering) as proxy,
    ):
        yield Proxied(server, proxy, buffering)


@pytest.fixture(params=["1.1", "2"], ids=["http1", "http2"])
def version(request: pytest.FixtureRequest) -> Version:
    version: Version = request.param
    return version


@pytest.fixture
def curl(version: Version, proxied: Proxied) -> Curl:
    return Curl(version, proxied.nginx.certificate)


def test_an_upload_in_parts_arrives_whole(curl: Curl, proxied: Proxied) -> None:
    url = curl.create(proxied.files, len(DATA))["Location"]
    assert url.startswith(f"{proxied.files}/")
    assert curl.offset(url) == 0
    assert curl.patch(url, 0, DATA[:THIRD])["Upload-Offset"] == str(THIRD)
    assert curl.patch(url, THIRD, DATA[THIRD : 2 * THIRD]).status == 204
    assert curl.offset(url) == 2 * THIRD
    last = curl.patch(url, 2 * THIRD, DATA[2 * THIRD :])
    assert (last.status, last["Upload-Offset"], last["Repr-Digest"]) == (204, str(len(DATA)), REPR_DIGEST)
    assert proxied.stored(url) == DATA
    whole = curl.ask("GET", url)
    assert (whole.status, whole["Repr-Digest"]) == (200, REPR_DIGEST)
    assert whole.body == DATA
    part = curl.ask("GET", url, {"Range": "bytes=1000000-3999999"})
    assert (part.status, part["Content-Range"]) == (206, f"bytes 1000000-3999999/{len(DATA)}")
    assert part.body == DATA[1_000_000:4_000_000]


def test_a_creation_brings_bytes_along(curl: Curl, proxied: Proxied) -> None:
    answer = curl.ask("POST", proxied.files, {"Upload-Length": str(len(DATA)), "Content-Type": OCTETS}, BEGUN)
    assert (answer.status, answer["Upload-Offset"]) == (201, str(len(BEGUN)))
    last = curl.patch(answer["Location"], len(BEGUN), DATA[len(BEGUN) :])
    assert (last.status, last["Repr-Digest"]) == (204, REPR_DIGEST)
    assert proxied.stored(answer["Location"]) == DATA


def test_a_location_names_the_host_that_the_client_used(curl: Curl, proxied: Proxied) -> None:
    here = ("--connect-to", f"uploads.example.com:443:127.0.0.1:{proxied.nginx.port}")
    url = curl.create("https://uploads.example.com/files", 1, {}, *here)["Location"]
    assert url.startswith("https://uploads.example.com/files/")
    assert curl.ask("HEAD", url, {}, None, *here).status == 200


@pytest.mark.parametrize(
    "forged",
    [{"Forwarded": "proto=http;host=forged"}, {"X-Forwarded-Host": "forged", "X-Forwarded-Proto": "http"}],
    ids=["forwarded", "x-forwarded"],
)
def test_what_a_client_says_about_its_way_is_not_believed(curl: Curl, proxied: Proxied, forged: Headers) -> None:
    url = curl.create(proxied.files, 1, forged)["Location"]
    assert url.startswith(f"{proxied.files}/")


@pytest.mark.parametrize(("offset", "status"), [(7, 409), (0, 413)])
def test_a_refusal_passes_while_the_body_is_being_sent(curl: Curl, proxied: Proxied, offset: int, status: int) -> None:
    url = curl.create(proxied.files, THIRD)["Location"]
    slowly = ["--limit-rate", "2M"] if proxied.buffering == "off" else []
    answer = curl.patch(url, offset, DATA, *slowly)
    assert answer.status == status
    assert answer["Content-Type"].startswith("application/problem+json")
    assert json.loads(answer.body)["status"] == status
    if proxied.buffering == "off":
        assert curl.sent < len(DATA)
    assert curl.offset(url) == 0


def test_a_terminated_upload_is_gone(curl: Curl, proxied: Proxied) -> None:
    url = curl.create(proxied.files, 10)["Location"]
    assert curl.ask("DELETE", url).status == 204
    assert curl.ask("HEAD", url).status == 410


def test_of_a_cut_body_unbuffered_bytes_are_kept(curl: Curl, proxied: Proxied) -> None:
    url = curl.create(proxied.files, len(DATA))["Location"]
    kept = len(BEGUN) if proxied.buffering == "off" else 0
    collected = proxied.nginx.log.count("is buffered to a temporary file")
    with curl.hanging(url, BEGUN) as client:
        if kept:
            poll(lambda: proxied.told(url) == kept)
        else:
            poll(lambda: proxied.nginx.log.count("is buffered to a temporary file") > collected)
        client.cut()
        assert curl.offset(url) == kept
    assert curl.patch(url, kept, DATA[kept:])["Repr-Digest"] == REPR_DIGEST


@pytest.mark.parametrize("proxied", ["off"], indirect=True, ids=["unbuffered"])
def test_head_takes_over_from_a_body_that_hangs(curl: Curl, proxied: Proxied) -> None:
    url = curl.create(proxied.files, len(DATA))["Location"]
    with curl.hanging(url, BEGUN) as client:
        poll(lambda: proxied.told(url) == len(BEGUN))
        assert curl.offset(url) == len(BEGUN)
        assert client.answer().status == 423
    assert curl.patch(url, len(BEGUN), DATA[len(BEGUN) :])["Repr-Digest"] == REPR_DIGEST


def test_a_body_that_stalls_is_answered_by_the_server(start: Start, tmp_path: Path, version: Version) -> None:
    server = start(TRUSTING, "--body-idle=0.5")
    with nginx(tmp_path / "nginx", server.tus.port) as proxy:
        curl = Curl(version, proxy.certificate)
        url = curl.create(f"{proxy.origin}/files", len(DATA))["Location"]
        with curl.hanging(url, BEGUN) as client:
            answer = client.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (423, "body-stalled")
        assert curl.offset(url) == len(BEGUN)


def test_a_client_that_asks_for_the_offset_has_to_wait_while_the_server_is_away(
    start: Start, tmp_path: Path, version: Version
) -> None:
    server = start(TRUSTING)
    with nginx(tmp_path / "nginx", server.tus.port) as proxy:
        curl = Curl(version, proxy.certificate)
        url = curl.create(f"{proxy.origin}/files", len(DATA))["Location"]
        server.process.kill()
        server.process.wait()
        answer = curl.ask("HEAD", url)
        assert (answer.status, answer["Retry-After"]) == (423, "1")
        assert curl.patch(url, 0, BEGUN).status == 503
        assert curl.ask("POST", f"{proxy.origin}/files", {"Upload-Length": "1"}).status == 503


def test_without_trusted_proxies_a_location_is_a_path(start: Start, tmp_path: Path, version: Version) -> None:
    server = start()
    with nginx(tmp_path / "nginx", server.tus.port) as proxy:
        curl = Curl(version, proxy.certificate)
        path = curl.create(f"{proxy.origin}/files", 4)["Location"]
        assert path.startswith("/files/")
        assert curl.patch(proxy.origin + path, 0, b"four").status == 204


@asynccontextmanager
async def secure_session(tls: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    """A client over TLS whose connections are closed in the end: aiohttp closes them after the session is closed."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        yield session
    await asyncio.sleep(0.25)


async def test_a_watcher_follows_to_the_end(proxied: Proxied) -> None:
    tls = proxied.nginx.tls()
    async with secure_session(tls) as https:
        url = await tus.create(https, proxied.files, len(DATA))
        watcher = Watcher(url, tls)
        async with watcher.watching():
            await watcher.until(0)
            for begin in range(0, len(DATA), THIRD):
                end = min(begin + THIRD, len(DATA))
                assert (await tus.patch(https, url, begin, DATA[begin:end])).status == 204
                await watcher.until(end)
    assert [watcher.messages[0]["status"], watcher.last["status"]] == ["pending", "completed"]
    assert watcher.last["sha256"] == SHA256.hexdigest()
    assert watcher.close_code == 1000


async def test_many_are_followed_as_they_grow(proxied: Proxied) -> None:
    """Over a WebSocket and over events, of which each must come before the next is caused."""
    async with secure_session(proxied.nginx.tls()) as https:
        urls = [await tus.create(https, proxied.files, 2) for _ in range(2)]
        watched = f"{proxied.nginx.origin}/progress?" + "&".join(f"id={url.rpartition('/')[2]}" for url in urls)
        own = {"Origin": proxied.nginx.origin}
        async with (
            asyncio.timeout(30),
            https.ws_connect(watched, headers=own) as ws,
            https.get(watched, headers=own | {"Accept": "text/event-stream"}) as events,
        ):
            assert events.content_type == "text/event-stream"

            async def both() -> tuple[Any, Any]:
                """Give what each way tells next."""
                over_socket = await ws.receive_json()
                while not (line := await events.content.readline()).startswith(b"data: "):
                    assert line, "the events have ended"
                return over_socket, json.loads(line.removeprefix(b"data: "))

            for _ in urls:
                assert [told["status"] for told in await both()] == ["pending"] * 2
            for url in urls:
                assert (await tus.patch(https, url, 0, b"1")).status == 204
                assert [told["uploadedBytes"] for told in await both()] == [1, 1]
            for url in urls:
                async with https.delete(url, headers=tus.TUS) as gone:
                    assert gone.status == 204
                assert [told["status"] for told in await both()] == ["terminated"] * 2
            assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
            assert ws.close_code == 1000
            await events.read()  # the stream ends as well, so that its connection is not cut


def test_the_page_and_its_files_are_served(curl: Curl, proxied: Proxied) -> None:
    page = curl.ask("GET", f"{proxied.nginx.origin}/")
    assert (page.status, page["Content-Type"].partition(";")[0]) == (200, "text/html")
    files = re.findall(r'(?:src|href)="(page/[^"]+)"', page.body.decode())
    assert len(files) > 1
    for file in files:
        assert curl.ask("GET", f"{proxied.nginx.origin}/{file}").status == 200, file


def test_the_list_of_uploads_is_asked_of_the_server(curl: Curl, proxied: Proxied) -> None:
    refused = curl.ask("GET", f"{proxied.nginx.origin}/uploads")  # it is there for tokens only
    assert (refused.status, refused["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_what_is_for_the_operator_is_not_for_all(curl: Curl, proxied: Proxied, path: str) -> None:
    assert curl.ask("GET", proxied.nginx.origin + path).status == 404


@pytest.mark.parametrize("client", scenario.CLIENTS)
async def test_a_client_uploads_over_https(
    client: str, proxied: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in AUTHORITIES:
        monkeypatch.setenv(name, str(proxied.nginx.certificate))
    (tmp_path / "file.bin").write_bytes(DATA)
    words = [proxied.files, str(tmp_path / "file.bin"), SHA256.hexdigest()]
    async with scenario.client_process(client, words) as sender:
        url = (await sender.told(20))["url"]
        watcher = Watcher(url, proxied.nginx.tls())
        async with watcher.watching():
            assert await sender.told(20) == {"ok": True}
    assert watcher.last["status"] == "completed"
    assert watcher.close_code == 1000
    assert proxied.stored(url) == DATA
