"""Forms: each file is an upload of its own, and one that is cut leaves whole files or nothing."""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from embedded_server import embedded
from form_bodies import field, file, form, post
from http_connection import Answer, Connection, Headers, Tus, path_of, poll
from onward_process import onward
from redis_process import require
from server_process import Server, Start
from webhook_receiver import SECRET, Received, receiver

from onward import Content, Later
from onward.protocol.headers import parse_metadata
from onward.protocol.model import CreateRequest, Limits, Upload
from onward.server.http import forms
from onward.server.uploads.engine import Engine
from onward.storage.base import Full, Unreachable

OPTIONS = (
    "--durability=none",
    "--sweep-every=0.2",
    "--quiet-after=0.3",
    "--max-size=1MB",
    "--body-idle=1",
    "--release-after=0",
    "--cors-origins=https://app.example",
)
ONE, TWO = b"the first file\r\n--not the boundary\r\n", bytes(range(256)) * 2000


def send(tus: Tus, body: bytes, more: Headers | None = None) -> Answer:
    """Send a form on a connection of its own."""
    with Connection(tus.port) as connection:
        connection.send(post(tus, body, {"Connection": "close", **(more or {})}))
        answer = connection.answer()
        assert connection.read_rest() == b""
        return answer


def document(answer: Answer) -> dict[str, Any]:
    """Read the JSON of an answer."""
    told: dict[str, Any] = json.loads(answer.body)
    return told


def is_empty(server: Server) -> Callable[[], bool]:
    """Return a function that says whether no unfinished bytes are left."""
    return lambda: not server.ids()


def test_each_file_is_an_upload_with_the_fields_before_it(server: Server) -> None:
    body = form(
        field("_charset_", b"utf-8"),
        field("album", "Köln".encode()),
        file("grüße%22 x", ONE, "text/plain"),
        field("album", b"Bonn"),
        file("two", TWO),
        file("", b""),
        field("after", b"1"),
    )
    answer = send(server.tus, body)
    assert (answer.status, answer["Content-Type"]) == (201, "application/json")
    told = document(answer)
    assert told["fields"] == {"album": ["Köln", "Bonn"], "after": "1"}
    assert [upload["fileName"] for upload in told["uploads"]] == ['grüße" x', "two"]
    for upload, data, album in zip(told["uploads"], (ONE, TWO), ("Köln", "Bonn"), strict=True):
        path = path_of(upload.pop("location"))
        assert (upload["status"], upload["sha256"]) == ("completed", hashlib.sha256(data).hexdigest())
        assert json.loads(server.tus.progress(path)) == upload
        assert server.published(path) == data
        metadata = parse_metadata(server.tus.head(path)["Upload-Metadata"])
        assert metadata["album"].decode() == album
        assert "after" not in metadata
    assert parse_metadata(server.tus.head(path)["Upload-Metadata"])["filetype"] == b"application/octet-stream"


def test_an_extended_file_name_comes_before_the_plain_one(tus: Tus) -> None:
    head = "Content-Disposition: form-data; name=f; filename=\"a\"; filename*=UTF-8''%C3%A4"
    assert document(send(tus, form((head, b"x"))))["uploads"][0]["fileName"] == "ä"


def test_a_file_name_may_look_like_an_extended_one(tus: Tus) -> None:
    for name in ("a; filename*=UTF-8''b", "a;filename*=b"):
        head = f'Content-Disposition: form-data; name="f"; filename="{name}"'
        assert document(send(tus, form((head, b"x"))))["uploads"][0]["fileName"] == name


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_form_may_come_in_pieces_of_any_size(server: Server, size: int) -> None:
    body = form(file("a", ONE), field("b", b"c"), file("d", ONE * 9))
    with Connection(server.tus.port) as connection:
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        connection.send(post(server.tus, body, parts=pieces))
        told = document(connection.answer())
        assert [server.published(upload["location"]) for upload in told["uploads"]] == [ONE, ONE * 9]
        connection.send(server.tus.request("HEAD", path_of(told["uploads"][0]["location"])))
        assert connection.answer("HEAD").status == 200, "the connection is used again"


