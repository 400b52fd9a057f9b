"""Codings, overrides, checksums, versions and types that can't be taken, and what refusals tell (S15, S19, S27, S32 to S34)."""

from base64 import b64encode
from hashlib import sha256

import pytest
from http_connection import Headers, Tus
from odd_requests import ID, Row, strike
from server_process import Server

REST = b"56789"
GOOD = f"sha256 {b64encode(sha256(REST).digest()).decode()}"
WRONG = f"sha256 {b64encode(sha256(b'other').digest()).decode()}"
CODINGS = ("gzip", "deflate", "br", "zstd", "foo", "gzip, gzip", "identity, gzip", "GZIP", "x-gzip", "")
CHECKSUMS = (
    "", "sha256", "sha256 ", "sha256  ", " sha256", "sha999 AAAA", "SHA256 AAAA", "sha256 AAAA", "sha256 *", f"{GOOD} x",
    f"{GOOD},{GOOD}", GOOD.replace(" ", "\t"), f"{GOOD}=", "sha1 " + GOOD[7:], f"{GOOD}\r\nUpload-Checksum: {GOOD}",
    "sha256 \xff", "md5 " + "A" * 5000,
)  # fmt: skip
VERSIONS = (
    None,
    "",
    "0.2.2",
    "1.0.0,1.0.0",
    "1.0.0, 0.2.2",
    "1.0",
    "1.0.0.0",
    "1",
    "v1.0.0",
    "1.0.0 x",
    "\xff",
    "01.0.0",
)
TYPES = (
    None, "", "application/octet-stream", "text/plain", "application/offset+octet-stream2", "application/offset octet-stream",
    "application/offset+octet-stream, text/plain", "*/*", "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded", "\xff",
)  # fmt: skip
OVERRIDES = ("PUT", "TRACE", "CONNECT", "patch", "PATCH,DELETE", "", "\xff", "GET\x0b", "P" * 5000)


def patch_with(server: Server, headers: Headers) -> bytes:
    return server.tus.request("PATCH", ID, server.tus.patching(5) | headers, REST)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coded_body_is_refused(server: Server, coding: str) -> None:
    strike(server, Row(patch_with(server, {"Content-Encoding": coding}), (415,)))
    headers = server.tus.patching(None, {"Content-Encoding": coding, "Upload-Length": "5"})
    strike(server, Row(server.tus.request("POST", server.tus.files, headers, REST), (415,)))


def test_a_body_that_is_not_coded_may_say_so(tus: Tus) -> None:
    path = tus.begun(b"01234" + REST, 5)
    assert tus.patch(path, 5, REST, {"Content-Encoding": "identity"}).status == 204


@pytest.mark.parametrize("value", CHECKSUMS)
def test_a_malformed_checksum_is_refused(server: Server, value: str) -> None:
    strike(server, Row(patch_with(server, {"Upload-Checksum": value})))


def test_a_wrong_checksum_keeps_nothing(server: Server) -> None:
    strike(server, Row(patch_with(server, {"Upload-Checksum": WRONG}), (460,)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["PATCH", "HEAD", "DELETE", "POST"])
def test_another_version_is_refused(server: Server, method: str, version: str | None) -> None:
    tus = server.tus
    headers = tus.patching(5, {"Upload-Length": "10", "Tus-Resumable": version})
    path, body = (tus.files, b"") if method == "POST" else (ID, REST if method == "PATCH" else b"")
    answer = strike(server, Row(tus.request(method, path, headers, body), (412,), method))
    assert answer["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("media", TYPES)
def test_another_type_is_refused(server: Server, media: str | None) -> None:
    strike(server, Row(patch_with(server, {"Content-Type": media}), (415,)))


@pytest.mark.parametrize("method", OVERRIDES)
def test_an_override_by_no_method_is_refused(server: Server, method: str) -> None:
    headers = server.tus.patching(5, {"X-HTTP-Method-Override": method})
    strike(server, Row(server.tus.request("POST", ID, headers, REST), (400, 405)))


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"Upload-Length": "x"}, 400), ("PUT", {}, 405), ("TRACE", {}, 405), ("POST", {"Tus-Resumable": "2"}, 412),
        ("POST", {"Upload-Length": "9223372036854775808"}, 400), ("GET", {}, 405), ("DELETE", {}, 405), ("HEAD", {}, 405),
    ],
)  # fmt: skip
def test_a_refusal_tells_no_more_than_it_must(server: Server, method: str, headers: Headers, status: int) -> None:
    answer = strike(server, Row(server.tus.request(method, server.tus.files, headers), (status,), method))
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/problem+json", "nosniff")
    assert answer["Server"] == "onward"
    assert len(answer.body) < 500


def test_no_offset_is_kept_by_a_cache(tus: Tus) -> None:
    path = tus.begun(b"01234" + REST, 5)
    assert tus.head(path)["Cache-Control"] == "no-store"
    assert (
        tus.ask("GET", f"{path}/progress")["Cache-Control"] == "private, no-cache"
    )  # asked again each time, by its ETag
    assert tus.patch(path, 4, REST)["Cache-Control"] == "no-store"
