"""Watching one upload or many: the JSON with its ETag, one socket for many, limits, and whose pages may watch."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from event_stream import EVENTS, events_of
from onward_process import OnwardProcess, onward

DATA = b"0123456789"
UNKNOWN = "0" * 32
OURS, FOREIGN = "https://app.example", "https://evil.example"
HANDSHAKE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip


@pytest.fixture
async def server(state_url: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", state_url) as process:
        yield process


def many(server: OnwardProcess, urls: list[str]) -> str:
    """Give the URL that tells of several uploads."""
    ids = "&".join(f"id={url.rpartition('/')[2]}" for url in urls)
    return f"{server.url.removesuffix('/files')}/progress?{ids}"


async def test_the_document_has_an_etag(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, len(DATA))
    for watched in (f"{url}/progress", many(server, [url])):
        async with http.get(watched) as answer:
            told = await answer.json()
            seq = told[0]["seq"] if isinstance(told, list) else told["seq"]
            etag = answer.headers["ETag"]
            assert (etag, answer.headers["Cache-Control"]) == (f'"{seq}"', "private, no-cache")
        for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            async with http.get(watched, headers={"If-None-Match": known}) as answer:
                assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", etag)
        assert (await tus.patch(http, url, await tus.offset(http, url), DATA[:2])).status == 204
        async with http.get(watched, headers={"If-None-Match": etag}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (200, f'"{seq + 1}"')


async def test_many_are_followed_on_one_socket(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    urls = [await tus.create(http, server.url, len(DATA)) for _ in range(3)]
    async with http.get(many(server, urls)) as answer:
        assert [told["status"] for told in await answer.json()] == ["pending"] * 3
    async with http.ws_connect(many(server, urls)) as ws, http.get(many(server, urls), headers=EVENTS) as answer:
        first = [await ws.receive_json() for _ in urls]
        assert {told["uploadId"] for told in first} == {url.rpartition("/")[2] for url in urls}
        for url in urls:
            await tus.patch(http, url, 0, DATA[:5])
        await tus.patch(http, urls[0], 5, DATA[5:])
        async with http.delete(urls[1], headers=tus.TUS) as gone:
            assert gone.status == 204
        assert not ws.closed
        await tus.patch(http, urls[2], 5, DATA[5:])
        over_socket = [message.json() async for message in ws]
        assert ws.close_code == 1000
        over_events = [message async for _, message in events_of(answer)]
    for messages in (over_socket, over_events):
        last = {told["uploadId"]: told["status"] for told in messages}
        assert last == dict(
            zip((url.rpartition("/")[2] for url in urls), ("completed", "terminated", "completed"), strict=True)
        )
        for id_ in last:
            seqs = [told["seq"] for told in messages if told["uploadId"] == id_]
            assert seqs == sorted(set(seqs))


async def test_events_of_many_go_on_where_they_were(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    urls = [await tus.create(http, server.url, len(DATA)) for _ in range(2)]
    async with http.get(many(server, urls), headers=EVENTS) as answer:
        events = events_of(answer)
        ids = [(await anext(events))[0] for _ in urls]
    assert [id_.count(",") for id_ in ids] == [1, 1]
    assert ids[0].endswith(","), "nothing was told of the second yet"
    async with http.get(many(server, urls), headers=EVENTS | {"Last-Event-ID": ids[0]}) as answer:
        assert (await anext(events_of(answer)))[1]["uploadId"] == urls[1].rpartition("/")[2]
    async with http.get(many(server, urls), headers=EVENTS | {"Last-Event-ID": ids[1]}) as answer:
        newer = asyncio.ensure_future(anext(events_of(answer)))
        await tus.patch(http, urls[1], 0, DATA)
        assert (await newer)[1]["uploadId"] == urls[1].rpartition("/")[2]
        await tus.patch(http, urls[0], 0, DATA)
        last = [id_ async for id_, _ in events_of(answer)][-1]
    async with http.get(many(server, urls), headers=EVENTS | {"Last-Event-ID": last}) as answer:
        assert answer.status == 204
    for odd in ("", "1", last + ",1", ",", "x,y"):
        async with http.get(many(server, urls), headers=EVENTS | {"Last-Event-ID": odd}) as answer:
            assert [message["status"] async for _, message in events_of(answer)] == ["completed"] * 2


async def test_a_forged_id_hides_nothing_of_many(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    urls = [await tus.create(http, server.url, len(DATA)) for _ in range(3)]
    async with http.get(many(server, urls)) as answer:
        known, *_ = [told["seq"] for told in await answer.json()]
    ids = [url.rpartition("/")[2] for url in urls]
    forged = {"Last-Event-ID": f"{known},{known + 1},{'9' * 18}"}
    async with http.get(many(server, urls), headers=EVENTS | forged) as answer, asyncio.timeout(20):
        events = events_of(answer)
        assert {(await anext(events))[1]["uploadId"] for _ in range(2)} == set(ids[1:])
        for url in urls:
            await tus.patch(http, url, 0, DATA)
        last = {told["uploadId"]: told["status"] async for _, told in events}
    assert last == dict.fromkeys(ids, "completed")


@pytest.mark.parametrize("name", [b"", b"x", b"\xff" * 2900])
async def test_messages_of_all_sizes_come_through(
    server: OnwardProcess, http: aiohttp.ClientSession, name: bytes
) -> None:
    metadata = {"Upload-Metadata": f"filename {base64.b64encode(name).decode()}"}
    url = await tus.create(http, server.url, len(DATA), **metadata)
    async with http.ws_connect(f"{url}/progress") as ws:
        first = await ws.receive_json()
        assert first["fileName"] == (name.decode("utf-8", "replace") or None)
        for at in range(3):
            await tus.patch(http, url, at, DATA[at : at + 1])
            message = await ws.receive_json(timeout=10)
            assert (message["uploadedBytes"], message["fileName"]) == (at + 1, first["fileName"])
        await tus.patch(http, url, 3, DATA[3:])
        assert [message.json() async for message in ws][-1]["status"] == "completed"


async def test_a_request_for_what_is_not_there_is_refused(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, len(DATA))
    unknown = f"{server.url}/{UNKNOWN}"
    bare = server.url.removesuffix("/files") + "/progress"
    asked = (
        (many(server, [url, unknown]), 404, UNKNOWN),
        (bare, 400, "ids"),
        (f"{bare}?id=../{UNKNOWN}", 400, "ids"),
        (many(server, [f"/{number:032x}" for number in range(101)]), 400, "ids"),
    )
    for address, status, word in asked:
        for headers in ({}, EVENTS, HANDSHAKE):
            async with http.get(address, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (status, "application/problem+json")
                assert word in (await answer.json())["detail"]
    async with http.get(many(server, [url, url])) as answer:
        assert len(await answer.json()) == 1


async def test_limits_are_answered_before_the_upgrade(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    options = ["--watchers-per-upload=2", "--watchers-per-address=3"]
    async with onward(tmp_path / "data", "memory:", options) as server:
        one, other = [await tus.create(http, server.url, len(DATA)) for _ in range(2)]

        async def refused(address: str, word: str) -> None:
            for headers in (HANDSHAKE, EVENTS):
                async with http.get(address, headers=headers) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
                    told = await answer.json()
                    assert told["code"] == "crowded"
                    assert word in told["detail"]

        async with http.ws_connect(f"{one}/progress"), http.get(f"{one}/progress", headers=EVENTS):
            await refused(many(server, [other, one]), one.rpartition("/")[2])
            async with http.ws_connect(f"{other}/progress"):
                await refused(f"{other}/progress", "address")
            async with http.get(f"{one}/progress") as answer:
                assert answer.status == 200
        async with asyncio.timeout(20):
            while await watchers(http, server):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        async with http.ws_connect(f"{one}/progress"), http.ws_connect(f"{one}/progress"):
            assert await watchers(http, server) == 2


async def watchers(http: aiohttp.ClientSession, server: OnwardProcess) -> int:
    """Give how many the server counts."""
    async with http.get(f"{server.url.removesuffix('/files')}/metrics") as answer:
        line = next(line for line in (await answer.text()).splitlines() if line.startswith("onward_watchers "))
    return int(float(line.split()[1]))


async def handshake(http: aiohttp.ClientSession, address: str, **headers: str) -> int:
    """Ask for a WebSocket, and give the status."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.get(address, headers=HANDSHAKE | extra) as answer:
        if answer.status == 403:
            assert (await answer.json())["code"] == "foreign-origin"
        return answer.status


