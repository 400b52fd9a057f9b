"""The IETF draft: how requests are read and replies written, by interop version."""

import json
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from onward.protocol import errors
from onward.protocol.dialects import DEFAULT, DIALECTS, Dialect, Request, named
from onward.protocol.dialects.ietf import VERSIONS
from onward.protocol.errors import BadRequest, InconsistentLength, MediaType, Refusal
from onward.protocol.headers import build_repr_digest, parse_metadata
from onward.protocol.model import (
    CHECKSUM_MISMATCH,
    EXCEEDED,
    LOST,
    Failure,
    Limits,
    Place,
    Status,
    Upload,
    UploadId,
)

OLD, *NEW, OTHER = DIALECTS[: len(VERSIONS)]
ALL = [OLD, *NEW, OTHER]
MEDIA = {"content-type": "application/partial-upload"}
SHA256 = b"\x02" * 32
LIMITS = Limits(max_size=1000, expire_after=60.0)
UPLOAD = Upload(
    id=UploadId("i"), place=Place("p"), status=Status.PAUSED, length=10, offset=4, metadata=None, promised=None,
    created=0.0, updated=0.0, expires=60.0,
)  # fmt: skip
DONE = replace(UPLOAD, status=Status.COMPLETED, offset=10, sha256=SHA256, url="https://cdn.example/a")
every = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


def request_with(headers: Mapping[str, str], size: int | None = 0, name: str | None = None) -> Request:
    return Request(headers=headers, body_size=size, has_body=size != 0, name=name)


@pytest.mark.parametrize(
    ("method", "headers", "dialect"),
    [
        *(("HEAD", {"Upload-Draft-Interop-Version": dialect.stamp["Upload-Draft-Interop-Version"]}, dialect)
          for dialect in (OLD, *NEW)),
        ("HEAD", {"Upload-Draft-Interop-Version": "8;a=1"}, NEW[0]),
        ("HEAD", {"Upload-Draft-Interop-Version": "3"}, OTHER),
        ("HEAD", {"Upload-Draft-Interop-Version": '"8"'}, OTHER),
        ("POST", {"Upload-Complete": "?0"}, OTHER),
        ("POST", {"Upload-Complete": "?0", "Tus-Resumable": "1.0.0"}, OTHER),
        ("POST", {"Upload-Complete": "true", "Tus-Resumable": "1.0.0"}, DEFAULT),
        ("POST", {"Upload-Complete": "true"}, None),
        ("PATCH", {"Content-Type": "Application/Partial-Upload; a=b", "Tus-Resumable": "1.0.0"}, OTHER),
        ("POST", {"Content-Type": "application/partial-upload", "Tus-Resumable": "1.0.0"}, DEFAULT),
        ("PATCH", {"Content-Type": "application/offset+octet-stream"}, None),
    ],
)  # fmt: skip
def test_a_request_names_the_draft(method: str, headers: dict[str, str], dialect: Dialect | None) -> None:
    assert named(method, headers) is dialect


@every
def test_a_creation_is_read(dialect: Dialect) -> None:
    def read(headers: dict[str, str], size: int | None = 0) -> tuple[int | None, bool]:
        asked = dialect.read_create(request_with(headers, size), LIMITS)
        assert asked.excess_fails is (dialect is not OLD)
        assert asked.needs_end
        return asked.length, asked.completes

    assert read({"upload-complete": "?1"}, 5) == (5, True)
    assert read({"upload-complete": "?1", "upload-length": "5"}, 5) == (5, True)
    assert read({"upload-complete": "?1"}, 0) == (0, True)
    assert read({"upload-complete": "?1"}, None) == (None, True)
    assert read({"upload-complete": "?1", "upload-length": "5"}, None) == (5, True)
    assert read({"upload-complete": "?0"}, 5) == (None, False)
    assert read({"upload-complete": "?0", "upload-length": "9"}, 5) == (9, False)
    assert read({"upload-complete": "?0", "upload-length": '"9"'}) == (None, False)
    assert read({"upload-complete": "?0", "upload-length": "0"}) == (0, False)


@every
def test_a_creation_is_refused(dialect: Dialect) -> None:
    for headers in ({}, {"upload-complete": "1"}, {"upload-complete": "?1, ?1"}):
        with pytest.raises(BadRequest):
            dialect.read_create(request_with(headers), LIMITS)
    with pytest.raises(InconsistentLength):
        dialect.read_create(request_with({"upload-complete": "?1", "upload-length": "6"}, 5), LIMITS)
    with pytest.raises(BadRequest, match="too long"):
        dialect.read_create(request_with({"upload-complete": "?1", "content-type": "a" * 4000}), LIMITS)
    with pytest.raises(BadRequest, match="Repr-Digest"):
        dialect.read_create(request_with({"upload-complete": "?1", "repr-digest": "sha-256=5"}), LIMITS)


