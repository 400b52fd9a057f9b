"""PUT of a file: one request, one upload; what is cut is removed, and nothing is ever replaced."""

import asyncio
import hashlib
import json
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from embedded_server import embedded
from http_connection import Connection, Headers, Tus, path_of, poll
from redis_process import require
from server_process import Server, Start

from onward import Content, Later
from onward.protocol.headers import build_repr_digest, parse_metadata
from onward.protocol.model import Upload

OPTIONS = (
    "--durability=none",
    "--sweep-every=0.2",
    "--quiet-after=0.3",
    "--max-size=1MB",
    "--body-idle=1",
    "--release-after=0",
)
DATA = b"one file, one request" * 100
DIGEST = build_repr_digest(hashlib.sha256(DATA).digest())
LARGE = 400_000  # bytes; such a body is read from the socket itself


def put(tus: Tus, name: str, body: bytes, headers: Headers | None = None) -> bytes:
    """Write a PUT."""
    return tus.request("PUT", f"{tus.files}/{name}", {"Content-Length": str(len(body)), **(headers or {})}, body)


@pytest.mark.parametrize("data", [b"", DATA, bytes(LARGE)], ids=["nothing", "a little", "much"])
def test_a_put_is_a_file(server: Server, data: bytes) -> None:
    answer = server.tus.ask(
        "PUT", "/files/a%20b.txt", {"Content-Type": "text/x", "Content-Length": str(len(data))}, data
    )
    digest = build_repr_digest(hashlib.sha256(data).digest())
    assert (answer.status, answer["Repr-Digest"], answer["Content-Type"]) == (201, digest, "application/json")
    progress = json.loads(answer.body)
    assert (progress["status"], progress["fileName"], progress["fileSize"]) == ("completed", "a b.txt", len(data))
    path = path_of(answer["Location"])
    assert progress["uploadId"] == path.rpartition("/")[2]
    assert json.loads(server.tus.progress(path)) == progress
    assert server.published(path) == data
    assert server.tus.ask("GET", path)["Content-Disposition"].startswith('attachment; filename="a b.txt"')
    metadata = parse_metadata(server.tus.head(path)["Upload-Metadata"])
    assert metadata == {"filename": b"a b.txt", "filetype": b"text/x"}


def test_a_body_in_chunks_ends_the_file(server: Server) -> None:
    answer = server.tus.ask("PUT", "/files/a", parts=[DATA[:7], DATA[7:]])
    assert (answer.status, answer["Repr-Digest"]) == (201, DIGEST)
    assert json.loads(answer.body)["fileSize"] == len(DATA)
    assert server.published(answer["Location"]) == DATA


def test_an_id_in_the_path_is_only_a_name(server: Server) -> None:
    path = server.tus.stored(DATA)
    answer = server.tus.ask("PUT", path, {"Content-Length": "5"}, b"other")
    assert (answer.status, json.loads(answer.body)["fileName"]) == (201, path.rpartition("/")[2])
    assert path_of(answer["Location"]) != path
    assert server.published(path) == DATA
    again = server.tus.ask("PUT", path, {"Content-Length": "5"}, b"other")
    assert again["Location"] != answer["Location"]


def test_a_promise_is_kept_or_the_file_is_not_published(server: Server) -> None:
    sent: Headers = {"Content-Length": str(len(DATA)), "Repr-Digest": DIGEST}
    assert server.tus.ask("PUT", "/files/a", sent, DATA).status == 201
    before = set((server.data / "files").iterdir())
    answer = server.tus.ask("PUT", "/files/a", sent, DATA[::-1])
    assert (answer.status, json.loads(answer.body)["code"]) == (460, "checksum-mismatch")
    assert set((server.data / "files").iterdir()) == before


def test_what_is_too_large_is_refused_before_its_body(tus: Tus) -> None:
    with Connection(tus.port) as connection:
        connection.send(put(tus, "a", b"", {"Content-Length": "1000001", "Expect": "100-continue"}))
        assert connection.answer().status == 413
    with Connection(tus.port) as connection:
        connection.send(put(tus, "a", b"", {"Content-Length": "5", "Expect": "100-continue"}))
        assert connection.answer().status == 100
        connection.send(b"01234")
        assert connection.answer().status == 201


