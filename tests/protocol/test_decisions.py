"""The state machine and the decisions, without a clock and without I/O."""

import re
from collections.abc import Callable
from math import exp
from typing import Any

import pytest
from msgspec.structs import replace

from onward.protocol import decisions, lifecycle
from onward.protocol.errors import BadRequest, Failed, Gone, LengthExceeded, OffsetMismatch, Refusal, TooLarge
from onward.protocol.headers import MAX_INTEGER
from onward.protocol.lifecycle import Change
from onward.protocol.model import (
    CHECKSUM_MISMATCH,
    LOST,
    AppendRequest,
    CreateRequest,
    Licence,
    Limits,
    Place,
    Status,
    Upload,
    UploadId,
)

LIMITS = Limits(max_size=100, expire_after=60.0, forget_after=30.0, quiet_after=5.0)
SHA256 = b"\x01" * 32
ID = UploadId("0" * 32)


def created(**changes: Any) -> Upload:
    request = CreateRequest(
        **({"length": 10, "metadata": None, "promised": None, "body_size": 0, "has_body": False} | changes)
    )
    return decisions.create(request, id=ID, place=Place("p"), now=0.0, limits=LIMITS)


def at(status: Status, **changes: Any) -> Upload:
    return replace(created(), status=status, **changes)


def append_request(**changes: Any) -> AppendRequest:
    return AppendRequest(**({"offset": 0, "length": None, "promised": None, "body_size": None} | changes))


def test_a_new_upload_is_pending_and_expires() -> None:
    upload = created()
    assert (upload.status, upload.offset, upload.version, upload.expires, upload.due) == (Status.PENDING, 0, 1, 60, 60)
    forever = decisions.create(
        CreateRequest(length=None, metadata=None, promised=None, body_size=None, has_body=True),
        id=ID, place=Place("p"), now=0.0, limits=Limits(expire_after=None),
    )  # fmt: skip
    assert (forever.expires, forever.due) == (None, None)


def test_an_upload_of_one_request_expires_soon_until_it_is_whole() -> None:
    soon = lifecycle.ABANDONED
    for limits in (Limits(), Limits(expire_after=None)):
        request = CreateRequest(
            length=None, metadata=None, promised=None, body_size=None, has_body=True, in_one_request=True
        )
        upload = decisions.create(request, id=ID, place=Place("p"), now=0.0, limits=limits)
        assert (upload.expires, upload.due) == (soon, soon)
        upload = decisions.received(upload, 5, now=100.0, since=99.0, limits=limits)
        assert upload.expires == 100.0 + soon
        whole = decisions.ended(upload, 9, now=101.0, since=100.0, limits=limits, cut=False, completes=True)
        held = decisions.held(whole, until=110.0, sha256=SHA256, now=102.0, limits=limits)
        assert held.expires == (None if limits.expire_after is None else 102.0 + limits.expire_after)
    assert created(in_one_request=True).expires == LIMITS.expire_after == 60


@pytest.mark.parametrize("changes", [{"length": 101}, {"body_size": 11}, {"length": None, "body_size": 101}])
def test_a_creation_beyond_the_limits_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TooLarge):
        created(**changes)
    created(length=100, body_size=100)


def test_the_table_reaches_every_status_and_leaves_no_final_one_but_by_termination() -> None:
    assert set(lifecycle.TRANSITIONS.values()) == set(Status)
    left = {(status, change) for status, change in lifecycle.TRANSITIONS if status.final}
    assert left == {
        (Status.COMPLETED, Change.TERMINATE),
        (Status.FAILED, Change.TERMINATE),
        (Status.COMPLETED, Change.EXPIRE),
        (Status.COMPLETED, Change.KEEP),
    }


def test_a_licence_covers_what_is_left() -> None:
    upload, licence = decisions.append(
        at(Status.PAUSED, offset=4), append_request(offset=4, body_size=6), now=1.0, limits=LIMITS
    )
    assert (licence, upload.offset) == (Licence(start=4, end=10), 4)
    _, licence = decisions.append(created(length=None), append_request(), now=1.0, limits=LIMITS)
    assert licence.end == 100
    _, licence = decisions.append(created(length=None), append_request(), now=1.0, limits=Limits())
    assert licence.end == MAX_INTEGER


