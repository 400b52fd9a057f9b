"""The log: JSON for programs, request ids, the client's address through proxies; and no token is ever in it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from http_connection import Tus
from multidict import CIMultiDict
from server_process import Server, serving
from token_maker import OwnKey, bearer

from onward.server.http.proxies import client_of
from onward.server.http.request_log import HEADER, request_id
from onward.server.log import JsonLines

PROXY = {"X-Forwarded-For": "203.0.113.9, 10.0.0.7", "X-Forwarded-Proto": "https"}
DATA = b"hello"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ["--auth=key", "--log-format=json", "--log-level=debug", "--trusted-proxies=127.0.0.1,10.0.0.0/8"]
    with serving(tmp_path_factory.mktemp("log") / "data", options) as running:
        yield running


def lines(server: Server, **wanted: object) -> list[dict[str, Any]]:
    """Give the lines of the log that have these fields."""
    text = server.data.with_suffix(".log").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    return [line for line in found if wanted.items() <= line.items()]


def token(server: Server) -> str:
    return OwnKey(server.data / "auth.key").token(sub="ann")


def test_all_lines_of_a_request_have_its_id_and_the_last_says_all_about_it(server: Server) -> None:
    tus, headers = server.tus, bearer(token(server)) | PROXY
    path = tus.create(len(DATA), headers | {HEADER: "made-1"})
    answer = tus.patch(path, 0, DATA, headers | {HEADER: "sent-1"})
    assert answer["X-Request-ID"] == "sent-1"
    id_ = path.rpartition("/")[2]
    (created,) = lines(server, requestId="made-1")
    assert created | {"method": "POST", "status": 201, "uploadId": id_, "owner": "ann", "route": "/files"} == created
    ended, appended = lines(server, requestId="sent-1")
    assert ended | {"uploadId": id_, "uploadStatus": "completed", "owner": "ann", "bytes": 5, "level": "info"} == ended
    wanted = {
        "method": "PATCH", "route": "/files/{id}", "status": 204, "uploadId": id_, "owner": "ann", "bytes": 5,
        "client": "203.0.113.9", "level": "info",
    }  # fmt: skip
    assert appended | wanted == appended
    assert appended["durationMs"] >= 0
    assert appended["time"].endswith("Z")


def test_a_refusal_has_its_reason_and_an_id_of_the_servers_own(server: Server) -> None:
    answer = server.tus.patch(f"/files/{'0' * 32}", 0, DATA, bearer(token(server)) | {HEADER: "not sane"})
    made = answer["X-Request-ID"]
    assert made != "not sane"
    line = lines(server, requestId=made)[-1]
    assert line | {"status": 404, "reason": "not-found", "client": "127.0.0.1"} == line


def test_a_token_in_the_query_or_a_header_is_never_logged(server: Server) -> None:
    own = token(server)
    path = server.tus.create(5, bearer(own))
    for target in (f"{path}/progress?token={own}", f"{path}?token={own}", f"/uploads?token={own}", f"/?token={own}"):
        server.tus.ask("GET", target)
    server.tus.ask("POST", f"/files?token={own}")
    server.tus.ask("GET", f"{path}?token={own}x")
    text = server.data.with_suffix(".log").read_text()
    assert "/progress" in text
    assert "token=" not in text
    assert own.rpartition(".")[2] not in text
    assert own.split(".")[1] not in text


def test_what_machines_ask_is_logged_at_level_debug_only(server: Server) -> None:
    server.tus.ask("GET", "/healthz")
    assert {line["level"] for line in lines(server, route="/healthz")} == {"debug"}


def test_the_start_and_the_stop_are_lines_like_all_others(tmp_path: Path) -> None:
    with serving(tmp_path / "data", ["--log-format=json", "--state=memory:"]) as running:
        running.process.terminate()
        running.process.wait(20)
        first, *_, last = lines(running)
    assert "serves: data folder" in first["message"]
    assert "page http://127.0.0.1:" in first["message"]
    assert last["message"] == "stopped"


@pytest.mark.parametrize(
    ("headers", "family", "client"),
    [
        ({}, "x-forwarded", "127.0.0.1"),
        ({"X-Forwarded-For": "198.51.100.1, 203.0.113.9, 10.0.0.7"}, "x-forwarded", "203.0.113.9"),
        ({"X-Forwarded-For": "10.0.0.7"}, "x-forwarded", "10.0.0.7"),
        ({"X-Forwarded-For": "203.0.113.9:4711"}, "x-forwarded", "203.0.113.9"),
        ({"X-Forwarded-For": "203.0.113.9"}, "forwarded", "127.0.0.1"),
        ({"Forwarded": 'for="[2001:db8::1]:99", for=10.0.0.7'}, "forwarded", "2001:db8::1"),
        ({"X-Forwarded-For": "a\x1b[31m" + "b" * 200}, "x-forwarded", "a\\x1b[31m" + "b" * 39),
    ],
)
def test_the_client_is_who_a_trusted_proxy_says(headers: dict[str, str], family: str, client: str) -> None:
    request = make_mocked_request("GET", "/", headers=headers)
    request = request.clone(remote="127.0.0.1")
    assert client_of(request, ("127.0.0.1", "10.0.0.0/8"), family) == client
    assert client_of(request, (), family) == "127.0.0.1"
    assert client_of(request.clone(remote="192.0.2.1"), ("127.0.0.1",), family) == "192.0.2.1"


@pytest.mark.parametrize("brought", ["", "x" * 129, "a b", "a\x1b[31m", "é", '"'])
def test_an_id_that_is_long_or_not_plain_is_replaced(brought: str) -> None:
    made = {request_id(CIMultiDict({HEADER: each})) for each in (brought, brought, "a-1")}
    assert len(made) == 3
    assert "a-1" in made
    assert brought not in made


def test_an_exception_is_in_its_line() -> None:
    try:
        raise ValueError("odd\nwords")
    except ValueError as error:
        record = logging.LogRecord("onward", logging.ERROR, "", 0, "it %s", ("failed",), (ValueError, error, None))
    text = JsonLines().format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == "it failed"
    assert "odd" in json.loads(text)["exception"]


def test_tus_answers_without_a_log_line_have_an_id_too(tmp_path: Path) -> None:
    with serving(tmp_path / "data", ["--state=memory:", "--log-level=error"]) as running:
        tus: Tus = running.tus
        assert tus.ask("OPTIONS", "/files")["X-Request-ID"] != tus.ask("OPTIONS", "/files")["X-Request-ID"]
