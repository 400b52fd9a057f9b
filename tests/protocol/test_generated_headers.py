"""Generated header values, thousands for each parser: what was written is read back, and nothing but a refusal is raised."""

from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.protocol import headers
from onward.protocol.checksums import ALGORITHMS
from onward.protocol.dialects import Request, tus1
from onward.protocol.errors import Refusal
from onward.protocol.model import Checksum, Limits

pytestmark = pytest.mark.slow

MANY = settings(max_examples=2000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
LINES = st.text(st.characters(max_codepoint=255), max_size=60)  # a header as aiohttp gives it, and worse
TEXTS = st.text(max_size=60)
TOKENS = st.sampled_from(
    ("final;", "partial", "bytes=", "-", ",", " ", "=", ":", ";", "/files/", "a" * 32, "http://t", "//", "sha256", "sha-256=:",
     "YQ==", "0", "9" * 19, "+", "\x00", "\r\n", "%2f", "[", "]", "@", "٣")
)  # fmt: skip
NEARLY = st.lists(TOKENS | LINES, max_size=8).map("".join)  # close to the grammars
VALUES = NEARLY | LINES | TEXTS
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1, max_size=20)
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
SEGMENTS = st.text("abcXYZ019._~-", min_size=1, max_size=8)
NAMES = (
    "content-encoding", "content-type", "repr-digest", "trailer", "tus-resumable", "upload-checksum", "upload-concat",
    "upload-defer-length", "upload-length", "upload-metadata", "upload-offset",
)  # fmt: skip

PARSERS: dict[str, Callable[[str], Any]] = {
    "an integer": lambda value: headers.parse_integer("Upload-Length", value),
    "base64": lambda value: headers.parse_base64("A value", value),
    "metadata": headers.parse_metadata,
    "a digest in hex": lambda value: headers.parse_hex_sha256(value.encode("utf-8", "surrogatepass")),
    "a digest": headers.parse_repr_digest,
    "a checksum": headers.parse_checksum,
    "a concatenation": headers.parse_concat,
    "a part": lambda value: headers.parse_part(value, host="t", path="/files"),
    "a range": lambda value: headers.parse_range(value, 1000),
}


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS.keys())
@MANY
@given(value=VALUES)
def test_any_value_is_read_or_refused(parse: Callable[[str], Any], value: str) -> None:
    with suppress(Refusal):
        parse(value)


@MANY
@given(told=st.dictionaries(st.sampled_from(NAMES), VALUES), has_body=st.booleans())
def test_any_headers_are_read_or_refused(told: dict[str, str], has_body: bool) -> None:
    sound = {"tus-resumable": tus1.VERSION, "content-type": tus1.CONTENT_TYPE, "upload-offset": "0"}
    for known in ({}, sound):
        request = Request(
            headers=known | told, body_size=None, has_body=has_body, find_collection=lambda: ("/files", "t")
        )
        for read in (tus1.read_create, tus1.read_append):
            with suppress(Refusal):
                read(request, Limits())


@MANY
@given(number=st.integers(0, headers.MAX_INTEGER))
def test_an_integer_is_read_back(number: int) -> None:
    assert headers.parse_integer("Upload-Offset", str(number)) == number


@MANY
@given(number=st.integers() | st.text("0123456789+-_ .٣", max_size=22))
def test_an_integer_is_read_as_a_plain_reader_would(number: int | str) -> None:
    value = str(number)
    plain = value.isascii() and value.isdigit() and value == str(int(value)) and int(value) < 2**63
    if plain:
        assert headers.parse_integer("Upload-Offset", value) == int(value)
    else:
        with pytest.raises(Refusal):
            headers.parse_integer("Upload-Offset", value)


@MANY
@given(data=st.binary(max_size=80))
def test_base64_is_read_back(data: bytes) -> None:
    assert headers.parse_base64("A value", b64encode(data).decode()) == data


@MANY
@given(pairs=st.dictionaries(KEYS, st.binary(max_size=40), max_size=12))
def test_metadata_is_read_back(pairs: dict[str, bytes]) -> None:
    assert headers.parse_metadata(headers.build_metadata(pairs)) == pairs


@MANY
@given(sha256=st.binary(min_size=32, max_size=32))
def test_a_digest_is_read_back(sha256: bytes) -> None:
    assert headers.parse_repr_digest(headers.build_repr_digest(sha256)) == sha256
    assert headers.parse_hex_sha256(sha256.hex().encode()) == sha256


@MANY
@given(name=st.sampled_from(sorted(ALGORITHMS)), data=st.binary(max_size=40))
def test_a_checksum_is_read_back(name: str, data: bytes) -> None:
    summing = ALGORITHMS[name].begin()
    summing.update(data)
    checksum = Checksum(algorithm=name, digest=summing.digest())
    assert headers.parse_checksum(headers.build_checksum(checksum)) == checksum


@MANY
@given(urls=st.none() | st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), min_size=1))
def test_a_concatenation_is_read_back(urls: list[str] | None) -> None:
    told = None if urls is None else tuple(urls)
    assert headers.parse_concat(headers.build_concat(told)) == told


@MANY
@given(
    id_=IDS,
    mount=st.lists(SEGMENTS, max_size=3),
    origin=st.sampled_from(("", "http://t", "http://t:80", "https://T:443", "http://other", "ftp://t")),
)
def test_a_part_is_found_by_any_url_of_ours(id_: str, mount: list[str], origin: str) -> None:
    url = f"{origin}{''.join(f'/{segment}' for segment in mount)}/files/{id_}"
    if "other" in origin or "ftp" in origin:
        with pytest.raises(Refusal):
            headers.parse_part(url, host="t", path="/files")
    else:
        assert headers.parse_part(url, host="t", path="/files") == id_


@MANY
@given(size=st.integers(0, 2**40), start=st.integers(0, 2**41), stop=st.integers(0, 2**41))
def test_a_range_lies_inside_the_file(size: int, start: int, stop: int) -> None:
    for value in (f"bytes={start}-{stop}", f"bytes={start}-", f"bytes=-{stop}"):
        with suppress(Refusal):
            part = headers.parse_range(value, size)
            assert part is None or 0 <= part[0] < part[1] <= size


@MANY
@given(name=TEXTS)
def test_a_file_name_is_read_back(name: str) -> None:
    told = headers.build_disposition("attachment", name)
    assert told.isascii()
    assert told.isprintable()
    if name:
        assert unquote(told.rpartition("''")[2]) == name.encode("utf-8", "replace").decode()


@MANY
@given(seconds=st.floats(0, 2**33))
def test_a_date_has_the_form_that_http_asks_for(seconds: float) -> None:
    told = headers.build_http_date(seconds)
    assert len(told) == len("Sun, 06 Nov 1994 08:49:37 GMT")
    assert parsedate_to_datetime(told).timestamp() == int(seconds)
