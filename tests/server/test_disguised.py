"""Files of many kinds, each disguised as another one: refused by what they are, before much of them was taken."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from http_connection import Answer, Connection, Headers
from kinds_of_files import FILES
from server_process import Server, serving

from onward.server.uploads.checks.types import is_allowed

pytestmark = pytest.mark.slow

MIB = 2**20
SIZE = 8 * MIB
PIECE = 4096
MOST = 2**16  # bytes that may be accepted of a wrong file
# What each file says that it is: a kind of the list that is accepted, and that it is not.
ACCEPTED = {
    "image/*": ("holiday.jpg", "image/jpeg"),
    "application/pdf": ("bill.pdf", "application/pdf"),
    "audio/wav": ("a.wav", "audio/wav"),
}
DISGUISED = [
    (name, accepted)
    for name, (_, media_type) in FILES.items()
    for accepted in ACCEPTED
    if not is_allowed(media_type, (accepted,))
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """A server for each list of types."""
    with ExitStack() as stack:
        yield {
            accepted: stack.enter_context(serving(tmp_path_factory.mktemp("server") / "data", [f"--types={accepted}"]))
            for accepted in ACCEPTED
        }


@pytest.fixture(scope="module")
def all_types(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("all") / "data") as server:
        yield server


def filled(content: bytes, size: int = SIZE) -> bytes:
    """Give a large file that begins as a real one does."""
    return content + content[-1:] * (size - len(content))


def sent_slowly(server: Server, path: str, content: bytes) -> tuple[Answer, int]:
    """Send a body piece by piece until there is an answer; gives it, and how much was sent."""
    tus, sent = server.tus, 0
    with Connection(tus.port) as connection:
        length: Headers = {"Content-Length": str(len(content))}
        connection.send(tus.request("PATCH", path, tus.patching(0) | length))
        while not connection.has_answer() and sent < len(content):
            connection.send(content[sent : sent + PIECE])
            sent += PIECE
        return connection.answer(), sent


def progress(server: Server, path: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(server.tus.progress(path))
    return message


@pytest.mark.parametrize(("name", "accepted"), DISGUISED)
def test_a_disguised_file_is_refused_at_its_beginning(servers: dict[str, Server], name: str, accepted: str) -> None:
    server, (content, media_type) = servers[accepted], FILES[name]
    told_name, told_type = (b64encode(text.encode()).decode() for text in ACCEPTED[accepted])
    metadata: Headers = {"Upload-Metadata": f"filename {told_name},filetype {told_type}"}
    path = server.tus.create(SIZE, metadata)
    answer, _ = sent_slowly(server, path, filled(content))
    refused = json.loads(answer.body)
    assert (answer.status, refused["code"], refused["status"]) == (415, "type-not-allowed", 415)
    assert media_type in refused["detail"]
    assert accepted in refused["detail"]
    assert sum(file.stat().st_size for file in server.bytes_of(path)) <= MOST
    message = progress(server, path)
    assert (message["status"], message["error"]["code"]) == ("failed", "type-not-allowed")
    assert message["uploadedBytes"] <= MOST
    head = server.tus.head(path)
    assert (head.status, "upload-offset" in head) == (410, False)
    assert server.tus.patch(path, 0, content).status == 410


def test_twelve_kinds_and_more_were_disguised() -> None:
    assert len({name for name, _ in DISGUISED}) >= 12


@pytest.mark.parametrize("name", ["a.html", "a.elf", "a.zip"])
def test_a_small_disguised_file_is_refused_at_its_end(servers: dict[str, Server], name: str) -> None:
    server, (content, _) = servers["image/*"], FILES[name]
    path = server.tus.create(len(content))
    assert server.tus.patch(path, 0, content[:10]).status == 204
    assert server.tus.patch(path, 10, content[10:]).status == 415
    assert server.tus.head(path).status == 410
    assert server.tus.post({"Upload-Length": str(len(content))}, content).status == 415, "with its creation"


def test_a_beginning_in_pieces_is_refused_with_the_piece_that_completes_it(servers: dict[str, Server]) -> None:
    server, content = servers["image/*"], filled(FILES["a.html"][0])
    path = server.tus.create(SIZE)
    assert server.tus.patch(path, 0, content[:4095]).status == 204
    assert server.tus.patch(path, 4095, content[4095:5000]).status == 415
    assert server.tus.head(path).status == 410


def test_joined_parts_are_judged_as_a_whole(servers: dict[str, Server]) -> None:
    server, content = servers["image/*"], FILES["a.png"][0]
    tus = server.tus
    parts = [tus.stored(piece, {"Upload-Concat": "partial"}) for piece in (content[:5], content[5:])]
    good = tus.post({"Upload-Concat": f"final;{' '.join(parts)}"})
    assert good.status == 201
    parts = [tus.stored(piece, {"Upload-Concat": "partial"}) for piece in (content[5:], content[:5])]
    assert tus.post({"Upload-Concat": f"final;{' '.join(parts)}"}).status == 415


def test_an_empty_file_has_no_type(servers: dict[str, Server], all_types: Server) -> None:
    assert servers["image/*"].tus.post({"Upload-Length": "0"}).status == 415
    assert all_types.tus.post({"Upload-Length": "0"}).status == 201


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("large", [False, True])
def test_an_honest_file_is_published_with_its_type(all_types: Server, name: str, large: bool) -> None:
    content, media_type = FILES[name]
    path = all_types.tus.stored(filled(content, 10**5) if large else content)
    message = progress(all_types, path)
    assert (message["status"], message["contentType"]) == ("completed", media_type)


def test_what_is_accepted_is_published(servers: dict[str, Server]) -> None:
    for accepted, name in (
        ("image/*", "a.gif"),
        ("image/*", "a.svg"),
        ("application/pdf", "a.pdf"),
        ("audio/wav", "a.wav"),
    ):
        path = servers[accepted].tus.stored(filled(FILES[name][0]))
        assert progress(servers[accepted], path)["contentType"] == FILES[name][1]


def test_outcomes_are_counted(tmp_path: Path) -> None:
    with serving(tmp_path / "data", ["--types=image/*"]) as server:
        server.tus.stored(FILES["a.png"][0])
        server.tus.post({"Upload-Length": "0"})
        metrics = server.tus.ask("GET", "/metrics").body.decode()
    assert 'onward_checks_total{check="types",outcome="passed"} 1.0' in metrics
    assert 'onward_checks_total{check="types",outcome="rejected"} 1.0' in metrics