def test_a_body_in_chunks_that_becomes_too_large_leaves_nothing(server: Server) -> None:
    assert server.tus.ask("PUT", "/files/a", parts=[bytes(600_000)] * 2).status == 413
    poll(lambda: not server.ids())


@pytest.mark.parametrize("sent", [0, 100, LARGE // 2, LARGE - 1])
@pytest.mark.parametrize("end", ["FIN", "RST"])
def test_a_put_that_is_cut_leaves_nothing(server: Server, sent: int, end: str) -> None:
    before = set((server.data / "files").iterdir())
    with Connection(server.tus.port) as connection:
        connection.send(put(server.tus, "cut", bytes(LARGE))[: sent - LARGE])
        if sent:
            poll(lambda: bool(server.ids()))
        if end == "FIN":
            connection.finish()
            connection.read_rest()
        else:
            connection.reset()
    poll(lambda: not server.ids())
    assert set((server.data / "files").iterdir()) == before


def test_a_put_that_stalls_is_ended_and_removed(server: Server) -> None:
    with Connection(server.tus.port) as connection:
        connection.send(put(server.tus, "slow", DATA)[:-10])
        answer = connection.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (423, "body-stalled")
    poll(lambda: not server.ids())


async def test_a_file_that_a_check_holds_is_published_later(tmp_path: Path) -> None:
    verdicts = [Later(0.2, "not now")]

    async def check(_upload: Upload, _content: Content) -> None:
        if verdicts:
            raise verdicts.pop()

    async with embedded(tmp_path / "data", [check]) as url:
        tus = Tus(int(url.split(":")[2].partition("/")[0]))
        answer = await asyncio.to_thread(tus.ask, "PUT", "/files/a", {"Content-Length": str(len(DATA))}, DATA)
        assert (answer.status, "retry-after" in answer) == (503, True)
        path = path_of(answer["Location"])
        await asyncio.to_thread(poll, lambda: tus.ask("GET", path).status == 200)


def test_a_put_is_not_offered_without_creation(start: Start) -> None:
    server = start("--without=creation")
    answer = server.tus.ask("PUT", "/files/a", {"Content-Length": "0"})
    assert answer.status == 405
    assert "PUT" not in answer["Allow"]


def test_pages_of_other_origins_ask_for_leave_first(start: Start) -> None:
    server = start("--cors-origins=https://app.example")
    ask: Headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    answer = server.tus.ask("OPTIONS", "/files/a.txt", ask)
    assert "PUT" in answer["Access-Control-Allow-Methods"]
    assert "access-control-allow-methods" not in server.tus.ask("OPTIONS", "/files/a", ask | {"Origin": "https://b"})


@pytest.mark.parametrize("base", ["/", "/deep/er"])
def test_a_put_works_under_any_base_path(start: Start, base: str) -> None:
    server = start(f"--base-path={base}", files=base)
    prefix = base.rstrip("/")
    answer = server.tus.ask("PUT", f"{prefix}/healthz", {"Content-Length": "2"}, b"ok")
    assert answer.status == 201
    assert server.tus.ask("GET", path_of(answer["Location"])).body == b"ok"
    assert path_of(answer["Location"]).startswith(f"{prefix}/")
    assert server.tus.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("target", ["", "käse.bin"])
def test_curl_puts_a_file(server: Server, tmp_path: Path, target: str) -> None:
    file = tmp_path / "grüße an %20.txt"
    file.write_bytes(DATA * 400)
    words = [require("curl"), "--silent", "--show-error", "--fail", "-T", str(file)]
    run = subprocess.run([*words, f"{server.url}/{target}"], check=True, capture_output=True, timeout=20)
    progress = json.loads(run.stdout)
    assert (progress["completed"], progress["fileName"]) == (True, target or file.name)
    assert server.published(progress["uploadId"]) == DATA * 400
    assert progress["sha256"] == hashlib.sha256(DATA * 400).hexdigest()
    run = subprocess.run(
        [*words[:-1], "-", f"{server.url}/stdin"], check=True, input=DATA, capture_output=True, timeout=20
    )
    assert b64encode(bytes.fromhex(json.loads(run.stdout)["sha256"])).decode() in DIGEST
