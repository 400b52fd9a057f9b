"""The list of all uploads, page by page: what every state promises, and how long a page takes among many uploads."""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Collection
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from msgspec.structs import replace

from onward.protocol.model import Place, Status, Upload, UploadId
from onward.storage import open_storage
from onward.storage.base import Cursor, Page, State, Usage
from onward.storage.state.sqlite import SqliteState

UPLOAD = Upload(
    id=UploadId("0" * 32), place=Place("p"), status=Status.PENDING, length=10, offset=0, metadata=None, promised=None,
    created=1.5, updated=2.5, expires=100.0, due=100.0,
)  # fmt: skip
ALL = frozenset(Status)
MANY = 100_000
OWNERS = (None, "ann", "{bob}: c")


def upload(number: int, status: Status = Status.PENDING) -> Upload:
    """Make a record; three in a row are created at the same time."""
    return replace(UPLOAD, id=UploadId(f"{number:032x}"), created=number // 3 + 0.25, status=status)


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else f"{request.param}:"
    storage = await open_storage(state=url, blobs="memory:", data=tmp_path)
    yield storage.state
    await storage.close()


async def listed(
    state: State, limit: int = 7, statuses: Collection[Status] = ALL, owner: str | None = None
) -> list[UploadId]:
    """Give the ids on all pages, in their order."""
    found: list[UploadId] = []
    page = Page([], [], None)
    first = True
    while first or page.following:
        page = await state.page(after=page.following, limit=limit, statuses=statuses, owner=owner)
        assert len(page.uploads) + len(page.damaged) <= limit
        found += [each.id for each in page.uploads]
        first = False
    return found


async def change(state: State, id: UploadId, status: Status) -> None:
    async with state.hold(id, wait=1, on_rival=lambda: None) as lease:
        await state.save(replace(await state.load(id), epoch=lease.epoch, status=status))


@pytest.mark.parametrize("limit", [1, 7, 30, 31, 1000])
async def test_every_upload_is_on_one_page_the_newest_first(
    state: State, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onward.storage.state.redis.listing.SPARE", -1)  # so that buckets run out in each round
    numbers = list(range(30))
    random.shuffle(numbers)
    assert await listed(state, limit) == []
    for number in numbers:
        await state.insert(upload(number))
    assert await listed(state, limit) == [f"{number:032x}" for number in range(29, -1, -1)]


async def test_a_page_has_the_whole_records_as_they_are_now(state: State) -> None:
    await state.insert(upload(1))
    await change(state, upload(1).id, Status.UPLOADING)
    page = await state.page(after=None, limit=5, statuses=ALL)
    assert page == Page([await state.load(upload(1).id)], [], None)


async def test_the_statuses_choose_what_is_listed(state: State) -> None:
    for number in range(40):
        await state.insert(upload(number))
        await change(state, upload(number).id, Status.FAILED if number % 4 == 0 else Status.UPLOADING)
    await change(state, upload(39).id, Status.PAUSED)
    numbers = range(39, -1, -1)
    assert await listed(state, 3, {Status.FAILED}) == [f"{number:032x}" for number in numbers if number % 4 == 0]
    assert await listed(state, 3, {Status.PAUSED}) == [f"{39:032x}"]
    assert await listed(state, 3, {Status.PAUSED, Status.FAILED}) == [
        f"{number:032x}" for number in numbers if number % 4 == 0 or number == 39
    ]
    assert await listed(state, 3, {Status.EXPIRED}) == []
    assert await listed(state, 3, ()) == []


@pytest.mark.parametrize("limit", [1, 7, 30])
async def test_an_owner_has_a_list_of_its_own(state: State, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.storage.state.redis.listing.SPARE", -1)
    for module in ("redis.listing", "sqlite_list"):
        monkeypatch.setattr(f"onward.storage.state.{module}.LOOKED_AT", 10)
    numbers = list(range(60))
    random.shuffle(numbers)
    for number in numbers:
        status = Status.PAUSED if number % 4 == 0 else Status.COMPLETED
        await state.insert(replace(upload(number, status), owner=OWNERS[number % 3]))
    for start, owner in enumerate(OWNERS[1:], start=1):
        assert [int(id_, 16) for id_ in await listed(state, limit, owner=owner)] == list(range(57 + start, 0, -3))
        few = [number for number in range(57 + start, 0, -3) if number % 4 == 0]
        assert [int(id_, 16) for id_ in await listed(state, limit, {Status.PAUSED}, owner)] == few
    assert await listed(state, limit, owner="nobody") == []
    await state.forget(upload(58).id)
    assert [int(id_, 16) for id_ in await listed(state, limit, owner="ann")][:2] == [55, 52]
    assert len(await listed(state, limit)) == 59


async def test_pages_stay_in_order_while_uploads_come_and_go(state: State) -> None:
    for number in range(30):
        await state.insert(upload(number))
    first = await state.page(after=None, limit=10, statuses=ALL)
    assert first.following == Cursor(upload(20).created, upload(20).id)
    await state.insert(upload(31))  # newer than all: on no page that is still to come
    await state.forget(upload(20).id)  # the last one of the page that was read
    await state.forget(upload(15).id)
    await change(state, upload(18).id, Status.UPLOADING)
    second = await state.page(after=first.following, limit=10, statuses=ALL)
    assert [int(each.id, 16) for each in second.uploads] == [19, 18, 17, 16, 14, 13, 12, 11, 10, 9]


async def test_forgotten_uploads_leave_nothing_in_the_list(state: State) -> None:
    for number in range(10):
        await state.insert(upload(number))
        await state.forget(upload(number).id)
    assert await state.page(after=None, limit=5, statuses=ALL) == Page([], [], None)


@pytest.mark.parametrize(
    "lacking", [("created", "status", "owner", "charge", "token"), ("owner", "charge", "token")], ids=len
)
async def test_a_file_of_an_earlier_version_is_listed_after_its_first_start(
    tmp_path: Path, lacking: tuple[str, ...]
) -> None:
    path = tmp_path / "state.sqlite"
    state = SqliteState(path)
    for number in range(30):
        status = Status.FAILED if number % 3 == 0 else Status.PENDING
        await state.insert(replace(upload(number, status), owner=OWNERS[number % 3]))
    await state.close()
    with closing(sqlite3.connect(path)) as db:
        for index in ("listed", "owned", "token"):
            db.execute(f"DROP INDEX uploads_{index}")
        for column in lacking:
            db.execute(f"ALTER TABLE uploads DROP COLUMN {column}")
        db.execute("UPDATE uploads SET document = 'damaged' WHERE id = ?", (upload(9).id,))
        db.commit()
    for _ in range(2):
        state = SqliteState(path)
        assert [int(id_, 16) for id_ in await listed(state)] == [n for n in range(29, -1, -1) if n != 9]
        failed = await state.page(after=None, limit=50, statuses={Status.FAILED})
        assert (len(failed.uploads), failed.damaged) == (9, [upload(9).id])
        assert [int(id_, 16) for id_ in await listed(state, owner="ann")] == list(range(28, 0, -3))
        assert await state.quotas.usage("ann") == Usage(100, 10)
        await state.insert(upload(100))
        await change(state, upload(100).id, Status.PAUSED)
        assert await listed(state, statuses={Status.PAUSED}) == [upload(100).id]
        await state.forget(upload(100).id)
        await state.close()


async def test_a_damaged_record_is_named_and_the_others_are_listed(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    for number in range(9):
        await state.insert(upload(number))
    await state.close()
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as db:
        db.execute("UPDATE uploads SET document = 'damaged' WHERE id = ?", (upload(4).id,))
        db.commit()
    state = SqliteState(tmp_path / "state.sqlite")
    page = await state.page(after=None, limit=50, statuses=ALL)
    assert (len(page.uploads), page.damaged) == (8, [upload(4).id])
    await state.close()


@pytest.mark.slow
@pytest.mark.parametrize("state", ["sqlite", "redis"], indirect=True)  # memory is for tests, and sorts them each time
async def test_a_page_among_a_hundred_thousand_uploads_takes_less_than_50_ms(state: State) -> None:
    for start in range(0, MANY, 500):
        await asyncio.gather(*(
            state.insert(
                replace(upload(number, Status.PAUSED if number % 1000 == 0 else Status.COMPLETED), owner="ann"),
                durable=False,
            )
            for number in range(start, start + 500)
        ))  # fmt: skip
    slowest = 0.0
    for owner, statuses in product((None, "ann"), (ALL, {Status.PAUSED}, {Status.EXPIRED})):
        for after in (None, Cursor(upload(MANY // 2).created, upload(MANY // 2).id)):
            took = []
            for _ in range(5):
                began = time.perf_counter()
                await state.page(after=after, limit=50, statuses=statuses, owner=owner)
                took.append(time.perf_counter() - began)
            slowest = max(slowest, min(took))
    assert slowest < 0.05
    print(f"slowest page: {slowest * 1e3:.1f} ms")
