"""The check of types: what files are recognised as, which words an allow-list takes, and what it lets through."""

import re
from time import thread_time

import filetype
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds_of_files import FILES

from onward.server.uploads.checks.first_bytes import by_first_byte
from onward.server.uploads.checks.types import detect, is_allowed, known_types, read_types

MARKS = st.sampled_from(
    [content[:64] for content, _ in FILES.values()] + [b"BM", b"MZ", b"<", b"<svg ", b"PK\3\4", b"\xff\xfb"]
)


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_is_recognised(name: str) -> None:
    content, media_type = FILES[name]
    assert detect(content) == media_type
    assert detect((content + content[-1:] * 9000)[:4096]) == media_type


@given(MARKS, st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_only_matchers_that_would_say_no_are_not_asked(mark: bytes, rest: bytes) -> None:
    for head in (mark + rest, rest, bytes([rest[0]]) + mark if rest else mark):
        asked = by_first_byte([(kind.match, kind) for kind in filetype.TYPES])[head[0]] if head else ()
        said = [kind for kind in filetype.TYPES if head and kind.match(bytearray(head))]
        assert [kind for kind in asked if kind.match(bytearray(head))] == said
    assert len(by_first_byte([(kind.match, kind) for kind in filetype.TYPES])[ord("x")]) < 25


def test_a_matcher_that_looks_at_more_than_the_first_byte_is_always_asked() -> None:
    matchers = {
        "first": lambda file: len(file) > 2 and file[0] == 7 and file[1] == 8,
        "slice": lambda file: file[:2] == b"\x07\x08",
        "either": lambda file: (len(file) > 2 and file[0] == 7) or file[0] == 9,
        "later": lambda file: file[4:8] == b"ftyp",
        "later too": lambda file: file[0] == 7 or file[5] == 9,
        "masked": lambda file: file[0] & 7 == 7,
        "not": lambda file: file[0] != 7,
    }
    table = by_first_byte([(match, name) for name, match in matchers.items()])
    always = ["later", "later too", "masked", "not"]
    assert table[0] == tuple(always)
    assert table[7] == ("first", "slice", "either", *always)
    assert table[9] == ("either", *always)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"", None),
        (b"\0" * 4096, None),
        (b"x\x01y", None),
        ("Grüße".encode("latin-1"), None),
        ("Grüße".encode("utf-16"), None),
        (b"{}", "text/plain"),
        (b"a,b\r\n1,2\r\n", "text/plain"),
        (b"\xef\xbb\xbfhello", "text/plain"),
        (b"a" * 4095 + "ö".encode(), "text/plain"),  # the first 4 KiB end in the middle of a character
        (b"a" * 4093 + "𝄞".encode()[:3], "text/plain"),
        (b"a" * 100 + "ö".encode()[:1], None),  # here the file ends so
        (b"a" * 4092 + b"\xff" * 4, None),
        (b"BMW is a car", "text/plain"),  # not a bitmap
        (b"MZ is short for a name", "text/plain"),  # not a program
        (b"I <3 files; 1 < 2 <john@example.com>", "text/plain"),
        (b"<3", "text/plain"),
        (b"# Title\n\nSome <b>bold</b> words.\n", "text/plain"),
        (b"{\\rtf1 hello}", "application/rtf"),
        (b"%!PS-Adobe-3.0\n", "application/postscript"),
    ],
)
def test_text_is_told_from_the_rest(head: bytes, media_type: str | None) -> None:
    assert detect(head) == media_type


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"<html>", "text/html"),
        (b"  \r\n\t<HTML lang=de>", "text/html"),
        (b"\xef\xbb\xbf<!doctype HTML>", "text/html"),
        (b"<!-- x --><!-- <svg> --><h1>a", "text/html"),
        (b"<!-- no end", "text/html"),
        (b"<script>alert(1)</script>", "text/html"),
        (b"hello\n<script>alert(1)</script>", "text/html"),
        (b"a picture: <svg/onload=alert(1)>", "text/html"),
        (b"<html>\xe9", "text/html"),  # in Latin-1
        (b"<html>\0", "text/html"),
        (b"GIF89a/*<script>alert(1)</script>*/", "text/html"),  # all of it is text, so it is no picture
        (b"<div><svg></svg></div>", "text/html"),
        (b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "text/html"),
        (b"<?xml", "application/xml"),
        (b"<!DOCTYPE note", "application/xml"),
        (b'<!DOCTYPE note [<!ENTITY a "b">]><note/>', "application/xml"),
        (b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C" "x" [<!ENTITY a "b">]><!-- a --><svg/>', "image/svg+xml"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml"),
        (b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'>", "image/svg+xml"),
    ],
)
def test_what_looks_like_html_or_xml_is_not_plain_text(head: bytes, media_type: str) -> None:
    assert detect(head) == media_type


@settings(max_examples=2000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MARKS | st.binary(max_size=300), max_size=6).map(b"".join))
def test_the_types_are_those_of_the_library(head: bytes) -> None:
    found, known = detect(head), filetype.guess(head[:4096])
    if found not in ("text/plain", "text/html", "image/svg+xml", "application/xml"):  # of text few types are believed
        assert found == (None if known is None or known.mime == "application/octet-stream" else known.mime)


@settings(max_examples=2000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MARKS | st.binary(max_size=300), max_size=6).map(b"".join))
def test_any_bytes_get_a_known_type_or_none(head: bytes) -> None:
    found = detect(head)
    assert found is None or found in known_types()
    assert is_allowed(found, ("*/*",))


@pytest.mark.parametrize(
    "head",
    [
        b"<!" * 2048,
        b"<!--" * 1024,
        b"<?" * 2048,
        b"<!doctype x [" * 315,
        b"\n" * 4096,
        b"<? ?> " * 682,
        b"<!doctype x []" * 292,
    ],
)
def test_odd_bytes_take_no_time(head: bytes) -> None:
    start = thread_time()
    detect(head)
    assert thread_time() - start < 0.1


@pytest.mark.parametrize(
    ("found", "allowed", "passes"),
    [
        ("image/png", ("image/*",), True), ("image/png", ("image/png",), True), ("image/png", ("image/gif", "*/*"), True),
        ("image/png", ("image/gif", "application/pdf"), False), ("image/png", (), False),
        ("audio/x-wav", ("audio/wav",), True), ("audio/x-wav", ("audio/x-wav",), True), ("audio/mp4", ("video/mp4",), False),
        ("application/pdf", ("application/*",), True), ("application/pdf", ("application/octet-stream",), False),
        (None, ("*/*",), True), (None, ("application/octet-stream",), True), (None, ("application/*",), False),
        (None, ("image/*", "text/*"), False),
    ],
)  # fmt: skip
def test_an_allow_list_is_heeded(found: str | None, allowed: tuple[str, ...], passes: bool) -> None:
    assert is_allowed(found, allowed) is passes


def test_an_allow_list_is_read() -> None:
    assert read_types([" Image/* ", "image/*", "application/pdf", "audio/wav"]) == (
        "image/*",
        "application/pdf",
        "audio/wav",
    )


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("png", "'png' is not a media type such as image/png"), ("*", "is not a media type"), ("*/png", "is not a media type"),
        ("image/", "is not a media type"), ("", "is not a media type"), ("image/png; q=1", "is not a media type"),
        ("image/jpg", "is never recognised, so no file would be accepted as it; did you mean image/jpeg?"),
        ("text/csv", "is never recognised"), ("font/*", "is never recognised"),
    ],
)  # fmt: skip
def test_a_word_that_no_file_could_match_is_refused(word: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        read_types([word])