def test_a_creation_describes_its_file() -> None:
    headers = {
        "upload-complete": "?0", "content-type": "text/plain", "content-encoding": "gzip",
        "content-disposition": "inline; filename=\"a\"; filename*=UTF-8''b%20c", "repr-digest": build_repr_digest(SHA256),
    }  # fmt: skip
    asked = OTHER.read_create(request_with(headers), LIMITS)
    told = {"filename": b"b c", "filetype": b"text/plain", "contentencoding": b"gzip"}
    assert parse_metadata(asked.metadata or "") == told
    assert asked.promised == SHA256
    put = OTHER.read_create(request_with(headers, name="\udcfc.txt"), LIMITS)
    assert parse_metadata(put.metadata or "")["filename"] == "ü.txt".encode()
    assert OTHER.read_create(request_with({"upload-complete": "?0"}), LIMITS).metadata is None


@every
def test_an_append_is_read(dialect: Dialect) -> None:
    last = dialect.read_append(request_with(MEDIA | {"upload-offset": "4", "upload-complete": "?1"}, None), LIMITS)
    assert (last.offset, last.length, last.body_size, last.completes, last.needs_end) == (4, None, None, True, True)
    more = MEDIA | {"upload-offset": "4", "upload-complete": "?0", "upload-length": "9"}
    asked = dialect.read_append(request_with(more | {"repr-digest": build_repr_digest(SHA256)}, 3), LIMITS)
    assert (asked.length, asked.body_size, asked.completes, asked.needs_end) == (9, 3, False, True)
    assert (asked.promised, asked.excess_fails) == (SHA256, dialect is not OLD)
    with pytest.raises(MediaType):
        dialect.read_append(request_with(more | {"content-type": "text/plain"}), LIMITS)
    with pytest.raises(BadRequest):
        dialect.read_append(request_with(more | {"upload-offset": "-4"}), LIMITS)
    with pytest.raises(BadRequest):
        dialect.read_append(request_with(more | {"upload-complete": "yes"}), LIMITS)


@every
def test_an_append_without_the_flag_is_the_last_one_in_version_6_only(dialect: Dialect) -> None:
    request = request_with(MEDIA | {"upload-offset": "4"}, 6)
    if dialect is OLD:
        assert dialect.read_append(request, LIMITS).completes
    else:
        with pytest.raises(BadRequest):
            dialect.read_append(request, LIMITS)


@every
@pytest.mark.parametrize("field", ["upload-offset", "upload-length", "upload-complete"])
def test_head_and_delete_have_no_fields_of_others_in_version_6(dialect: Dialect, field: str) -> None:
    headers = {field: "?1" if field == "upload-complete" else "1"}
    for method in ("HEAD", "DELETE"):
        dialect.check_headers(method, {field: "x"})
        if dialect is OLD and (method, field) != ("DELETE", "upload-length"):
            with pytest.raises(BadRequest):
                dialect.check_headers(method, headers)
        else:
            dialect.check_headers(method, headers)


@every
def test_what_is_switched_off_for_tus_is_off_here(dialect: Dialect) -> None:
    less = replace(LIMITS, without=frozenset({"termination", "creation"}))
    for method in ("POST", "PUT", "DELETE"):
        assert dialect.offers_method(method, LIMITS)
        assert not dialect.offers_method(method, less)
    assert dialect.offers_method("PATCH", less)
    assert dialect.find_method("POST", {"X-HTTP-Method-Override": "PATCH"}) == "POST"


@every
def test_replies_tell_whether_the_upload_is_complete(dialect: Dialect) -> None:
    created = dialect.build_created(UPLOAD, "/files/i", LIMITS, 10.0)
    lifetime = "expires=50, max-age=50" if dialect is OLD else "max-age=50"
    limit = f"max-size=1000, min-size=0, {lifetime}"
    assert (created.status, created.headers) == (
        201, {"Location": "/files/i", "Upload-Complete": "?0", "Upload-Offset": "4", "Upload-Limit": limit},
    )  # fmt: skip
    appended = dialect.build_appended(UPLOAD, LIMITS, 10.0)
    assert appended.status == (201 if dialect is OLD else 204)
    assert appended.headers == {"Upload-Complete": "?0", "Upload-Offset": "4"}
    done = dialect.build_appended(DONE, LIMITS, 10.0)
    assert done.status == 200
    assert done.headers == {
        "Upload-Complete": "?1", "Upload-Offset": "10", "Repr-Digest": build_repr_digest(SHA256),
        "Content-Location": "https://cdn.example/a",
    }  # fmt: skip
    assert dialect.build_terminated().status == 204
    seen = dialect.build_inspected(UPLOAD, LIMITS, 10.0)
    assert (seen.status, seen.headers["Cache-Control"]) == (204, "no-store")
    assert (seen.headers["Upload-Length"], seen.headers["Upload-Limit"]) == ("10", limit)
    for length in (None, 10**15):
        assert "Upload-Length" not in dialect.build_inspected(replace(UPLOAD, length=length), LIMITS, 0.0).headers
    assert dialect.build_described is not None
    assert dialect.build_described(DONE, LIMITS, 0.0)["Upload-Limit"] == "max-size=1000, min-size=0"


