"""Plain requests: what is read of a PUT."""

from typing import Any

import pytest

from onward.protocol.dialects import Request
from onward.protocol.errors import BadRequest, ClientFault, MediaType, PreconditionFailed
from onward.protocol.headers import build_repr_digest, parse_metadata
from onward.protocol.plain import MOST_NAME, parse_segment, plain_type, read_put

SHA256, OTHER = b"\x07" * 32, b"\x08" * 32


def request_with(headers: dict[str, str], body_size: int | None = 5) -> Request:
    return Request(headers=headers, body_size=body_size, has_body=body_size != 0)


def test_a_put_is_read() -> None:
    read = read_put(request_with({"content-type": "text/plain", "if-none-match": "*"}), b"a%20b.txt")
    assert parse_metadata(read.metadata or "") == {"filename": b"a b.txt", "filetype": b"text/plain"}
    assert (read.length, read.body_size, read.has_body, read.promised) == (5, 5, True, None)
    assert read.in_one_request
    read = read_put(request_with({}, None), b"a")
    assert (read.length, read.body_size, read.has_body) == (None, None, True)
    assert parse_metadata(read.metadata or "") == {"filename": b"a"}


@pytest.mark.parametrize("names", [["repr-digest"], ["content-digest"], ["repr-digest", "content-digest"]])
def test_a_digest_is_a_promise(names: list[str]) -> None:
    assert read_put(request_with(dict.fromkeys(names, build_repr_digest(SHA256))), b"a").promised == SHA256


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"content-range": "bytes 0-4/10"}, BadRequest),
        ({"if-match": "*"}, PreconditionFailed),
        ({"content-encoding": "gzip"}, MediaType),
        ({"repr-digest": "sha-256=:AA==:"}, BadRequest),
        ({"content-digest": "sha-256"}, BadRequest),
        ({"repr-digest": build_repr_digest(SHA256), "content-digest": build_repr_digest(OTHER)}, BadRequest),
    ],
)
def test_a_put_that_is_not_whole_or_contradicts_itself_is_refused(
    headers: dict[str, str], refusal: type[ClientFault]
) -> None:
    with pytest.raises(refusal):
        read_put(request_with(headers), b"a")


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        (b"a.txt", "a.txt"),
        (b"%C3%A4%2B+%25", "ä++%"),
        ("ä".encode(), "ä"),
        (b"...", "..."),
        (b"C:\\x", "C:\\x"),
        (b"%zz", "%zz"),
        (b"x" * MOST_NAME, "x" * MOST_NAME),
    ],
)
def test_a_file_name_is_one_segment_of_a_path(segment: bytes, name: str) -> None:
    assert parse_segment(segment) == name


@pytest.mark.parametrize(
    "segment",
    [
        b"", b".", b"%2e%2E", b"a%2Fb", b"a%00", b"a%0d%0ab", b"%7f", b"%C2%85", b"%FF", b"\xff", b"%ED%A0%80",
        b"x" * (MOST_NAME + 1), b"%C3%A4" * MOST_NAME,
    ],
)  # fmt: skip
def test_what_no_file_can_be_called_is_refused(segment: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_segment(segment)


@pytest.mark.parametrize(
    ("value", "told"), [(" text/plain ", b"text/plain"), ("", b""), ("a\tb", b""), ("ä", b""), ("x" * 256, b"")]
)
def test_a_media_type_is_told_if_it_is_plain(value: Any, told: bytes) -> None:
    assert plain_type(value) == told
