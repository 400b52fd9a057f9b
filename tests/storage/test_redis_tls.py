"""Redis behind TLS (`rediss://`): a server works on it, and trusts nobody but the certificate that it was told of."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_connection import Connection
from ports import free_port
from redis import asyncio as aioredis
from redis import exceptions
from redis_process import require
from server_process import serving

from onward.storage.base import Unreachable
from onward.storage.state.redis.pipelined_connection import PipelinedConnection
from onward.storage.state.redis.state import open_state

MAKE = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=redis"
NAMES = "subjectAltName=IP:127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """A Redis that speaks TLS only, with a password; its own certificate is that of its authority as well."""

    port: int
    certificate: Path
    key: Path

    def url(self, host: str = "127.0.0.1", **options: Path) -> str:
        words = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rediss://:secret@{host}:{self.port}/0?{words}"

    @property
    def trusted(self) -> str:
        """The URL of a client that trusts it, and has a certificate of its own."""
        return self.url(ssl_ca_certs=self.certificate, ssl_certfile=self.certificate, ssl_keyfile=self.key)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    program, openssl, folder = require("redis-server"), require("openssl"), tmp_path_factory.mktemp("tls")
    place = Place(free_port(), folder / "certificate.pem", folder / "key.pem")
    files = ["-keyout", str(place.key), "-out", str(place.certificate)]
    subprocess.run([openssl, *MAKE.split(), "-addext", NAMES, *files], check=True, capture_output=True)
    words = (
        f"--port 0 --tls-port {place.port} --bind 127.0.0.1 --requirepass secret --save  --tls-auth-clients optional"
    )
    tls = {"cert": place.certificate, "key": place.key, "ca-cert": place.certificate}
    options = [word for name, path in tls.items() for word in (f"--tls-{name}-file", str(path))]
    with subprocess.Popen([program, *words.split(" "), *options], cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            yield place
        finally:
            process.kill()


async def until_it_answers(url: str) -> None:
    for _ in range(100):
        pool = aioredis.ConnectionPool.from_url(url)
        connection = PipelinedConnection(pool)
        try:
            assert await connection.run("PING") == b"PONG"
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            await asyncio.sleep(0.02)
        else:
            return
        finally:
            connection.give_up()
    raise AssertionError("redis-server does not answer")


async def test_a_server_stores_and_tells_watchers(place: Place, tmp_path: Path) -> None:
    await until_it_answers(place.trusted)
    with serving(tmp_path / "data", [f"--state={place.trusted}"]) as server:
        tus = server.tus
        path = tus.create(10)
        with Connection(tus.port) as watcher:
            watcher.send(tus.request("GET", f"{path}/progress", {"Accept": "text/event-stream"}))
            watcher.read_line(b'"pending"')
            assert tus.patch(path, 0, b"0123456789").status == 204
            watcher.read_line(b'"completed": true')
        assert tus.ask("GET", path).body == b"0123456789"


@pytest.mark.parametrize(
    ("distrusted", "why"), [("an unknown authority", "self-signed|self signed"), ("another name", "mismatch")]
)
async def test_a_server_that_is_not_trusted_is_refused(place: Place, distrusted: str, why: str) -> None:
    await until_it_answers(place.trusted)
    url = place.trusted.replace("127.0.0.1", "localhost") if distrusted == "another name" else place.url()
    connection = PipelinedConnection(aioredis.ConnectionPool.from_url(url))
    with pytest.raises(exceptions.ConnectionError, match=why):
        await connection.run("PING")
    connection.give_up()
    with pytest.raises(Unreachable, match=why):
        await open_state(url, Path())
