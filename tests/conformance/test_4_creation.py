"""Creation and metadata (checks 51 to 71)."""

import json
from base64 import b64encode

from conformance import check
from http_connection import Headers, Tus, path_of
from server_process import Start

OPTIONS = ["--max-size=1000"]
DATA = b"0123456789"
TEN: Headers = {"Upload-Length": "10"}
FORWARDED: Headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "files.example:8443"}


def refused(tus: Tus, headers: Headers) -> int:
    """Try to create an upload that is refused, and give the status."""
    answer = tus.post(headers)
    assert "Location" not in answer, (headers, answer.status)
    return answer.status


def metadata(value: str) -> Headers:
    return TEN | {"Upload-Metadata": value}


@check(51, "MUST", "OPTIONS offers creation")
def test_051_creation_is_offered(tus: Tus, start: Start) -> None:
    assert "creation" in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    bare = start("--without=creation").tus
    assert "creation" not in bare.ask("OPTIONS", bare.files)["Tus-Extension"].split(",")
    assert bare.post(TEN).status == 405


@check(52, "MUST", "POST with a length is 201 with a Location")
def test_052_post(tus: Tus) -> None:
    answer = tus.post({"Upload-Length": "100"})
    assert answer.status == 201
    assert answer["Location"].startswith(f"{tus.origin}/files/")


@check(53, "MUST", "Location leads to the upload: direct, behind a proxy, and under another base path")
def test_053_location_leads_to_the_upload(tus: Tus, start: Start) -> None:
    trusting = start("--trusted-proxies=127.0.0.1").tus
    other = start("--trusted-proxies=127.0.0.1", "--proxy-headers=forwarded").tus
    deep, root = start("--base-path=/a/b", files="/a/b").tus, start("--base-path=/", files="/").tus
    standard: Headers = {"Forwarded": "for=192.0.2.7;proto=https;host=files.example"}
    cases: list[tuple[Tus, Headers, str]] = [
        (tus, {}, f"{tus.origin}/files/"),
        (tus, FORWARDED, "/files/"),
        (tus, standard, "/files/"),
        (trusting, FORWARDED, "https://files.example:8443/files/"),
        (other, standard, "https://files.example/files/"),
        (trusting, {}, f"{trusting.origin}/files/"),
        (deep, {}, f"{deep.origin}/a/b/"),
        (root, {}, f"{root.origin}/"),
    ]
    for at, headers, prefix in cases:
        answer = at.post(TEN | headers)
        assert answer.status == 201
        begin, _, id_ = answer["Location"].rpartition("/")
        assert (headers, f"{begin}/") == (headers, prefix)
        assert len(id_) == 32
        at.check_holds(path_of(answer["Location"]), DATA, 0)


@check(54, "convention", "POST with neither a length nor a deferred one is 400")
def test_054_no_length(tus: Tus) -> None:
    assert refused(tus, {}) == 400


@check(55, "convention", "POST with both a length and a deferred one is 400")
def test_055_both_lengths(tus: Tus) -> None:
    assert refused(tus, {"Upload-Length": "10", "Upload-Defer-Length": "1"}) == 400


@check(56, "MUST", "A length that is no non-negative integer is 400")
def test_056_length_is_no_number(tus: Tus) -> None:
    for length in ("-1", "1.5", "abc", "+5", "0x10", "", "5,5", "1e2", "\xb2", str(2**63)):
        assert (length, refused(tus, {"Upload-Length": length})) == (length, 400)


@check(57, "MAY", "An upload of no bytes is complete at once, and told so once")
def test_057_no_bytes(tus: Tus) -> None:
    path = tus.create(0)
    told = json.loads(tus.progress(path))
    assert told["status"] == "completed"
    answer = tus.head(path)
    assert (answer.status, answer["Upload-Offset"], answer["Upload-Length"]) == (200, "0", "0")
    assert tus.patch(path, 0).status == 204
    download = tus.ask("GET", path)
    assert (download.status, download.body) == (200, b"")
    assert json.loads(tus.progress(path)) == told


@check(58, "MUST", "A length above the limit is 413, and nothing is created")
def test_058_above_the_limit(start: Start) -> None:
    server = start("--max-size=1000")
    assert refused(server.tus, {"Upload-Length": "1001"}) == 413
    assert refused(server.tus, {"Upload-Length": str(2**62)}) == 413
    assert server.ids() == set()
    assert server.count_records() == 0


