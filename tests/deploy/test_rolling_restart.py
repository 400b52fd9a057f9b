"""Three servers behind nginx are stopped and started again, one after the other, while real clients upload through it.

Each client sends one file after the other over a slow line until the restarts are over. None may end with an error, and
each file that was published has the SHA-256 of the one that was sent. By hand, with more of everything:

    pytest tests/deploy/test_rolling_restart.py --restarts=30 --files-at-once=24
"""

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from end_to_end_scenario import Client, sha256_of, talking
from nginx_process import nginx
from nodejs import INTEROP, node_words
from onward_process import OnwardProcess, onward
from unreliable_proxy import RoughLine

pytestmark = pytest.mark.slow
SERVERS = 3
CUT = re.compile(r"PATCH '/files\S* 503 ")  # in the log of a server: a body that its stop has cut
SIZE = 3 * 2**20 + 321
RATE = 1.5 * 2**20  # bytes a second of each connection, so that each server is stopped in the middle of bodies
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")  # of tuspy, onward upload, tus-js-client


def words_of(client: str, files: str, path: Path) -> list[str]:
    """Give the words of a client that uploads one file, and tells at its end where to and whether all went well."""
    match client:
        case "onward upload":
            return [sys.executable, "-m", "onward", "upload", str(path), "--to", files, "--json"]
        case "tus-js-client":
            return [*node_words("tusjs_modes.js", "tus-js-client"), files, str(path), json.dumps({"options": {}})]
        case "tus-js-client in chunks":
            return [
                *node_words("tusjs_modes.js", "tus-js-client"), files, str(path),
                json.dumps({"options": {"chunkSize": 2**19}}),
            ]  # fmt: skip
        case _:
            return [sys.executable, str(INTEROP / "clients" / "tuspy_upload.py"), files, str(path), sha256_of(path)]


CLIENTS = ("onward upload", "tus-js-client", "tus-js-client in chunks", "tuspy")


async def last_word(client: Client) -> dict[str, object]:
    """Give all that a client tells, put together; what comes last wins."""
    told: dict[str, object] = {}
    while "ok" not in told and "sha256" not in told:
        told |= await client.told(60)
    return told


async def restart_in_turn(servers: Sequence[OnwardProcess], count: int) -> None:
    """Stop and start the servers, one after the other."""
    for number in range(count):
        await asyncio.sleep(0.5)
        server = servers[number % len(servers)]
        assert await server.stop() == 0, server.log()
        await server.start()


async def test_no_upload_fails_while_three_servers_are_restarted_in_turn(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    restarts, at_once = request.config.getoption("--restarts"), request.config.getoption("--files-at-once")
    uploaded: Counter[str] = Counter()
    over = asyncio.Event()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        options = ["--trusted-proxies=127.0.0.1"]
        servers = [
            await stack.enter_async_context(onward(tmp_path / "data", redis_url, options)) for _ in range(SERVERS)
        ]
        proxy = stack.enter_context(nginx(tmp_path / "nginx", [server.port for server in servers]))
        for name in AUTHORITIES:
            monkeypatch.setenv(name, str(proxy.certificate))
        line = RoughLine(proxy.port, rate=RATE)
        await stack.enter_async_context(line.running())
        files = f"https://127.0.0.1:{line.port}/files"

        async def load(name: str, number: int) -> None:
            """Upload one file after the other by one kind of client."""
            path = tmp_path / f"{number}.bin"
            while not over.is_set():
                path.write_bytes(os.urandom(SIZE))
                async with talking(words_of(name, files, path)) as client:
                    told = await last_word(client)
                assert told.get("ok", True), (name, told)
                assert servers[0].kept.sha256(str(told["url"])) == sha256_of(path), name
                uploaded[name] += 1

        async with asyncio.timeout(60 + 10 * restarts), asyncio.TaskGroup() as tasks:
            for number in range(at_once):
                tasks.create_task(load(CLIENTS[number % len(CLIENTS)], number))
            await restart_in_turn(servers, restarts)
            over.set()
        print(f"{restarts} restarts in {time.monotonic() - began:.0f} s, uploads without an error: {dict(uploaded)}")
        assert set(uploaded) == set(CLIENTS)
        assert any(CUT.search(server.log()) for server in servers), "no body was under way at any stop"
        assert not [server.port for server in servers if "Traceback" in server.log()]