def test_a_form_without_a_file_is_refused(tus: Tus) -> None:
    for body in (form(field("a", b"b")), form(file("", b"")), form()):
        answer = send(tus, body)
        assert (answer.status, document(answer)["uploads"]) == (400, [])


def test_an_unnamed_file_with_bytes_is_a_file(server: Server) -> None:
    upload = document(send(server.tus, form(file("", b"x"))))["uploads"][0]
    assert upload["fileName"] is None
    assert server.published(upload["location"]) == b"x"


def test_a_promise_counts_for_the_next_file_and_a_broken_one_keeps_no_other_from_being_published(
    server: Server,
) -> None:
    right, wrong = hashlib.sha256(ONE).hexdigest().encode(), b"0" * 64
    body = form(
        field("sha256", right), file("a", ONE), field("sha256", wrong), file("b", ONE), file("c", ONE),
        field("sha256", b"?"), file("d", ONE), file("e", ONE),
    )  # fmt: skip
    answer = send(server.tus, body)
    told = document(answer)
    assert (answer.status, told["code"]) == (460, "checksum-mismatch")
    assert [(upload["fileName"], upload["status"]) for upload in told["uploads"]] == [
        ("a", "completed"), ("b", "failed"), ("c", "completed"), ("e", "completed"),
    ]  # fmt: skip
    assert server.tus.ask("GET", path_of(told["uploads"][1]["location"])).status == 410


def test_a_file_that_is_too_large_is_skipped(server: Server) -> None:
    answer = send(server.tus, form(file("a", bytes(3_000_000)), file("b", ONE)))
    told = document(answer)
    assert (answer.status, [upload["status"] for upload in told["uploads"]]) == (413, ["terminated", "completed"])
    poll(is_empty(server))


def test_files_of_a_wrong_type_are_skipped(start: Start) -> None:
    server = start("--types=text/plain")
    answer = send(server.tus, form(file("a", bytes(3_000_000)), file("b", b"text\n"), file("c", bytes(9))))
    told = document(answer)
    assert (answer.status, told["code"]) == (415, "type-not-allowed")
    assert [upload["status"] for upload in told["uploads"]] == ["failed", "completed", "failed"]
    assert send(server.tus, form(file("b", b"text\n" * 9))).status == 201


@pytest.mark.parametrize("form_ends", [True, False])
def test_a_form_that_is_cut_at_any_byte_leaves_whole_files_or_nothing(server: Server, form_ends: bool) -> None:
    """`form_ends`: the request is whole, and only the form in it is not."""
    body = form(("Content-Disposition: form-data; name=f; filename=a", b"one"), field("b", b"c"), file("d", b"two"))
    ends = [body.index(b"\r\n--boundary", body.index(data)) + len(b"\r\n--boundary\r\n") for data in (b"one", b"two")]
    last = len(body) - len(b"\r\n")  # what follows the last boundary is no part of the form
    files = server.data / "files"
    before, expected = set(files.iterdir()), 0
    for cut in range(len(body)):
        count = sum(end <= cut for end in ends)
        expected += count
        with Connection(server.tus.port) as connection:
            if form_ends:
                connection.send(post(server.tus, body[:cut]))
                answer = connection.answer()
                whole = [upload for upload in document(answer)["uploads"] if upload["status"] == "completed"]
                assert (answer.status, len(whole)) == (201 if cut >= last else 400, count), cut
            else:
                connection.send(post(server.tus, body)[: cut - len(body)])
                connection.finish()
                connection.read_rest()
    poll(lambda: len(set(files.iterdir()) - before) >= expected)
    after = [each.read_bytes() for each in set(files.iterdir()) - before]
    assert len(after) == expected
    assert set(after) == {b"one", b"two"}
    assert after.count(b"two") == sum(cut >= ends[1] for cut in range(len(body)))
    poll(is_empty(server))