@check(59, "implied", "A length at the limit is taken")
def test_059_at_the_limit(tus: Tus) -> None:
    tus.check_holds(tus.create(1000), b"x" * 1000, 0)


@check(60, "implied", "Two creations give two uploads")
def test_060_two_uploads(tus: Tus) -> None:
    first, second = tus.create(10), tus.create(10)
    assert first != second
    assert tus.patch(first, 0, DATA).status == 204
    tus.check_holds(second, b"abcdefghij", 0)
    tus.check_holds(first, DATA, 10)


@check(61, "MUST", "HEAD gives the metadata as they were sent")
def test_061_metadata(tus: Tus) -> None:
    sent = "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential"
    path = tus.create(10, {"Upload-Metadata": sent})
    assert tus.head(path)["Upload-Metadata"] == sent
    assert tus.patch(path, 0, DATA).status == 204
    assert tus.head(path)["Upload-Metadata"] == sent


@check(62, "MAY", "A key of the metadata may have no value")
def test_062_key_without_a_value(tus: Tus) -> None:
    for sent in ("is_confidential", "a,b YQ==,c"):
        assert tus.head(tus.create(10, {"Upload-Metadata": sent}))["Upload-Metadata"] == sent


@check(63, "MAY", "A key of the metadata may have a space and an empty value")
def test_063_key_with_an_empty_value(tus: Tus) -> None:
    assert tus.head(tus.create(10, {"Upload-Metadata": "a ,b YQ=="}))["Upload-Metadata"] == "a ,b YQ=="
    assert tus.head(tus.create(10, {"Upload-Metadata": "a "}))["Upload-Metadata"] == "a"  # HTTP strips the last space


@check(64, "MUST", "A key of the metadata that comes twice is 400")
def test_064_key_twice(tus: Tus) -> None:
    for sent in ("a YQ==,a YQ==", "a,b YQ==,a Yg=="):
        assert (sent, refused(tus, metadata(sent))) == (sent, 400)


@check(65, "MUST NOT", "An empty key of the metadata is 400")
def test_065_empty_key(tus: Tus) -> None:
    for sent in (",a YQ==", "a YQ==,", "a YQ==,,b YQ==", ","):
        assert (sent, refused(tus, metadata(sent))) == (sent, 400)


@check(66, "MUST", "A value of the metadata that is no Base64 is 400")
def test_066_value_is_no_base64(tus: Tus) -> None:
    for sent in ("a ???", "a YQ", "a YQ=", "a YQ===", "a Y_-_", "a =YQ=", "b YQ==,a Y", "a YR=="):
        assert (sent, refused(tus, metadata(sent))) == (sent, 400)


@check(67, "SHOULD", "A key of the metadata that is no ASCII is 400")
def test_067_key_is_no_ascii(tus: Tus) -> None:
    for sent in ("na\xefve YQ==", "\u00c3\u00a9 YQ=="):
        assert (sent, refused(tus, metadata(sent))) == (sent, 400)


@check(68, "convention", "An empty metadata header counts as none")
def test_068_empty_metadata(tus: Tus) -> None:
    answer = tus.head(tus.create(10, {"Upload-Metadata": ""}))
    assert answer.status == 200
    assert "Upload-Metadata" not in answer


@check(69, "MUST", "More than one space in a pair of the metadata is 400")
def test_069_more_than_one_space(tus: Tus) -> None:
    for sent in ("a  YQ==", "a b YQ==", "a YQ== YQ==", "a YQ== ,b YQ=="):
        assert (sent, refused(tus, metadata(sent))) == (sent, 400)


@check(70, "SHOULD", "Line ends and NUL inside a value never reach another header")
def test_070_line_ends_in_a_value(tus: Tus) -> None:
    name = b64encode(b"a\r\nX-Evil: 1\r\n\r\n\0\x7f<b>.txt").decode()
    sent = f"filename {name},filetype {name}"
    path = tus.stored(DATA, {"Upload-Metadata": sent})
    assert tus.head(path)["Upload-Metadata"] == sent
    download = tus.ask("GET", path)
    assert (download.status, download.body) == (200, DATA)
    assert "X-Evil" not in download
    assert all(value.isprintable() for value in download.headers.values())
    assert download["Content-Type"] == "application/octet-stream"


@check(71, "implied", "HEAD has no metadata where none were sent")
def test_071_no_metadata(tus: Tus) -> None:
    assert "Upload-Metadata" not in tus.head(tus.create(10))