@every
def test_limits_are_told(dialect: Dialect) -> None:
    assert dialect.build_discovered(Limits(expire_after=None)).headers == {
        "Accept-Patch": "application/partial-upload", "Upload-Limit": "min-size=0",
    }  # fmt: skip
    most = dialect.build_discovered(replace(LIMITS, max_request=7)).headers["Upload-Limit"]
    assert most.startswith("max-size=1000, min-size=0, max-append-size=7, ")
    assert ("expires=60" in most) is (dialect is OLD)
    own = replace(UPLOAD, max_size=100, expires=5.0)
    assert dialect.build_inspected(own, LIMITS, 9.0).headers["Upload-Limit"].startswith("max-size=100, min-size=0, ")
    assert dialect.build_inspected(own, LIMITS, 9.0).headers["Upload-Limit"].endswith("max-age=0")


@every
def test_informational_replies_name_the_version(dialect: Dialect) -> None:
    if dialect is OTHER:
        assert dialect.build_interim is None
        return
    assert dialect.build_interim is not None
    first = dialect.build_interim(UPLOAD, "/files/i", LIMITS, 0.0)
    assert (first.status, set(first.headers)) == (104, {"Upload-Draft-Interop-Version", "Location", "Upload-Limit"})
    later = dialect.build_interim(UPLOAD, None, LIMITS, 0.0)
    assert later.headers == dict(dialect.stamp) | {"Upload-Offset": "4"}


@every
@pytest.mark.parametrize(
    ("refusal", "status", "flag"),
    [
        (errors.Failed(CHECKSUM_MISMATCH), 460, "?1"),
        (errors.Failed(Failure(code="infected", status=422, title="A virus")), 422, "?1"),
        (errors.Failed(EXCEEDED), 400, "?0"), (errors.Failed(LOST), 410, "?0"),
        (errors.BadRequest(), 400, "?0"), (errors.MediaType(), 415, "?0"), (errors.Locked(), 423, "?0"),
        (errors.StorageFull(), 507, "?0"), (errors.Unchecked(), 503, "?0"), (errors.Gone(), 410, "?0"),
        (errors.Gone(failure=CHECKSUM_MISMATCH), 410, "?1"), (errors.Gone(failure=LOST), 410, "?0"),
        (errors.AccessDenied(), 403, "?0"), (errors.ServerFault(), 500, "?0"),
    ],
)  # fmt: skip
def test_only_a_verdict_ends_an_upload(dialect: Dialect, refusal: Refusal, status: int, flag: str) -> None:
    refused = dialect.build_refused(refusal, True, LIMITS, 0.0)
    assert (refused.status, refused.headers["Upload-Complete"]) == (status, flag)
    assert "Upload-Offset" not in refused.headers


def with_upload(refusal: Refusal, upload: Upload) -> Refusal:
    refusal.upload = upload
    return refusal


@every
def test_refusals_tell_of_the_upload(dialect: Dialect) -> None:
    wrong = dialect.build_refused(errors.OffsetMismatch(recorded=4, provided=3), False, LIMITS, 0.0)
    problem = json.loads(wrong.body or b"")
    assert (wrong.status, wrong.headers["Upload-Offset"], wrong.headers["Upload-Complete"]) == (409, "4", "?0")
    assert problem["type"].endswith("http-problem-types#mismatching-upload-offset")
    assert (problem["expected-offset"], problem["provided-offset"]) == (4, 3)
    for refusal in (errors.LengthExceeded(), InconsistentLength(), with_upload(errors.LengthExceeded(), UPLOAD)):
        refused = dialect.build_refused(refusal, False, LIMITS, 0.0)
        assert refused.status == 400
        assert json.loads(refused.body or b"")["type"].endswith("#inconsistent-upload-length")
    more = dialect.build_refused(with_upload(errors.LengthExceeded(), DONE), False, LIMITS, 0.0)
    assert more.status == (400 if dialect is OLD else 409)
    assert (more.headers["Upload-Offset"], more.headers["Upload-Complete"]) == ("10", "?0")
    large = dialect.build_refused(errors.TooLarge(limit=500), False, LIMITS, 0.0)
    assert (large.status, large.headers["Upload-Limit"].partition(",")[0]) == (413, "max-size=500")
    for refusal in (errors.TooLarge(), errors.QuotaExceeded(), errors.Crowded(), errors.StorageFull()):
        refused = dialect.build_refused(with_upload(refusal, replace(UPLOAD, max_size=80)), False, LIMITS, 0.0)
        assert refused.headers["Upload-Limit"].startswith("max-size=80, min-size=0, ")
        assert refused.headers["Upload-Limit"].endswith("max-age=60")


@every
def test_a_retry_is_welcome_after_what_passes(dialect: Dialect) -> None:
    assert dialect.is_passing(503)
    assert dialect.is_passing(423)
    assert not dialect.is_passing(409)