def test_a_large_file_that_is_cut_is_removed(server: Server) -> None:
    body = form(file("a", ONE), file("b", TWO))
    with Connection(server.tus.port) as connection:
        connection.send(post(server.tus, body)[:-1000])
        poll(lambda: bool(server.ids()))
        connection.reset()
    poll(is_empty(server))


def test_a_form_that_stalls_is_ended(server: Server) -> None:
    body = form(file("a", ONE), file("b", TWO))
    with Connection(server.tus.port) as early, Connection(server.tus.port) as late:
        early.send(post(server.tus, body)[: -len(TWO)])
        late.send(post(server.tus, body)[:-1000])
        for connection in (early, late):
            answer = connection.answer()
            told = document(answer)
            assert (answer.status, told["code"]) == (423, "body-stalled")
            assert [upload["status"] for upload in told["uploads"]] == ["completed", "terminated"]
    poll(is_empty(server))


def test_a_server_that_stops_ends_a_form(start: Start) -> None:
    body = form(file("a", ONE), field("b", b"c"), file("d", TWO))
    for end in (b"c\r\n", TWO[:1000]):
        server = start()
        with Connection(server.tus.port) as connection:
            connection.send(post(server.tus, body)[: -len(body)] + body[: body.index(end) + len(end)])
            poll(lambda server=server: bool(list((server.data / "files").iterdir())))  # type: ignore[misc]
            server.process.terminate()
            answer = connection.answer()
        assert answer.status == 503
        assert document(answer)["uploads"][0]["status"] == "completed"
        assert server.process.wait(10) == 0
        assert is_empty(server)()


def test_the_limits_of_a_form(tus: Tus) -> None:
    assert send(tus, form(*[field(f"f{n}", b"") for n in range(100)], file("a", b"x"))).status == 201
    answer = send(tus, form(file("a", b"x"), *[field(f"f{n}", b"") for n in range(101)]))
    assert (answer.status, len(document(answer)["uploads"])) == (413, 1)
    assert send(tus, form(field("a", b"x" * 65_536), file("a", b"x"))).status == 201
    assert send(tus, form(field("a", b"x" * 65_537), file("a", b"x"))).status == 413
    answer = send(tus, form(*[file(f"{n}", b"x") for n in range(101)]))
    assert (answer.status, len(document(answer)["uploads"])) == (413, 100)


def test_a_form_waits_for_100_continue(tus: Tus) -> None:
    body = form(file("a", ONE))
    for size, expected in ((len(body), 100), (0, 400)):
        with Connection(tus.port) as connection:
            connection.send(post(tus, b"", {"Content-Length": str(size), "Expect": "100-continue"}))
            assert connection.answer().status == expected
            if size:
                connection.send(body)
                assert connection.answer().status == 201


