"""Sizes and offsets that are no numbers, or too large ones (rows S6 to S8)."""

import pytest
from http_connection import Headers, Tus, path_of
from odd_requests import LENGTH, STORED, Row, strike
from server_process import Server, Start

NO_NUMBERS = (
    "-1", "+5", "5.0", "1e3", "0x5", "5_0", '"5"', "٥", "５", "00", "05", "-0", "5,6", "5, 5", "5 6", "5;6", "0b101", "",
    "five", "NaN", "inf", "1" * 20, "9223372036854775808", "18446744073709551616", "9" * 5000, "\u00b2", "5\t5", "\x0b5",
)  # fmt: skip
LEGAL_SIZES = ("00", "05")  # HTTP counts zeros ahead as digits
REST = b"x" * (LENGTH - len(STORED))


def latin(value: str) -> str:
    """Give the characters whose bytes are those of UTF-8."""
    return value.encode().decode("latin-1")


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_length_is_a_number(server: Server, value: str) -> None:
    strike(server, Row(server.tus.request("POST", server.tus.files, {"Upload-Length": latin(value)})))


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_an_offset_is_a_number(server: Server, value: str) -> None:
    headers = server.tus.patching(latin(value))
    strike(server, Row(server.tus.request("PATCH", "%ID", headers, REST)))


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_late_length_is_a_number(server: Server, value: str) -> None:
    headers = server.tus.patching(5, {"Upload-Length": latin(value)})
    strike(server, Row(server.tus.request("PATCH", "%ID", headers, REST)))


@pytest.mark.parametrize("value", [value for value in NO_NUMBERS if value not in LEGAL_SIZES])
def test_the_size_of_a_body_is_a_number(server: Server, value: str) -> None:
    headers = server.tus.patching(5, {"Content-Length": latin(value)})
    strike(server, Row(server.tus.request("PATCH", "%ID", headers, REST), (400, 413)))


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"Upload-Length": "5\r\nUpload-Length: 5"}, 400),
        ("POST", {"Upload-Length": "5\r\nUpload-Length: 6"}, 400),
        ("POST", {"Upload-Length": "5", "Upload-Defer-Length": "1"}, 400),
        ("POST", {"Upload-Defer-Length": "2"}, 400),
        ("POST", {"Upload-Defer-Length": "0"}, 400),
        ("POST", {"Upload-Defer-Length": "true"}, 400),
        ("POST", {}, 400),
        ("PATCH", {"Upload-Offset": None}, 400),
        ("PATCH", {"Upload-Offset": "5\r\nUpload-Offset: 6"}, 400),
        ("PATCH", {"Upload-Offset": "5\r\nupload-offset: 5"}, 400),
        ("PATCH", {"Upload-Offset": "4"}, 409),
        ("PATCH", {"Upload-Offset": "6"}, 409),
        ("PATCH", {"Upload-Offset": "9223372036854775807"}, 409),
        ("PATCH", {"Content-Length": "6"}, 413),
        ("PATCH", {"Content-Length": "1000000000000000000"}, 413),
        ("PATCH", {"Content-Length": "9223372036854775807"}, 413),
        ("PATCH", {"Upload-Length": "11"}, 400),
        ("PATCH", {"Upload-Length": "4"}, 400),
    ],
)
def test_numbers_that_contradict_are_refused(server: Server, method: str, headers: Headers, status: int) -> None:
    path, known = ("%ID", server.tus.patching(5)) if method == "PATCH" else (server.tus.files, {})
    strike(
        server, Row(server.tus.request(method, path, known | headers, REST if method == "PATCH" else b""), (status,))
    )


def test_beyond_the_largest_size_nothing_is_made(start: Start) -> None:
    server = start("--max-size=1000")
    for value in ("1001", "9223372036854775807"):
        answer = strike(server, Row(server.tus.request("POST", server.tus.files, {"Upload-Length": value}), (413,)))
        assert answer["Tus-Max-Size"] == "1000"
    path = server.tus.create(1000)
    assert server.bytes_of(path) == [], "a size is no reason to allocate"


def test_an_empty_file_is_complete_at_once(tus: Tus) -> None:
    answer = tus.post({"Upload-Length": "0"})
    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    assert tus.ask("GET", path_of(answer["Location"])).body == b""


@pytest.mark.parametrize("excess", [1, 1000, 2**20])
def test_chunks_never_go_beyond_the_length(server: Server, excess: int) -> None:
    tus = server.tus
    path = tus.begun(STORED + REST, len(STORED))
    answer = tus.patch(path, len(STORED), parts=[REST, b"y" * excess])
    assert answer.status == 413
    assert tus.offset(path) in (len(STORED), LENGTH)
    assert all(file.stat().st_size <= LENGTH for file in server.bytes_of(path))
    tus.check_holds(path, STORED + REST, tus.offset(path))
