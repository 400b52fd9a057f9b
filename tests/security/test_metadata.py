"""Metadata that would be a path, a header or code elsewhere, and what a download makes of it (rows S2, S16 to S18)."""

import re
from base64 import b64encode
from urllib.parse import unquote

import pytest
from http_connection import Headers, Tus, path_of
from odd_requests import Row, files, strike
from server_process import Server

DATA = b"<script>alert(1)</script>"
NAMES: tuple[bytes, ...] = (
    b"../../etc/cron.d/x", b"/abs", b"a\0b", b"C:\\x", b".", b"..", b"", b"n" * 300, b"CON", "a\u202eb".encode(),
    b"${jndi:ldap://x}", b"a\r\nSet-Cookie: x=1", b"a\nb", b'"; filename=x', b"a;b", b"\xff\xfe", b"a%2fb", b"~root", b"-rf",
    "\u2028".encode(), "snow\u2603".encode(), b"a'b", b"a\\b", b"x.html", b"\x1b[31m",
)  # fmt: skip
TYPES = (b"text/html", b"image/svg+xml", b"application/xml", b"application/pdf", b"text/html\r\nX: y")
MALFORMED = (
    "a YW*Jj", "a YW Jj", "a YWJj====", "a YWJ", "a YWJj=", "a\xff YQ==", ",a YQ==", "a YQ==,", "a YQ==,,b YQ==",
    "a YQ==,a Yg==", "a  YQ==", "a,b YQ==,a", "a\tYQ==", "a YQ==;b", "\xc3\xa4 YQ==", "a YR==", "a \xff",
    "a " + "QUFB" * 1100, ",".join(f"k{n} YQ==" for n in range(33)),
)  # fmt: skip


def encoded(key: str, value: bytes) -> str:
    return f"{key} {b64encode(value).decode()}".strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_data_and_never_a_path_or_a_header(server: Server, name: bytes) -> None:
    before, told = files(server), f"{encoded('filename', name)},{encoded('filetype', TYPES[0])}"
    path = server.tus.stored(DATA, {"Upload-Metadata": told})
    id_ = path.rpartition("/")[2]
    assert {file.rpartition("/")[2] for file in files(server) - before} == {id_}
    assert server.tus.head(path)["Upload-Metadata"] == told
    answer = server.tus.ask("GET", path)
    assert (answer.status, answer.body) == (200, DATA)
    assert not {"set-cookie", "x"} & answer.headers.keys()
    disposition = answer["Content-Disposition"]
    assert re.fullmatch(r"attachment(; filename=\"[ -~]*\"; filename\*=UTF-8''[A-Za-z0-9._~%-]*)?", disposition)
    plain = re.search(r'filename="([^"]*)"', disposition)
    assert plain is None or not set(plain[1]) & set('\\/%"')
    if name:
        assert unquote(disposition.rpartition("''")[2]) == name.decode("utf-8", "replace")
    assert b"\r" not in server.tus.progress(path)


@pytest.mark.parametrize("media", TYPES)
def test_a_download_is_never_shown_as_a_page(tus: Tus, media: bytes) -> None:
    path = tus.stored(DATA, {"Upload-Metadata": f"{encoded('filename', b'a.html')},{encoded('filetype', media)}"})
    for headers in ({}, {"Range": "bytes=1-3"}):
        answer = tus.ask("GET", path, dict(headers))
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer["Content-Disposition"].startswith("attachment")
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "private" in answer["Cache-Control"]


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_metadata_is_refused(server: Server, value: str) -> None:
    headers: Headers = {"Upload-Length": "5", "Upload-Metadata": value}
    strike(server, Row(server.tus.request("POST", server.tus.files, headers)))


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ("bytes=0-2", 206), ("bytes=-3", 206), ("bytes=5-", 206), ("bytes=0-999999999999", 206), ("bytes=-999999999", 206),
        ("bytes=٠-٥", 200), ("bytes=0-1,3-4", 200), ("bytes=" + ",".join(["0-0"] * 900), 200), ("bytes=5-2", 200),
        ("bytes=", 200), ("bytes=-", 200), ("bytes=a-b", 200), ("items=0-1", 200), ("bytes=0x0-1", 200), ("bytes=+0-1", 200),
        ("bytes=999-", 416), ("bytes=-0", 416), ("bytes=9999999999999999999-", 416), ("bytes=" + "9" * 4000 + "-", 200),
    ],
)  # fmt: skip
def test_a_range_is_one_part_at_most(tus: Tus, wanted: str, status: int) -> None:
    path = tus.stored(DATA)
    answer = tus.ask("GET", path, {"Range": wanted.encode().decode("latin-1")})
    assert answer.status == status
    if status != 416:
        assert int(answer["Content-Length"]) == len(answer.body) <= len(DATA)
        assert answer.body in DATA


def test_what_is_not_complete_is_no_download(tus: Tus) -> None:
    path = tus.begun(DATA, 5)
    assert tus.ask("GET", path).status == 409
    part = path_of(tus.post({"Upload-Length": "0", "Upload-Concat": "partial"})["Location"])
    assert tus.ask("GET", part).status == 403