def test_a_page_of_another_origin_can_send_no_form(server: Server) -> None:
    evil, app, own = "https://evil.example", "https://app.example", f"127.0.0.1:{server.tus.port}"
    rows: list[tuple[Headers, int]] = [
        ({}, 201),
        ({"Origin": evil}, 403),
        ({"Origin": evil, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": f"http://{own}"}, 201),
        ({"Origin": f"https://{own}"}, 403),
        ({"Origin": app, "Sec-Fetch-Site": "cross-site"}, 201),
    ]
    for headers, status in rows:
        answer = send(server.tus, form(file("a", ONE)), headers)
        assert answer.status == status, headers


def test_a_request_in_a_dialect_is_no_form(tus: Tus) -> None:
    answer = send(tus, form(file("a", ONE)), {"Tus-Resumable": "1.0.0", "Upload-Length": "3"})
    assert answer.status == 415


def test_a_form_is_not_offered_without_creation(start: Start) -> None:
    assert send(start("--without=creation").tus, form(file("a", ONE))).status == 405


async def test_the_application_is_asked_about_each_file(tmp_path: Path) -> None:
    async def answer(question: Received) -> web.StreamResponse:
        name = question.event["data"]["metadata"]["filename"]
        return web.json_response({"title": "Not this one"} if name == "b" else {}, status=418 if name == "b" else 200)

    async with receiver() as application:
        application.answer = answer
        words = [f"--ask={application.url}", f"--webhook-secret={SECRET}", f"--webhook={application.url}"]
        async with onward(tmp_path / "data", "sqlite:", words) as server:
            answered = await asyncio.to_thread(
                send, Tus(server.port), form(file("a", ONE), file("b", ONE), file("c", ONE))
            )
            told = document(answered)
            assert (answered.status, told["title"], len(told["uploads"])) == (418, "Not this one", 1)
            await application.until(lambda: len(application.received) == 4)
    types = sorted(event.type for event in application.received)
    assert types == ["ask.create", "ask.create", "upload.completed", "upload.created"]


async def test_a_file_that_a_check_holds_is_published_later(tmp_path: Path) -> None:
    verdicts = [Later(0.2, "not now")]

    async def check(_upload: Upload, _content: Content) -> None:
        if verdicts:
            raise verdicts.pop()

    async with embedded(tmp_path / "data", [check], sweep_every=0.1) as url:
        tus = Tus(int(url.split(":")[2].partition("/")[0]))
        answer = await asyncio.to_thread(send, tus, form(file("a", ONE), file("b", ONE)))
        told = document(answer)
        assert (answer.status, told["code"]) == (503, "unchecked")
        assert [upload["status"] for upload in told["uploads"]] == ["verifying", "completed"]
        path = path_of(told["uploads"][0]["location"])
        await asyncio.to_thread(poll, lambda: tus.ask("GET", path).status == 200)


async def test_what_is_skipped_of_a_form_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST_SKIPPED", 200_000)
    async with embedded(tmp_path / "data", max_size=100_000) as url:
        tus = Tus(int(url.split(":")[2].partition("/")[0]))
        for size, statuses in ((150_000, ["terminated", "completed"]), (2_000_000, ["terminated"])):
            answer = await asyncio.to_thread(send, tus, form(file("a", bytes(size)), file("b", ONE)))
            assert answer.status == 413
            assert [upload["status"] for upload in document(answer)["uploads"]] == statuses


async def test_a_form_ends_where_nothing_more_can_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, faults = Engine.create, [Full("no room"), Unreachable("away")]

    async def creating(self: Engine, request: CreateRequest, *, limits: Limits | None = None) -> Upload:
        if b"b" in parse_metadata(request.metadata or "").values():
            raise faults.pop()
        return await create(self, request, limits=limits)

    monkeypatch.setattr(Engine, "create", creating)
    async with embedded(tmp_path / "data") as url:
        tus = Tus(int(url.split(":")[2].partition("/")[0]))
        for status in (503, 507):
            answer = await asyncio.to_thread(send, tus, form(file("a", ONE), file("b", ONE), file("c", ONE)))
            assert answer.status == status
            assert [upload["fileName"] for upload in document(answer)["uploads"]] == ["a"]


def test_curl_sends_a_form(server: Server, tmp_path: Path) -> None:
    one, two = tmp_path / 'grüße "1";.txt', tmp_path / "two"
    one.write_bytes(ONE)
    two.write_bytes(TWO)
    quoted = str(one).replace('"', '\\"')
    words = ["-F", "title=A title", "-F", f'a=@"{quoted}"', "-F", f"b=@{two};type=image/x"]
    run = subprocess.run(
        [require("curl"), "--silent", "--show-error", "--fail", *words, server.url],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert told["fields"] == {"title": "A title"}
    assert [upload["fileName"] for upload in told["uploads"]] == [one.name, two.name]
    assert [server.published(upload["location"]) for upload in told["uploads"]] == [ONE, TWO]
    metadata = parse_metadata(server.tus.head(path_of(told["uploads"][1]["location"]))["Upload-Metadata"])
    assert metadata == {"filename": b"two", "filetype": b"image/x", "title": b"A title"}
