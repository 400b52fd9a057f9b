"""Refusals that an application or the server as a whole raises, as the IETF draft tells them: `?0`, and no offset."""

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from onward import Config, create_app, create_runner
from onward.protocol.errors import AccessDenied, Crowded, StorageFull
from onward.protocol.grants import Act
from onward.storage.base import Durability

VERSION = {"Upload-Draft-Interop-Version": "6"}
BEGIN = VERSION | {"Upload-Complete": "?0", "Upload-Length": "5"}
REFUSALS = {
    401: web.HTTPUnauthorized,
    403: AccessDenied,
    404: web.HTTPNotFound,
    429: web.HTTPTooManyRequests,
    503: Crowded,
    507: StorageFull,
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_of_the_application_leaves_the_client_free_to_go_on(
    status: int, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    allowed = True

    async def access(_request: web.Request, _act: Act, _id: object, _creation: object) -> None:
        if not allowed:
            raise REFUSALS[status]()

    config = Config(data=str(tmp_path / "data"), durability=Durability.NONE)
    runner = create_runner(create_app(config, access), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        files = f"http://127.0.0.1:{runner.addresses[0][1]}/files"
        async with http.post(files, headers=BEGIN) as answer:
            url = answer.headers["Location"]
        allowed = False
        append = {"Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?1"}
        for method, headers in (("HEAD", VERSION), ("PATCH", VERSION | append), ("DELETE", VERSION)):
            async with http.request(method, url, headers=headers) as answer:
                assert (answer.status, answer.headers["Upload-Complete"]) == (status, "?0")
                assert "Upload-Offset" not in answer.headers
        async with http.post(files, headers=BEGIN) as answer:
            assert (answer.status, answer.headers["Upload-Complete"]) == (status, "?0")
            assert "Location" not in answer.headers
    finally:
        await runner.cleanup()
