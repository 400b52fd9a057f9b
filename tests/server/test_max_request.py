"""--max-request: no request brings more, clients are told, and `onward upload` sends pieces that fit."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded
from tus_requests import TUS

from onward import upload
from onward.client.answers import parse_most
from onward.client.model import Options
from onward.client.upload_stream import upload_stream

MOST = 100_000
TOLD = f"max-append-size={MOST}"
CHUNKED = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
Blocks = Callable[[int], AsyncIterator[bytes]]


async def blocks(size: int) -> AsyncIterator[bytes]:
    for at in range(0, size, 30_000):
        yield b"x" * min(30_000, size - at)


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[str]:
    async with embedded(tmp_path / "data", state="sqlite:", max_request=MOST) as url:
        yield url


async def problem(answer: aiohttp.ClientResponse) -> tuple[int, str, str | None]:
    document = await answer.json(content_type="application/problem+json")
    return answer.status, document["code"], answer.headers.get("Upload-Limit")


REFUSED = (413, "request-too-large", TOLD)


async def test_the_limit_is_told_and_a_body_of_exactly_so_many_bytes_is_taken(
    http: aiohttp.ClientSession, files: str
) -> None:
    async with http.options(files) as told:
        assert told.headers["Upload-Limit"] == TOLD
    async with http.post(files, headers=TUS | {"Upload-Length": str(2 * MOST)}) as created:
        assert created.headers["Upload-Limit"] == TOLD
    url = created.headers["Location"]
    assert (await tus.patch(http, url, 0, b"x" * MOST)).status == 204
    assert (await tus.patch(http, url, MOST, blocks(MOST))).status == 204
    assert (await tus.head(http, url)).headers["Upload-Limit"] == TOLD


async def test_nothing_of_a_larger_body_is_read(http: aiohttp.ClientSession, files: str) -> None:
    url = await tus.create(http, files, 2 * MOST)
    assert await problem(await tus.patch(http, url, 0, b"x" * (MOST + 1))) == REFUSED
    assert await tus.offset(http, url) == 0


async def test_a_creation_with_a_larger_body_creates_nothing(http: aiohttp.ClientSession, files: str) -> None:
    sent = TUS | tus.OCTETS | {"Upload-Length": str(2 * MOST)}
    async with http.post(files, headers=sent, data=b"x" * (MOST + 1)) as answer:
        assert await problem(answer) == REFUSED
        assert "Location" not in answer.headers


async def test_a_larger_body_in_chunks_is_kept_up_to_the_limit(http: aiohttp.ClientSession, files: str) -> None:
    url = await tus.create(http, files, 3 * MOST)
    assert await problem(await tus.patch(http, url, 0, blocks(MOST + 1))) == REFUSED
    assert await tus.offset(http, url) == MOST
    sent = TUS | tus.OCTETS | {"Upload-Length": str(3 * MOST)}
    async with http.post(files, headers=sent, data=blocks(2 * MOST)) as answer:
        assert await problem(answer) == REFUSED
    assert await tus.offset(http, answer.headers["Location"]) == MOST


async def test_without_the_option_nothing_is_told(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with embedded(tmp_path / "free", state="memory:") as files, http.options(files) as told:
        assert "max-append-size" not in told.headers["Upload-Limit"]


@pytest.mark.parametrize("size", [0, MOST, MOST + 1, 12 * MOST + 5])
async def test_the_client_sends_pieces_that_fit(files: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"y" * size)
    done = await upload(tmp_path / "file", files, options=Options(state=tmp_path / "state", retry_for=5))
    assert (done.size, done.verified) == (size, True)
    done = await upload_stream(blocks(size), files, options=Options(retry_for=5))
    assert (done.size, done.verified) == (size, True)


async def test_parts_fit_as_well_and_a_smaller_chunk_size_counts(files: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"y" * 2**21)
    options = Options(state=tmp_path / "state", parallel=2, chunk_size=70_000, retry_for=5)
    assert (await upload(tmp_path / "file", files, options=options)).verified


@pytest.mark.parametrize(
    ("told", "most"),
    [
        ("max-append-size=5", 5), ("max-size=7, max-append-size=5;a=1, max-age=3", 5), ("max-append-size=0", None),
        ("max-size=7", None), ("", None), ("max-append-size=?1", None), ("max-append-size=5x", None),
        ("xmax-append-size=5", None), ("max-append-size=-5", None), (f"max-append-size={'9' * 16}", None),
    ],
)  # fmt: skip
def test_what_other_servers_state_is_read_with_care(told: str, most: int | None) -> None:
    assert parse_most({"Upload-Limit": told}) == most