async def test_pages_of_other_origins_get_no_socket(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    options = [f"--cors-origins={OURS}", "--trusted-proxies=127.0.0.1"]
    async with onward(tmp_path / "data", "memory:", options) as server:
        url = await tus.create(http, server.url, len(DATA))
        for watched in (f"{url}/progress", many(server, [url])):
            own = server.url.removesuffix("/files")
            for origin in (OURS, OURS.upper(), own):
                assert await handshake(http, watched, Origin=origin) == 101, origin
            for origin in (FOREIGN, "null", "", own.replace("http", "https"), own + "0", f"{OURS}.evil", f"{OURS}:444"):
                assert await handshake(http, watched, Origin=origin) == 403, origin
            assert await handshake(http, watched) == 101
            proxied = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "files.example"}
            assert await handshake(http, watched, Origin="https://files.example", **proxied) == 101
            assert await handshake(http, watched, Origin="http://files.example", **proxied) == 403
            assert await handshake(http, watched, Origin=own, **proxied) == 403
            proxied["X_Forwarded_Host"] = "files.example:443"
            assert await handshake(http, watched, Origin="https://files.example", **proxied) == 101


@pytest.mark.parametrize(
    "options", [[f"--cors-origins={OURS}"], ["--cors-origins=*"], []], ids=["ours", "every", "own"]
)
async def test_who_names_several_origins_watches_nothing(
    http: aiohttp.ClientSession, tmp_path: Path, options: list[str]
) -> None:
    async with onward(tmp_path / "data", "memory:", options) as server:
        url, own = await tus.create(http, server.url, len(DATA)), server.url.removesuffix("/files")
        for origins in ((OURS, FOREIGN), (own, FOREIGN), (own, own), ("", own)):
            named = [("Origin", origin) for origin in origins]
            for watched in (f"{url}/progress", many(server, [url])):
                for headers in (HANDSHAKE, EVENTS):
                    async with http.get(watched, headers=[*headers.items(), *named]) as answer:
                        assert answer.status == 403, (origins, headers)
                        assert (await answer.json())["code"] == "foreign-origin"
                        if "*" not in str(options):
                            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_behind_an_unknown_proxy_the_host_decides(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "memory:") as server:
        watched = await tus.create(http, server.url, len(DATA)) + "/progress"
        proxied = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example"}
        host = f"127.0.0.1:{server.port}"
        assert await handshake(http, watched, Origin=f"https://{host}", **proxied) == 101
        assert await handshake(http, watched, Origin=FOREIGN, **proxied) == 403
    async with onward(tmp_path / "other", "memory:", ["--cors-origins=*"]) as server:
        watched = await tus.create(http, server.url, len(DATA)) + "/progress"
        assert await handshake(http, watched, Origin=FOREIGN) == 101