CASES: dict[str, tuple[Upload, AppendRequest, type[Refusal]]] = {
    "behind": (at(Status.PAUSED, offset=4), append_request(offset=3), OffsetMismatch),
    "ahead": (at(Status.PAUSED, offset=4), append_request(offset=5), OffsetMismatch),
    "too long": (at(Status.PAUSED, offset=4), append_request(offset=4, body_size=7), TooLarge),
    "other length": (created(), append_request(length=11), BadRequest),
    "length below": (created(length=None), append_request(length=101), TooLarge),
    "length below the offset": (
        at(Status.PAUSED, length=None, offset=4),
        append_request(offset=4, length=3),
        BadRequest,
    ),
    "other promise": (created(promised=SHA256), append_request(promised=bytes(32)), BadRequest),
    "other promise later": (at(Status.COMPLETED, sha256=SHA256), append_request(promised=bytes(32)), BadRequest),
    "more than completed": (at(Status.COMPLETED, offset=10), append_request(offset=10, body_size=1), TooLarge),
    "failed": (at(Status.FAILED, failure=LOST), append_request(), Gone),
    "terminated": (at(Status.TERMINATED), append_request(), Gone),
    "expired": (at(Status.EXPIRED), append_request(), Gone),
    "time is over": (created(), append_request(offset=0), Gone),
}


