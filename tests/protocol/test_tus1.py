"""The dialect: how requests are read, and the headers of replies."""

from base64 import b64encode

import pytest
from msgspec.structs import replace

from onward.protocol import errors
from onward.protocol.dialects import Request, tus1
from onward.protocol.errors import BadRequest, Forbidden, MediaType, Refusal, VersionUnsupported
from onward.protocol.headers import build_repr_digest
from onward.protocol.model import Checksum, Concat, CreateRequest, Limits, Place, Role, Status, Upload, UploadId

V = {"tus-resumable": "1.0.0"}
T = {"content-type": tus1.CONTENT_TYPE}
PART = UploadId("a" * 32)
FINAL = {"upload-concat": f"final;http://T:80/files/{PART} /files/{PART}"}
SHA256 = b"\x07" * 32
HEX = b64encode(SHA256.hex().encode()).decode()
UPLOAD = Upload(
    id=UploadId("i"), place=Place("p"), status=Status.PAUSED, length=10, offset=4, metadata="a YQ==", promised=None,
    created=0.0, updated=0.0, expires=784111777.0,
)  # fmt: skip


def request_with(headers: dict[str, str], body_size: int | None = 0) -> Request:
    return Request(headers=headers, body_size=body_size, has_body=body_size != 0)


def test_discovery_is_made_from_the_table() -> None:
    told = tus1.build_discovered(Limits(max_size=5)).headers
    assert (
        told["Tus-Extension"]
        == "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum,concatenation,concatenation-unfinished"
    )
    assert (told["Tus-Version"], told["Tus-Max-Size"]) == ("1.0.0", "5")
    told = tus1.build_discovered(Limits(expire_after=None)).headers
    assert "expiration" not in told["Tus-Extension"]
    assert "Tus-Max-Size" not in told


def test_a_creation_is_read() -> None:
    read = tus1.read_create(request_with(V | {"upload-length": "10", "upload-metadata": f"sha256 {HEX}"}), Limits())
    assert (read.length, read.promised, read.body_size, read.has_body) == (10, SHA256, 0, False)
    read = tus1.read_create(request_with(V | T | {"upload-defer-length": "1", "upload-metadata": ""}, None), Limits())
    assert (read.length, read.metadata, read.body_size, read.has_body) == (None, None, None, True)
    both = {"upload-length": "1", "upload-metadata": f"sha256 {HEX}", "repr-digest": build_repr_digest(SHA256)}
    assert tus1.read_create(request_with(V | both), Limits()).promised == SHA256


