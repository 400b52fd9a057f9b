"""Faults of an S3 server: what passes is waited for, what stays is said, and the client finishes afterwards."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from pytest_aiohttp.plugin import AiohttpServer
from s3_faults import S3Faults, passing
from s3_process import KEYS, REGION
from s3_rounds import MIB

from onward import Config, create_app

SIZES = (1, 100_000, 5 * MIB, 11 * MIB + 5)
ATTEMPTS = 40
STAYING = {
    "403 AccessDenied": "not allowed",
    "403 InvalidAccessKeyId": "unknown",
    "403 RequestTimeTooSkewed": "clock",
    "404 NoSuchBucket": "bucket does not exist",
    "500": "InternalError",
    "stall": "does not answer",
}


@pytest.fixture(params=["versitygw", "seaweedfs"])
async def faults(request: pytest.FixtureRequest) -> AsyncIterator[S3Faults]:
    async with S3Faults(request.getfixturevalue(request.param)).running() as proxy:
        yield proxy


@pytest.fixture
async def files(
    faults: S3Faults, tmp_path: Path, aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Give the URL of the uploads of a server behind the proxy."""
    os.environ.update(KEYS)
    bucket = faults.server.new_bucket()
    for name, value in {"PATIENCE": 3.0, "ANSWER_WITHIN": 1.0, "SLOWEST": 8 * MIB}.items():
        monkeypatch.setattr(f"onward.storage.blobs.s3.client.{name}", value)
    config = Config(
        data=str(tmp_path / "data"),
        blobs=f"s3://{bucket}/up",
        s3_endpoint=f"http://127.0.0.1:{faults.port}",
        s3_region=REGION,
        part_size=5 * MIB,
    )
    return str((await aiohttp_server(create_app(config))).make_url("/files"))


async def finish(http: aiohttp.ClientSession, url: str, data: bytes, told: int = 0) -> None:
    """Send until all is stored, as a patient client does; no told offset may be taken back."""
    for _ in range(ATTEMPTS):
        answer = await tus.head(http, url)
        if answer.status in (423, 503):
            continue
        assert answer.status == 200, answer.status
        at = int(answer.headers["Upload-Offset"])
        assert told <= at, f"{told} was told, and then {at}"
        told = at
        if at == len(data):
            break
        answer = await tus.patch(http, url, at, data[at:])
        assert answer.status in (204, 423, 503), answer.status
        assert answer.status == 204 or "Retry-After" in answer.headers
    async with http.get(url) as got:
        assert got.status == 200
        assert await got.read() == data


async def test_what_passes_is_waited_for_and_no_byte_is_wrong(
    http: aiohttp.ClientSession, faults: S3Faults, files: str, seed: int
) -> None:
    dice = random.Random(seed)
    faults.choose = passing(dice, 0.3)
    for size in SIZES:
        data = dice.randbytes(size)
        url = await tus.create(http, files, size)
        first = dice.randrange(size)
        status = (await tus.patch(http, url, 0, data[:first])).status if first else 204
        assert status in (204, 503)
        await finish(http, url, data, first if status == 204 else 0)
    assert len(faults.done) > 5, f"seed {seed}"


@pytest.mark.parametrize("fault", STAYING)
async def test_what_stays_is_said_and_loses_nothing(
    http: aiohttp.ClientSession, faults: S3Faults, files: str, fault: str
) -> None:
    data = random.Random(1).randbytes(11 * MIB)
    url = await tus.create(http, files, len(data))
    assert (await tus.patch(http, url, 0, data[: 6 * MIB])).status == 204
    faults.choose = lambda _operation: fault
    answer = await tus.patch(http, url, 6 * MIB, data[6 * MIB :])
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    ready = files.removesuffix("/files") + "/readyz"
    async with http.get(ready) as told:
        assert told.status == 503
        assert STAYING[fault] in await told.text()
    assert await tus.offset(http, url) == 6 * MIB
    faults.choose = lambda _operation: ""
    await finish(http, url, data, 6 * MIB)


async def test_a_part_that_is_refused_leaves_no_gap(http: aiohttp.ClientSession, faults: S3Faults, files: str) -> None:
    data = random.Random(2).randbytes(16 * MIB)
    url = await tus.create(http, files, len(data))
    faults.choose = lambda what: "403 AccessDenied" if what == "part" and faults.seen[what] == 2 else ""
    assert (await tus.patch(http, url, 0, data)).status == 503
    assert await tus.offset(http, url) <= 5 * MIB
    await finish(http, url, data)
