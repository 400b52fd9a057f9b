"""What unfinished uploads have been promised."""

from msgspec.structs import replace

from onward.protocol.model import FINAL, GONE, Concat, Place, Role, Status, Upload, UploadId
from onward.protocol.promises import Promise, charge, promise, sum_of

UPLOAD = Upload(
    id=UploadId("0" * 32), place=Place("p"), status=Status.UPLOADING, length=10, offset=4, metadata=None, promised=None,
    created=1.0, updated=2.0,
)  # fmt: skip


def test_an_unfinished_upload_is_promised_what_is_still_to_come() -> None:
    assert promise(UPLOAD) == Promise(unsent=6, kept=4)
    assert promise(replace(UPLOAD, status=Status.VERIFYING, offset=10)) == Promise(unsent=0, kept=10)


def test_nothing_is_promised_beyond_a_length_that_is_not_known() -> None:
    assert promise(replace(UPLOAD, length=None)) == Promise(unsent=0, kept=4)


def test_an_ended_upload_is_promised_nothing() -> None:
    for status in FINAL:
        assert promise(replace(UPLOAD, status=status)) == Promise()


def test_a_part_is_not_published_and_a_final_upload_takes_the_room_of_its_parts_again() -> None:
    part = replace(UPLOAD, concat=Concat(role=Role.PARTIAL, told="partial"))
    assert promise(part) == Promise(unsent=6, kept=0)
    final = replace(UPLOAD, concat=Concat(role=Role.FINAL, told="final;"), status=Status.PENDING, offset=0)
    assert promise(final) == Promise(unsent=10, kept=0)
    assert promise(replace(final, length=None)) == Promise()
    assert promise(replace(final, status=Status.VERIFYING, offset=10)) == Promise(unsent=0, kept=10)


def test_promises_add_up() -> None:
    assert sum_of([]) == Promise()
    assert sum_of([UPLOAD, UPLOAD]) == Promise(unsent=12, kept=8)


def test_an_upload_counts_with_its_whole_length_or_with_what_it_has_if_that_is_unknown() -> None:
    assert charge(UPLOAD) == 10
    assert charge(replace(UPLOAD, status=Status.COMPLETED, offset=10)) == 10
    assert charge(replace(UPLOAD, length=None)) == 4
    for status in GONE:
        assert charge(replace(UPLOAD, status=status)) == 0
