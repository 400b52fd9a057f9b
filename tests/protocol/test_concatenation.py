"""Final uploads and their parts: what may be joined, and when."""

import pytest
from msgspec.structs import replace

from onward.protocol import concatenation, decisions
from onward.protocol.errors import BadRequest, Forbidden, Gone, Refusal, TooLarge
from onward.protocol.model import (
    PART_GONE,
    TOO_LARGE,
    AppendRequest,
    Concat,
    CreateRequest,
    Limits,
    Place,
    Role,
    Status,
    Upload,
    UploadId,
)

LIMITS = Limits(max_size=100, expire_after=60.0, quiet_after=5.0, release_after=10.0)
PART = decisions.create(
    CreateRequest(
        length=10, metadata=None, promised=None, body_size=0, has_body=False, concat=Concat(role=Role.PARTIAL, told="partial")
    ),
    id=UploadId("p"), place=Place("p"), now=0.0, limits=LIMITS,
)  # fmt: skip
DONE = replace(PART, status=Status.COMPLETED, offset=10)
FINAL = replace(
    PART, id=UploadId("f"), length=None, concat=Concat(role=Role.FINAL, told="final;p p", parts=(PART.id,) * 2)
)


def advanced(*parts: Upload) -> Upload:
    return concatenation.advanced(FINAL, parts, now=1.0, limits=LIMITS)


@pytest.mark.parametrize(
    ("part", "refusal"),
    [
        (replace(DONE, concat=None), BadRequest),
        (replace(DONE, concat=FINAL.concat), BadRequest),
        (replace(DONE, status=Status.TERMINATED), Gone),
        (replace(DONE, expires=0.5), Gone),
        (replace(DONE, length=101), TooLarge),
        (PART, BadRequest),
    ],
)
def test_what_cannot_be_joined_is_refused(part: Upload, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        concatenation.check_parts([DONE, part], now=1.0, limits=LIMITS, may_wait=False)


def test_the_length_is_stated_once_it_can_be_summed() -> None:
    def length(*parts: Upload) -> int | None:
        return concatenation.check_parts(parts, now=1.0, limits=LIMITS, may_wait=True)

    assert length(DONE, PART) == 20
    assert length(DONE, replace(PART, length=None)) is None


def test_a_final_upload_waits_and_then_joins() -> None:
    waiting = advanced(DONE, PART)
    assert (waiting.status, waiting.offset, waiting.length, waiting.due) == (Status.PENDING, 0, 20, 6.0)
    joining = advanced(DONE, DONE)
    assert (joining.status, joining.offset, joining.length) == (Status.VERIFYING, 20, 20)


def test_a_final_upload_fails_with_its_parts() -> None:
    assert advanced(DONE, replace(DONE, status=Status.FAILED)).failure is PART_GONE
    assert advanced(DONE, replace(DONE, length=95)).failure is TOO_LARGE


def test_a_final_upload_takes_no_bytes() -> None:
    request = AppendRequest(offset=0, length=None, promised=None, body_size=1)
    with pytest.raises(Forbidden):
        decisions.append(FINAL, request, now=1.0, limits=LIMITS)


def test_a_complete_part_expires_and_goes_soon_after_the_final_one() -> None:
    verifying = replace(PART, status=Status.VERIFYING, offset=10)
    done = decisions.completed(verifying, sha256=b"", place=PART.place, now=1.0, limits=LIMITS)
    assert (done.expires, done.due) == (61.0, 61.0)
    assert decisions.is_expired(done, 61.0)
    assert concatenation.wanted(done, now=30.0, limits=LIMITS).expires == 90.0
    assert concatenation.released(done, now=30.0, limits=LIMITS).due == 40.0
    assert concatenation.released(replace(done, expires=None), now=30.0, limits=LIMITS).expires == 40.0


def test_a_final_upload_waits_as_long_as_its_parts_may() -> None:
    assert advanced(DONE, replace(PART, expires=500.0)).expires == 500.0
    assert advanced(DONE, replace(PART, expires=None)).expires is None
    assert concatenation.is_needed_longer(replace(DONE, expires=20.0), now=1.0, limits=LIMITS)
    assert not concatenation.is_needed_longer(replace(DONE, expires=21.0), now=1.0, limits=LIMITS)
    assert not concatenation.is_needed_longer(PART, now=50.0, limits=LIMITS)


def test_a_final_upload_that_becomes_larger_than_its_record_allows_fails() -> None:
    final = replace(FINAL, max_size=19)
    assert concatenation.advanced(final, [DONE, DONE], now=1.0, limits=LIMITS).failure == TOO_LARGE
    assert advanced(DONE, DONE).status is Status.VERIFYING
