"""Checks in the life of an upload, over HTTP: what is rejected, what is held, and what is published in the end."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha1
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded

from onward import Content, Later, Rejected
from onward.protocol.model import Upload
from onward.storage.base import Unreachable

DATA = b"what is to be judged" * 1000
SOON = 1  # seconds; no check is asked again earlier


class Judge:
    """A check that does what the test says; it notes what it was asked about."""

    def __init__(self, verdict: Exception | None = None) -> None:
        self.verdict, self.asked = verdict, list[tuple[str, int]]()

    async def __call__(self, upload: Upload, content: Content) -> None:
        """Read the whole file, and raise the verdict."""
        read = b"".join([block async for block in content.blocks()])
        assert len(read) == content.length == upload.offset
        async with content.file() as descriptor:
            assert (descriptor is None) == (not content.length)
        self.asked.append((upload.id, content.length))
        content.content_type = "text/x-judged"
        if self.verdict is not None:
            raise self.verdict


class HeadJudge:
    """An early check of what a file begins with."""

    early = True

    def __init__(self, wrong: bytes) -> None:
        self.wrong, self.asked = wrong, list[int]()

    async def __call__(self, _upload: Upload, content: Content) -> None:
        """Reject what begins like the wrong bytes."""
        head = await content.head()
        self.asked.append(len(head))
        if head.startswith(self.wrong):
            raise Rejected("type-not-allowed", 415, "Files of this type are not allowed", "It is wrong.")


INFECTED = Rejected("infected", 422, "A virus was found", "It is Eicar.")


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the server is asked over HTTP
            await asyncio.sleep(0.05)


async def told(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(f"{url}/progress") as answer:
        message: dict[str, Any] = await answer.json()
        return message


async def status_of(http: aiohttp.ClientSession, url: str) -> str:
    return str((await told(http, url))["status"])


async def send(http: aiohttp.ClientSession, url: str, data: bytes, at: int = 0) -> tuple[int, dict[str, Any], Any]:
    headers = tus.TUS | tus.OCTETS | {"Upload-Offset": str(at)}
    async with http.patch(url, data=BytesIO(data), headers=headers) as answer:
        body = await answer.read()
        return answer.status, json.loads(body) if body else {}, answer.headers


def files_of(data: Path) -> list[str]:
    return [path.name for path in (data / "files").iterdir()]


@pytest.mark.parametrize("way", ["patch", "creation", "empty"])
async def test_what_is_rejected_fails_for_good(way: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge, data = Judge(INFECTED), b"" if way == "empty" else DATA
    async with embedded(tmp_path, [judge]) as files:
        if way == "patch":
            url = await tus.create(http, files, len(data))
            status, problem, headers = await send(http, url, data)
        else:
            extra = tus.OCTETS if data else {}
            asked = tus.TUS | extra | {"Upload-Length": str(len(data))}
            async with http.post(files, data=data or None, headers=asked) as answer:
                status, problem, headers, url = (
                    answer.status,
                    await answer.json(),
                    answer.headers,
                    answer.headers["Location"],
                )
        assert (status, problem["code"], problem["title"], problem["detail"]) == (
            422, "infected", "A virus was found", "It is Eicar.",
        )  # fmt: skip
        assert "Upload-Offset" not in headers
        head = await tus.head(http, url)
        assert (head.status, "Upload-Offset" in head.headers) == (410, False)
        assert (await send(http, url, b"", len(data)))[0] == 410
        async with http.get(url) as answer:
            assert answer.status == 410
        message = await told(http, url)
        assert (message["status"], message["error"]) == ("failed", {"code": "infected", "title": "A virus was found"})
        assert files_of(tmp_path) == []
    assert len(judge.asked) == 1


async def test_what_passes_is_published_with_its_type(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    first, second = Judge(), Judge()
    async with embedded(tmp_path, [first, second]) as files:
        url = await tus.create(http, files, len(DATA))
        assert (await send(http, url, DATA[:5000]))[0] == 204
        assert first.asked == []
        assert "contentType" not in await told(http, url)
        assert (await send(http, url, DATA[5000:], 5000))[0] == 204
        assert (await told(http, url))["contentType"] == "text/x-judged"
        assert await tus.offset(http, url) == len(DATA)
        async with http.get(url) as answer:
            assert await answer.read() == DATA
    assert first.asked == second.asked == [(url[-32:], len(DATA))]


@pytest.mark.parametrize("pieces", [1, 3])
async def test_the_type_is_told_without_any_check(pieces: int, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with embedded(tmp_path) as files:
        for content, media_type in ((b"", None), (b"%PDF-1.4 and more", "application/pdf"), (b"\0" * 9000, None)):
            url, size = await tus.create(http, files, len(content)), len(content) // pieces + 1
            for at in range(0, len(content), size):
                assert (await send(http, url, content[at : at + size], at))[0] == 204
            assert (await told(http, url))["contentType"] == media_type


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_is_held_is_published_without_a_new_request(
    restarted: bool, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    judge = Judge(Later(SOON, "the scanner is down"))
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(DATA))
        status, problem, headers = await send(http, url, DATA)
        assert (status, problem["code"], headers["Retry-After"]) == (503, "unchecked", str(SOON))
        assert "Upload-Offset" not in headers
        head = await tus.head(http, url)
        assert (head.status, "Upload-Offset" in head.headers) == (423, False)
        assert int(head.headers["Retry-After"]) >= 1
        assert (await told(http, url))["status"] == "verifying"
        async with http.get(url) as answer:
            assert answer.status == 409
        assert files_of(tmp_path) == []
        await until(lambda: _is(len(judge.asked) > 2))
        if not restarted:
            judge.verdict = None
            await until(lambda: _completed(http, url))
            assert await tus.offset(http, url) == len(DATA)
    if restarted:
        judge.verdict = None
        async with embedded(tmp_path, [judge]) as files:
            url = f"{files}/{url[-32:]}"
            await until(lambda: _completed(http, url))
            assert await tus.offset(http, url) == len(DATA)
    assert (tmp_path / "files" / url[-32:]).read_bytes() == DATA


async def _is(value: bool) -> bool:
    return value


async def _completed(http: aiohttp.ClientSession, url: str) -> bool:
    return await status_of(http, url) == "completed"


async def test_a_creation_that_is_held_says_where_it_is(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(3600))
    async with embedded(tmp_path, [judge]) as files:
        asked = tus.TUS | tus.OCTETS | {"Upload-Length": str(len(DATA))}
        async with http.post(files, data=DATA, headers=asked) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "3600")
            assert "Upload-Offset" not in answer.headers
            url = answer.headers["Location"]
        assert (await tus.head(http, url)).status == 423
        judge.verdict = None
        assert (await send(http, url, b"", len(DATA)))[0] == 204


async def test_a_held_file_can_still_be_rejected(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(SOON))
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(DATA))
        assert (await send(http, url, DATA))[0] == 503
        judge.verdict = INFECTED
        await until(lambda: _failed(http, url))
        assert (await tus.head(http, url)).status == 410
    assert files_of(tmp_path) == []


async def _failed(http: aiohttp.ClientSession, url: str) -> bool:
    return await status_of(http, url) == "failed"


async def test_a_repeated_patch_asks_the_check_again(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(3600))
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(DATA))
        assert (await send(http, url, DATA))[2]["Retry-After"] == "3600"
        assert int((await tus.head(http, url)).headers["Retry-After"]) > 3500
        status, _, headers = await send(http, url, b"", len(DATA))
        assert (status, headers["Retry-After"], len(judge.asked)) == (503, "3600", 2)
        judge.verdict = None
        assert (await send(http, url, b"", len(DATA)))[0] == 204
        assert await tus.offset(http, url) == len(DATA)


async def test_the_sha256_is_judged_before_the_checks_are_asked(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(3600))
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(DATA), **{"Repr-Digest": f"sha-256=:{'A' * 43}=:"})
        assert (await send(http, url, DATA))[0] == 460
        assert judge.asked == []


async def test_a_held_upload_can_be_terminated(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(3600))
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(DATA))
        assert (await send(http, url, DATA))[0] == 503
        async with http.delete(url, headers=tus.TUS) as answer:
            assert answer.status == 204
        assert (await tus.head(http, url)).status == 410
    assert not list((tmp_path / "partial").iterdir())
    assert files_of(tmp_path) == []


async def test_a_held_upload_expires(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(3600))
    async with embedded(tmp_path, [judge], expire_after=1.5) as files:
        url = await tus.create(http, files, len(DATA))
        assert (await send(http, url, DATA))[0] == 503

        async def expired() -> bool:
            return await status_of(http, url) == "expired"

        await until(expired)
        assert (await tus.head(http, url)).status == 410
        assert (await send(http, url, b"", len(DATA)))[0] == 410
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("fault", [ValueError("a bug"), Unreachable("no scanner"), OSError("broken")])
async def test_a_check_that_breaks_publishes_and_loses_nothing(
    fault: Exception, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    judge = Judge(fault)
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(DATA))
        assert (await send(http, url, DATA))[0] == 503
        assert (await tus.head(http, url)).status == 423
        assert files_of(tmp_path) == []
        judge.verdict = None
        assert (await send(http, url, b"", len(DATA)))[0] == 204
        assert await tus.offset(http, url) == len(DATA)


async def test_parts_are_not_checked_and_their_final_upload_is(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(INFECTED)
    async with embedded(tmp_path, [judge]) as files:
        parts = [await tus.part(http, files, DATA) for _ in range(2)]
        assert judge.asked == []
        answer = await tus.final(http, files, parts)
        assert answer.status == 422
        assert (await tus.head(http, answer.headers["Location"])).status == 410
    assert [length for _, length in judge.asked] == [2 * len(DATA)]
    assert files_of(tmp_path) == []


async def test_a_held_final_upload_needs_its_parts_no_more(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    judge = Judge(Later(SOON))
    async with embedded(tmp_path, [judge]) as files:
        parts = [await tus.part(http, files, DATA) for _ in range(2)]
        answer = await tus.final(http, files, parts)
        assert (answer.status, answer.headers["Retry-After"]) == (503, str(SOON))
        url = answer.headers["Location"]
        head = await tus.head(http, url)
        assert (head.status, "Upload-Offset" in head.headers) == (423, False)
        for part in parts:
            async with http.delete(part, headers=tus.TUS) as deleted:
                assert deleted.status == 204
        judge.verdict = None
        await until(lambda: _completed(http, url))
        async with http.get(url) as got:
            assert await got.read() == 2 * DATA


async def slowly(head: bytes, rest: asyncio.Event) -> AsyncIterator[bytes]:
    yield head
    await rest.wait()
    yield bytes(2**20)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("way", ["patch", "creation"])
async def test_a_wrong_beginning_is_refused_before_the_rest_is_sent(
    way: str, chunked: bool, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    judge, rest = HeadJudge(b"MZ"), asyncio.Event()
    head, length = b"MZ" + bytes(4094), 4096 + 2**20
    async with embedded(tmp_path, [judge]) as files, asyncio.timeout(20):
        sized = tus.TUS | tus.OCTETS | ({} if chunked else {"Content-Length": str(length)})
        if way == "patch":
            url = await tus.create(http, files, length)
            asking = http.patch(url, data=slowly(head, rest), headers=sized | {"Upload-Offset": "0"})
        else:
            asking = http.post(files, data=slowly(head, rest), headers=sized | {"Upload-Length": str(length)})
        async with asking as answer:
            assert (answer.status, (await answer.json())["code"]) == (415, "type-not-allowed")
            url = answer.headers.get("Location") or url
        assert (await tus.head(http, url)).status == 410
        assert (await told(http, url))["error"]["code"] == "type-not-allowed"
    assert judge.asked == [4096]
    assert sum(path.stat().st_size for path in (tmp_path / "partial").iterdir()) <= 2**16


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_begins_with_its_check(chunked: bool, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """All of it is sent at once, and no more than 64 KiB of it are stored."""
    data = b"MZ" + bytes(2**22)
    async with embedded(tmp_path, [HeadJudge(b"MZ")]) as files:
        url = await tus.create(http, files, len(data))
        sized = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(data))}
        head = tus.TUS | tus.OCTETS | sized | {"Upload-Offset": "0", "Host": "localhost"}
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
        lines = [f"PATCH /files/{url[-32:]} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if chunked else data
        writer.write("\r\n".join(lines).encode() + body)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 415 ")
        writer.transport.abort()
        assert (await told(http, url))["error"]["code"] == "type-not-allowed"
        assert sum(path.stat().st_size for path in (tmp_path / "partial").iterdir()) <= 2**16


async def test_a_damaged_beginning_is_no_wrong_beginning(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """What a checksum proves to be damaged says nothing about the file."""
    wrong, right = b"MZ" + bytes(200_000), b"PK" + bytes(200_000)
    judge = HeadJudge(b"MZ")
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(right) + 1)
        checksum = f"sha1 {b64encode(sha1(right).digest()).decode()}"
        damaged = await tus.patch(http, url, 0, wrong, Upload_Checksum=checksum)
        assert (damaged.status, judge.asked) == (460, [])
        assert (await tus.patch(http, url, 0, right, Upload_Checksum=checksum)).status == 204
        assert judge.asked == [4096]
        other = await tus.create(http, files, len(wrong) + 1)
        checksum = f"sha1 {b64encode(sha1(wrong).digest()).decode()}"
        assert (await tus.patch(http, other, 0, wrong, Upload_Checksum=checksum)).status == 415
        assert (await tus.head(http, other)).status == 410


@pytest.mark.parametrize("wrong", [True, False])
async def test_a_beginning_that_comes_in_small_pieces_is_judged(
    wrong: bool, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    judge = HeadJudge(b"MZ" + bytes(4000) + b"?" if wrong else b"??")
    data = b"MZ" + bytes(4000) + b"?" * 200_000
    async with embedded(tmp_path, [judge]) as files:
        url = await tus.create(http, files, len(data))
        for at in range(0, 4000, 1000):
            assert (await send(http, url, data[at : at + 1000], at))[0] == 204
        assert judge.asked == []
        status, _, _ = await send(http, url, data[4000:], 4000)
        assert status == (415 if wrong else 204)
        assert judge.asked == [4096] * (1 if wrong else 2)
        if not wrong:
            async with http.get(url) as answer:
                assert await answer.read() == data


async def test_a_large_body_with_an_early_check_arrives_whole(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    data = bytes(range(256)) * 2**14  # 4 MiB, of which the beginning is read in another way than the rest
    async with embedded(tmp_path, [HeadJudge(b"MZ")]) as files:
        url = await tus.create(http, files, len(data))
        assert (await send(http, url, data))[0] == 204
        async with http.get(url) as answer:
            assert await answer.read() == data


@pytest.mark.parametrize("what", ["head", "delete", "stop"])
async def test_a_check_that_hangs_holds_up_nothing_else(what: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    hanging, freed, ended = asyncio.Event(), asyncio.Event(), list[bool]()

    async def hang(_upload: Upload, _content: Content) -> None:
        hanging.set()
        try:
            await freed.wait()
        finally:
            ended.append(True)

    loop = asyncio.get_running_loop()
    async with embedded(tmp_path, [hang], lease_wait=0.3, drain=5.0) as files:
        url = await tus.create(http, files, len(DATA))
        sending = asyncio.ensure_future(send(http, url, DATA))
        await hanging.wait()
        began = loop.time()
        if what == "head":
            head = await tus.head(http, url)
            assert (head.status, "Upload-Offset" in head.headers) == (423, False)
        elif what == "delete":
            async with http.delete(url, headers=tus.TUS) as answer:
                assert answer.status == 423
        assert loop.time() - began < 3
        began = loop.time()
    assert loop.time() - began < 5
    assert ended
    assert (await sending)[0] == 503
    assert files_of(tmp_path) == []
    freed.set()
    async with embedded(tmp_path, [hang]) as files:
        await until(lambda: _completed(http, f"{files}/{url[-32:]}"))


@pytest.mark.parametrize(("code", "status"), [("Not Right", 422), ("", 422), ("right", 399), ("right", 500)])
def test_a_rejection_has_a_code_and_a_status_of_a_client(code: str, status: int) -> None:
    with pytest.raises(ValueError, match="is no"):
        Rejected(code, status, "It is wrong")