@pytest.mark.parametrize(
    ("headers", "body_size", "refusal"),
    [
        ({"upload-length": "1"}, 0, VersionUnsupported),
        (V | {"upload-length": "1", "tus-resumable": "1.0.0,1.0.0"}, 0, VersionUnsupported),
        (V, 0, BadRequest),
        (V | {"upload-length": "1", "upload-defer-length": "1"}, 0, BadRequest),
        (V | {"upload-defer-length": "0"}, 0, BadRequest),
        (V | {"upload-length": "1"}, 1, MediaType),
        (V | T | {"upload-length": "1", "content-encoding": "gzip"}, 1, MediaType),
        (V | {"upload-concat": "partial"}, 0, BadRequest),
        (V | {"upload-concat": "final"}, 0, BadRequest),
        (V | {"upload-concat": "final;/elsewhere/x"}, 0, BadRequest),
        (V | {"upload-concat": f"final;ftp://t/files/{PART}"}, 0, BadRequest),
        (V | {"upload-concat": "final;//[/x"}, 0, BadRequest),
        (V | FINAL | {"upload-length": "1"}, 0, BadRequest),
        (V | FINAL, 1, Forbidden),
        (V | T | {"upload-length": "1", "upload-checksum": "sha0 YQ=="}, 1, BadRequest),
        (V | T | {"upload-length": "1", "upload-checksum": "sha1 YQ=="}, 1, BadRequest),
        (V | {"upload-length": "1", "upload-metadata": f"sha256 {HEX}", "repr-digest": build_repr_digest(bytes(32))}, 0, BadRequest),
    ],
)  # fmt: skip
def test_a_creation_is_refused(headers: dict[str, str], body_size: int, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        tus1.read_create(request_with(headers, body_size), Limits())


def test_an_append_is_read() -> None:
    headers = V | T | {"upload-offset": "4", "upload-length": "10", "repr-digest": build_repr_digest(SHA256)}
    read = tus1.read_append(request_with(headers, None), Limits())
    assert (read.offset, read.length, read.promised, read.body_size) == (4, 10, SHA256, None)
    read = tus1.read_append(
        request_with(V | {"content-type": f"{tus1.CONTENT_TYPE}; x=y", "upload-offset": "0"}, 6), Limits()
    )
    assert (read.offset, read.length, read.promised, read.body_size) == (0, None, None, 6)


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [(T, VersionUnsupported), (V, MediaType), (V | T, BadRequest), (V | T | {"upload-offset": "x"}, BadRequest)],
)
def test_an_append_is_refused(headers: dict[str, str], refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        tus1.read_append(request_with(headers, 1), Limits())


def test_the_state_is_in_the_headers() -> None:
    assert tus1.build_inspected(UPLOAD, Limits(), 0).headers == {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "4",
        "Upload-Expires": "Sun, 06 Nov 1994 08:49:37 GMT",
        "Cache-Control": "no-store",
        "Upload-Length": "10",
        "Upload-Metadata": "a YQ==",
    }
    deferred = tus1.build_inspected(replace(UPLOAD, length=None, metadata=None, expires=None), Limits(), 0).headers
    assert deferred["Upload-Defer-Length"] == "1"
    assert not {"Upload-Length", "Upload-Metadata", "Upload-Expires"} & set(deferred)
    done = replace(UPLOAD, status=Status.COMPLETED, sha256=SHA256)
    assert tus1.build_upload_headers(done)["Repr-Digest"] == build_repr_digest(SHA256)
    public = replace(done, url="https://cdn.example/a.bin")
    assert tus1.build_upload_headers(public)["Content-Location"] == "https://cdn.example/a.bin"
    assert "Content-Location" not in tus1.build_upload_headers(done)


def test_extensions_are_switched_off_with_all_that_needs_them() -> None:
    limits = Limits(without=frozenset({"creation", "termination", "expiration", "checksum"}), expire_after=None)
    assert tus1.build_discovered(limits).headers == {"Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0"}
    assert "sha1" in tus1.build_discovered(Limits()).headers["Tus-Checksum-Algorithm"].split(",")


def test_what_is_switched_off_is_not_acted_on() -> None:
    def read(name: str, headers: dict[str, str], size: int = 0) -> CreateRequest:
        return tus1.read_create(request_with(V | T | headers, size), Limits(without=frozenset({name})))

    with pytest.raises(BadRequest):
        read("creation-defer-length", {"upload-defer-length": "1"})
    assert not read("creation-with-upload", {"upload-length": "1"}, 1).has_body
    assert read("concatenation", {"upload-length": "1", "upload-concat": "partial"}).concat is None
    assert read("checksum", {"upload-length": "1", "upload-checksum": "?"}, 1).checksum is None


def test_a_checksum_is_read() -> None:
    told = {"upload-offset": "0", "upload-checksum": f"md5 {b64encode(bytes(16)).decode()}"}
    read = tus1.read_append(request_with(V | T | told, 6), Limits())
    assert read.checksum == Checksum(algorithm="md5", digest=bytes(16))


def test_a_concatenation_is_read_and_returned_as_it_was_received() -> None:
    asked = Request(headers=V | FINAL, find_collection=lambda: ("/files", "t"))
    concat = tus1.read_create(asked, Limits()).concat
    assert concat == Concat(role=Role.FINAL, told=FINAL["upload-concat"], parts=(PART, PART))
    with pytest.raises(BadRequest):
        tus1.read_create(replace(asked, find_collection=lambda: ("/files", "other")), Limits())
    waiting = tus1.build_inspected(replace(UPLOAD, concat=concat, length=None, offset=0), Limits(), 0).headers
    assert waiting["Upload-Concat"] == FINAL["upload-concat"]
    assert not {"Upload-Offset", "Upload-Length", "Upload-Defer-Length"} & set(waiting)
    joined = tus1.build_inspected(
        replace(UPLOAD, concat=concat, status=Status.COMPLETED, offset=10), Limits(), 0
    ).headers
    assert (joined["Upload-Offset"], joined["Upload-Length"]) == ("10", "10")


def test_a_checksum_in_a_trailer_is_refused_where_it_would_count() -> None:
    headers = V | T | {"upload-offset": "0", "trailer": "Upload-Checksum"}
    with pytest.raises(BadRequest):
        tus1.read_append(request_with(headers, 5), Limits())
    assert tus1.read_append(request_with(headers, 5), Limits(without=frozenset({"checksum"}))).checksum is None


@pytest.mark.parametrize("passing", [408, 423, 425, 429, 500, 502, 503, 507])
def test_a_client_that_asks_for_the_offset_is_told_to_wait_for_what_passes(passing: int) -> None:
    assert tus1.choose_status(passing, True) == 423
    assert tus1.choose_status(passing, False) == passing
    assert tus1.is_passing(passing)


@pytest.mark.parametrize("lasting", [400, 401, 403, 404, 409, 410, 412, 460])
def test_what_lasts_is_said_to_all_alike(lasting: int) -> None:
    assert tus1.choose_status(lasting, True) == lasting
    assert not tus1.is_passing(lasting)


@pytest.mark.parametrize("cut", [errors.Locked, errors.BodyStalled, errors.Unavailable])
def test_whatever_cuts_a_body_is_answered_with_what_clients_retry(cut: type[Refusal]) -> None:
    assert cut.status in {423, 503}, "408 ends the upload in most of them"


def test_an_extension_brings_its_method() -> None:
    limits = Limits(without=frozenset({"termination"}))
    assert [tus1.offers_method(method, limits) for method in ("DELETE", "POST", "PATCH", "HEAD")] == [
        False,
        True,
        True,
        True,
    ]
    assert not tus1.offers_method("POST", Limits(without=frozenset({"creation"})))
    assert tus1.find_method("POST", {"X-HTTP-Method-Override": "PATCH"}) == "PATCH"
    assert tus1.find_method("POST", {}) == "POST"


def test_replies_are_written() -> None:
    created = tus1.build_created(UPLOAD, "http://t/files/i", Limits(), 0)
    assert (created.status, created.headers["Location"], created.headers["Upload-Offset"]) == (
        201,
        "http://t/files/i",
        "4",
    )
    assert tus1.build_appended(UPLOAD, Limits(), 0).status == tus1.build_terminated().status == 204
    refused = tus1.build_refused(errors.Crowded(), True, Limits(), 0)
    assert (refused.status, refused.headers["Retry-After"]) == (423, "10")
    assert tus1.build_refused(errors.StorageFull(), True, Limits(), 0).headers["Retry-After"] == "1"