@pytest.mark.parametrize(("upload", "asked", "refusal"), CASES.values(), ids=CASES.keys())
def test_an_append_is_refused(upload: Upload, asked: AppendRequest, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        decisions.append(upload, asked, now=60.0 if refusal is Gone else 1.0, limits=LIMITS)


def test_the_length_and_the_promise_may_come_late() -> None:
    upload, licence = decisions.append(
        created(length=None), append_request(length=7, promised=SHA256), now=1.0, limits=LIMITS
    )
    assert (upload.length, upload.promised, licence.end) == (7, SHA256, 7)
    again, _ = decisions.append(upload, append_request(length=7, promised=SHA256), now=1.0, limits=LIMITS)
    assert again == upload
    unlimited, _ = decisions.append(created(length=None), append_request(length=10**6), now=1.0, limits=Limits())
    assert unlimited.length == 10**6


def test_the_largest_size_in_a_record_counts_for_a_length_that_is_declared_later() -> None:
    upload = created(length=None, max_size=10)
    _, licence = decisions.append(upload, append_request(), now=1.0, limits=LIMITS)
    assert licence.end == 10
    with pytest.raises(TooLarge, match="10 bytes at most"):
        decisions.append(upload, append_request(length=11), now=1.0, limits=LIMITS)
    _, licence = decisions.append(replace(upload, max_size=200), append_request(), now=1.0, limits=LIMITS)
    assert licence.end == 100


def test_received_bytes_move_the_offset_and_the_rate() -> None:
    first = decisions.received(created(), 4, now=2.0, since=0.0, limits=LIMITS)
    assert (first.status, first.offset, first.rate, first.expires, first.due) == (Status.UPLOADING, 4, 2.0, 62.0, 7.0)
    second = decisions.received(first, 8, now=3.0, since=2.0, limits=LIMITS)
    assert second.rate == pytest.approx(2.0 + 2.0 * (1 - exp(-1 / 3)))
    full = decisions.received(second, 10, now=3.0, since=3.0, limits=Limits(expire_after=None, quiet_after=5.0))
    assert (full.status, full.expires, full.due) == (Status.UPLOADING, None, 8.0)


@pytest.mark.parametrize(
    ("offset", "cut", "status"),
    [
        (4, False, Status.UPLOADING),
        (4, True, Status.PAUSED),
        (10, False, Status.VERIFYING),
        (10, True, Status.VERIFYING),
    ],
)
def test_a_body_ends(offset: int, cut: bool, status: Status) -> None:
    assert decisions.ended(created(), offset, now=1.0, since=0.0, limits=LIMITS, cut=cut).status is status


def test_a_promise_is_held() -> None:
    decisions.judge(at(Status.VERIFYING), SHA256)
    decisions.judge(at(Status.VERIFYING, promised=SHA256), SHA256)
    with pytest.raises(Failed):
        decisions.judge(at(Status.VERIFYING, promised=bytes(32)), SHA256)


def test_completed_stays_for_ever() -> None:
    done = decisions.completed(at(Status.VERIFYING), sha256=SHA256, place=Place("q"), now=1.0, limits=LIMITS)
    assert (done.status, done.place, done.expires, done.due) == (Status.COMPLETED, "q", None, None)
    decisions.check_open(done, 10**9)
    assert not decisions.is_expired(done, 10**9)


def test_what_failed_is_forgotten_later() -> None:
    gone = decisions.failed(at(Status.VERIFYING), LOST, now=1.0, limits=LIMITS)
    assert (gone.status, gone.failure, gone.due) == (Status.FAILED, LOST, 31.0)


@pytest.mark.parametrize("status", list(Status))
def test_termination_ends_all_that_is_not_gone(status: Status) -> None:
    if status in {Status.TERMINATED, Status.EXPIRED}:
        with pytest.raises(Gone):
            decisions.terminated(at(status), now=1.0, limits=LIMITS)
    else:
        assert decisions.terminated(at(status), now=1.0, limits=LIMITS).status is Status.TERMINATED


def test_time_runs_out_for_what_is_unfinished() -> None:
    assert decisions.is_expired(created(), 60.0)
    assert not decisions.is_expired(created(), 59.9)
    assert decisions.expired(created(), now=60.0, limits=LIMITS).status is Status.EXPIRED
    with pytest.raises(KeyError):
        decisions.expired(at(Status.FAILED), now=60.0, limits=LIMITS)
    assert not decisions.is_expired(at(Status.COMPLETED, expires=None), 60.0)


def test_what_the_machine_has_in_memory_only_is_lost_with_its_run() -> None:
    upload = decisions.volatile(at(Status.PAUSED), "first", now=0.0, limits=LIMITS)
    assert (upload.volatile, upload.due) == ("first", 5.0)
    assert decisions.volatile(upload, "first", now=9.0, limits=LIMITS) is upload
    assert not decisions.is_lost(upload, "first")
    assert decisions.is_lost(upload, "second")
    settled = decisions.durable(upload, now=0.0, limits=LIMITS)
    assert (settled.volatile, settled.due) == (None, 60.0)
    assert not decisions.is_lost(settled, "second")
    done = decisions.completed(
        replace(upload, status=Status.VERIFYING), sha256=SHA256, place=Place("q"), now=1.0, limits=LIMITS
    )
    assert done.volatile is None
    assert not decisions.is_lost(at(Status.FAILED, volatile="first"), "second")


ENDS = {
    "terminated": lambda upload: decisions.terminated(upload, now=1.0, limits=LIMITS),
    "expired": lambda upload: decisions.expired(upload, now=1.0, limits=LIMITS),
    "lost": lambda upload: decisions.failed(upload, LOST, now=1.0, limits=LIMITS),
    "failed": lambda upload: decisions.failed(upload, CHECKSUM_MISMATCH, now=1.0, limits=LIMITS),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_an_upload_that_has_ended_has_nothing_in_memory_only_and_is_looked_at_as_any_other(
    end: Callable[[Upload], Upload],
) -> None:
    volatile = decisions.volatile(at(Status.PAUSED, offset=4, hashing=b"state"), "first", now=0.0, limits=LIMITS)
    ended, plain = end(volatile), end(at(Status.PAUSED, offset=4))
    assert (ended.volatile, ended.hashing) == (None, None)
    assert ended == plain
    emptied_soon = ended.status in (Status.TERMINATED, Status.EXPIRED)
    assert ended.due == (6.0 if emptied_soon else 31.0)
    assert decisions.emptied(ended, limits=LIMITS).due == 31.0


def test_a_record_is_carried_over_a_step_of_the_clock_with_the_time_that_it_has_left() -> None:
    paused = replace(at(Status.PAUSED, offset=4), expires=60.0, due=60.0)
    carried = lifecycle.carried(paused, 1000.0, now=1001.0, limits=LIMITS)
    assert (carried.expires, carried.due, carried.updated) == (1060.0, 1060.0, 1001.0)
    assert not decisions.is_expired(carried, 1059.0)
    back = lifecycle.carried(carried, -1000.0, now=2.0, limits=LIMITS)
    assert (back.expires, back.due, back.updated) == (60.0, 60.0, 2.0)
    for_ever = lifecycle.carried(replace(paused, expires=None, due=None), 1000.0, now=1001.0, limits=LIMITS)
    assert (for_ever.expires, for_ever.due) == (None, None)
    ended = lifecycle.carried(at(Status.TERMINATED, updated=1.0, due=31.0), 1000.0, now=1002.0, limits=LIMITS)
    assert (ended.due, decisions.is_forgotten(ended, 1031.9, LIMITS)) == (1007.0, False)
    assert decisions.emptied(ended, limits=LIMITS).due == 1032.0


def test_a_held_upload_rests_until_its_time_and_expires_if_that_takes_too_long() -> None:
    whole = at(Status.VERIFYING, offset=10, expires=60.0)
    assert not decisions.is_expired(whole, 10**9), "only a crash can keep it from its end"
    first = decisions.held(whole, until=30.0, sha256=SHA256, now=20.0, limits=LIMITS)
    assert (first.status, first.sha256, first.held_until, first.due) == (Status.VERIFYING, SHA256, 30.0, 30.0)
    assert first.expires == 80.0, "it has been unfinished until now"
    again = decisions.held(first, until=100.0, sha256=SHA256, now=30.0, limits=LIMITS)
    assert (again.expires, again.due) == (80.0, 80.0)
    assert [decisions.is_expired(again, now) for now in (79.9, 80.0)] == [False, True]
    for_ever = decisions.held(whole, until=30.0, sha256=None, now=20.0, limits=Limits(expire_after=None))
    assert (for_ever.expires, for_ever.due) == (None, 30.0)
    assert lifecycle.carried(again, 1000.0, now=1030.0, limits=LIMITS).held_until == 1100.0
    done = decisions.completed(
        again, sha256=SHA256, place=Place("q"), now=40.0, limits=LIMITS, content_type="text/plain"
    )
    assert (done.held_until, done.expires, done.content_type) == (None, None, "text/plain")
    ended = decisions.expired(again, now=80.0, limits=LIMITS)
    assert (ended.status, ended.held_until) == (Status.EXPIRED, None)


def test_each_status_says_when_the_sweep_looks() -> None:
    assert set(lifecycle.LOOKS) == set(Status)
    for status in Status:
        due = lifecycle.LOOKS[status](at(status), 1.0, LIMITS)
        assert due is not None
        assert due > 1.0


def test_the_bytes_of_a_failed_upload_go_before_its_record() -> None:
    limits = Limits(forget_after=1000.0, release_after=30.0)
    failed = decisions.failed(at(Status.VERIFYING), CHECKSUM_MISMATCH, now=1.0, limits=limits)
    assert failed.due == 31.0
    assert not decisions.is_forgotten(failed, 31.0, limits)
    assert decisions.emptied(failed, limits=limits).due == 1001.0
    assert decisions.is_forgotten(failed, 1001.0, limits)
    assert decisions.failed(at(Status.VERIFYING), LOST, now=1.0, limits=limits).due == 1001.0
    assert not decisions.is_forgotten(at(Status.COMPLETED), 10**9, limits)


def test_a_clock_that_is_set_back_leaves_the_rate() -> None:
    upload = decisions.received(created(), 5, now=1.0, since=0.0, limits=LIMITS)
    assert upload.rate == 5.0
    assert decisions.received(upload, 6, now=0.0, since=1.0, limits=LIMITS).rate == 5.0
    later = replace(upload, status=Status.PAUSED, updated=9.0)
    assert decisions.received(later, 6, now=3.0, since=2.0, limits=LIMITS).rate == pytest.approx(
        5 - 4 * (1 - exp(-1 / 3))
    )


def test_the_rate_of_a_chunked_upload_counts_its_gaps() -> None:
    upload, now = created(length=100), 0.0
    for number in range(1, 40):  # a second of silence, then 1,000 bytes in a hundredth of one
        now += 1.0
        upload = decisions.received(upload, number * 1000, now=now, since=now - 0.01, limits=LIMITS)
    assert upload.rate == pytest.approx(1000, rel=0.01)


def test_the_rate_is_steady_where_bytes_come_in_bursts() -> None:
    upload, rates = created(length=100), []
    for number in range(1, 100):
        upload = decisions.received(upload, 1000 * (number // 2), now=number / 4, since=(number - 1) / 4, limits=LIMITS)
        rates.append(upload.rate)
    assert all(0.9 * 2000 < rate < 1.1 * 2000 for rate in rates[60:])


def test_the_rate_goes_on_after_a_short_pause_and_begins_anew_after_a_long_one() -> None:
    upload = decisions.paused(
        decisions.received(created(), 4, now=2.0, since=0.0, limits=LIMITS), now=2.0, limits=LIMITS
    )
    assert decisions.received(upload, 5, now=3.0, since=2.5, limits=LIMITS).rate == pytest.approx(2.0)
    assert decisions.received(upload, 10, now=4.0, since=3.0, limits=LIMITS).rate == pytest.approx(
        2.0 + 4.0 * (1 - exp(-2 / 3))
    )
    assert decisions.received(upload, 10, now=100.0, since=99.0, limits=LIMITS).rate == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"), (1000, "1000 bytes"), (12_345, "12,345 bytes"), (10**6, "1 MB"), (5 * 2**30, "5 GiB"),
        (2 * 10**12, "2 TB"), (10**6 + 1, "1,000,001 bytes"), (1500 * 10**6, "1,500 MB"),
    ],
)  # fmt: skip
def test_a_largest_size_is_written_for_people(size: int, said: str) -> None:
    with pytest.raises(TooLarge, match=f"^An upload may have {re.escape(said)} at most"):
        decisions.check_size(size + 1, replace(LIMITS, max_size=size))


def at_end(upload: Upload, offset: int, *, cut: bool = False, completes: bool = True) -> Upload:
    return decisions.ended(upload, offset, now=1.0, since=0.0, limits=LIMITS, cut=cut, completes=completes)


def test_a_body_that_completes_gives_the_upload_its_length() -> None:
    deferred = created(length=None)
    upload, licence = decisions.append(deferred, append_request(completes=True, body_size=None), now=1.0, limits=LIMITS)
    assert (upload.length, licence.completes, licence.declared) == (None, True, False)
    upload, licence = decisions.append(deferred, append_request(completes=True, body_size=7), now=1.0, limits=LIMITS)
    assert (upload.length, licence.end, licence.declared) == (7, 7, True)
    assert not licence.completes, "all of its bytes are all of the body, however it ends"
    for offset in (0, 7):
        full = at_end(deferred, offset)
        assert (full.status, full.length, full.offset) == (Status.VERIFYING, offset, offset)
    assert (at_end(created(), 10).status, at_end(created(), 10).length) == (Status.VERIFYING, 10)


def test_a_body_that_is_cut_or_completes_nothing_leaves_the_length_open() -> None:
    deferred = created(length=None)
    assert (at_end(deferred, 7, cut=True).status, at_end(deferred, 7, cut=True).length) == (Status.PAUSED, None)
    going_on = at_end(deferred, 7, completes=False)
    assert (going_on.status, going_on.length) == (Status.UPLOADING, None)


def test_a_stated_length_stays() -> None:
    short = at_end(created(), 7)
    assert (short.status, short.length) == (Status.UPLOADING, 10)
    for body_size in (9, 10, None):
        asked = append_request(completes=True, body_size=body_size)
        if body_size == 9:
            with pytest.raises(BadRequest):
                decisions.append(created(), asked, now=1.0, limits=LIMITS)
        else:
            licence = decisions.append(created(), asked, now=1.0, limits=LIMITS)[1]
            assert (licence.end, licence.completes) == (10, body_size is None)


def test_an_upload_that_is_left_open_is_finished_by_another_request() -> None:
    left = decisions.ended(created(), 10, now=1.0, since=0.0, limits=LIMITS, cut=False, stays_open=True, hashing=b"h")
    assert (left.status, left.offset, left.hashing) == (Status.UPLOADING, 10, b"h")
    cut = at_end(created(), 10, cut=True)
    assert cut.status is Status.PAUSED, "a body of unknown size that was cut completes nothing"
    for upload in (left, cut):
        assert decisions.is_filled(upload)
        filled = decisions.filled(upload, now=2.0, limits=LIMITS)
        assert (filled.status, filled.offset, filled.hashing) == (Status.VERIFYING, 10, None)
        assert not decisions.is_filled(filled)
    assert not decisions.is_filled(created())
    assert decisions.is_filled(created(length=0))


def test_a_body_that_is_too_long_exceeds_the_length_or_the_limit() -> None:
    with pytest.raises(LengthExceeded):
        decisions.append(created(), append_request(body_size=11, excess_fails=True), now=1.0, limits=LIMITS)
    with pytest.raises(TooLarge) as raised:
        decisions.append(created(length=None), append_request(body_size=101), now=1.0, limits=LIMITS)
    assert (type(raised.value), raised.value.limit) == (TooLarge, 100)


def test_a_clock_that_was_set_back_changes_no_rate_and_carried_records_keep_the_time_they_have() -> None:
    sending = at(Status.UPLOADING, rate=3.0, updated=50.0)
    assert decisions.received(sending, 5, now=40.0, since=40.0, limits=LIMITS).rate == 3.0
    assert lifecycle.carried(sending, 100.0, now=150.0, limits=LIMITS).expires == 160.0
    assert lifecycle.carried(replace(sending, expires=None), 100.0, now=150.0, limits=LIMITS).expires is None


def test_a_record_names_the_run_of_a_machine_once() -> None:
    volatile = decisions.volatile(created(), "boot", now=1.0, limits=LIMITS)
    assert volatile.volatile == "boot"
    assert decisions.volatile(volatile, "boot", now=2.0, limits=LIMITS) is volatile
    assert decisions.durable(volatile, now=3.0, limits=LIMITS).volatile is None
