"""A server that refuses what a file contains: the upload ends with the reason, nothing is sent again, and a new call begins anew."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client_process import resume_files
from non_tus_server import odd_server

from onward import Mismatch, Options, Refused, upload, upload_stream

TITLE = "A file of this type is not accepted"
CREATED = "201 Created\r\nLocation: /files/1"
OFFERED = "204 No Content\r\nTus-Extension: creation,creation-defer-length"


def refusal(status: int) -> str:
    body = json.dumps(
        {"title": TITLE, "detail": "Files of the type text/html are not accepted.", "code": "type-not-allowed"}
    )
    return f"{status} Refused\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def progress(status: str, code: str) -> str:
    body = json.dumps({"status": status, "error": {"code": code, "title": TITLE}})
    return f"200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_bytes(bytes(3_000_000))
    return path


@pytest.mark.parametrize("status", [415, 422])
async def test_a_refusal_ends_the_upload_and_is_forgotten(file: Path, tmp_path: Path, status: int) -> None:
    async with odd_server({"POST": CREATED, "PATCH": refusal(status)}) as odd:
        with pytest.raises(Refused, match="Files of the type text/html are not accepted") as refused:
            await upload(file, odd.url, options=Options(state=tmp_path / "state" / "onward"))
    assert refused.value.status == status
    assert odd.asked == ["POST", "PATCH"]
    assert resume_files(tmp_path / "state") == []


async def test_the_reason_is_asked_for_where_the_answer_was_lost(file: Path, tmp_path: Path) -> None:
    answers = {"POST": CREATED, "PATCH": "500 Lost", "HEAD": "410 Gone", "GET": progress("failed", "infected")}
    async with odd_server(answers) as odd:
        with pytest.raises(Refused, match=f"the server has refused it: {TITLE}"):
            await upload(file, odd.url, options=Options(state=tmp_path / "state" / "onward"))
    assert odd.asked == ["POST", "PATCH", "HEAD", "GET"]
    assert resume_files(tmp_path / "state") == []


async def test_a_mismatch_whose_answer_was_lost_is_a_mismatch(file: Path, tmp_path: Path) -> None:
    answers = {"POST": CREATED, "PATCH": "410 Gone", "GET": progress("failed", "checksum-mismatch")}
    async with odd_server(answers) as odd:
        with pytest.raises(Mismatch):
            await upload(file, odd.url, options=Options(state=tmp_path / "state"))


@pytest.mark.parametrize(
    "answer",
    [progress("failed", "lost"), progress("terminated", "x"), "404 Not Found", "200 OK\r\nContent-Length: 2\r\n\r\n[]"],
)
async def test_an_upload_that_nobody_refuses_begins_again(file: Path, tmp_path: Path, answer: str) -> None:
    async with odd_server({"POST": CREATED, "PATCH": "410 Gone", "GET": answer}) as odd:
        with pytest.raises(Refused, match="loses the upload again and again"):
            await upload(file, odd.url, options=Options(state=tmp_path / "state"))
    assert odd.asked.count("POST") == 4


async def test_a_stream_ends_with_the_reason() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"some bytes"

    answers = {"OPTIONS": OFFERED, "POST": CREATED, "PATCH": "410 Gone", "GET": progress("failed", "infected")}
    async with odd_server(answers) as odd:
        with pytest.raises(Refused, match=TITLE):
            await upload_stream(blocks(), odd.url)
