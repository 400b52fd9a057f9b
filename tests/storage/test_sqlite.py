"""The embedded state: what is committed together, what survives, what is refused."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_outbox_contract import CREATED
from test_state_contract import ID, UPLOAD, ignore

from onward.protocol.model import Allowance, UploadId
from onward.storage.base import Claimed, Missing, Unreachable, Usage
from onward.storage.state.sqlite import RECENT, SqliteState, open_state


async def test_records_survive_the_process(tmp_path: Path) -> None:
    first = await open_state("sqlite:", tmp_path)
    await first.insert(UPLOAD)
    await first.close()
    second = await open_state("sqlite:", tmp_path)
    assert await second.load(ID) == UPLOAD
    await second.close()


async def test_many_are_committed_together(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    commits: list[str] = []
    state._transactions._connection.set_trace_callback(
        lambda words: commits.append(words) if words == "COMMIT" else None
    )
    await asyncio.gather(*(state.insert(replace(UPLOAD, id=UploadId(str(n)))) for n in range(200)))
    assert len(commits) < 50
    loads = await asyncio.gather(*(state.load(UploadId(str(n))) for n in range(210)), return_exceptions=True)
    assert [isinstance(each, Missing) for each in loads] == [False] * 200 + [True] * 10
    await state.close()


async def test_a_record_that_is_in_use_is_not_fetched_again(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    await state.insert(UPLOAD)
    await asyncio.gather(*(state.insert(replace(UPLOAD, id=UploadId(str(n)))) for n in range(RECENT - 1)))
    await state.load(ID)
    await state.insert(replace(UPLOAD, id=UploadId("one more")))
    fetched: list[str] = []
    state._transactions._connection.set_trace_callback(
        lambda words: fetched.append(words) if "SELECT" in words else None
    )
    await state.load(ID)
    assert not fetched
    await state.load(UploadId("0"))
    assert fetched, "the one that nobody used is the one that is not remembered"
    await state.close()


async def test_a_cancelled_call_harms_no_other(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    await state.insert(UPLOAD)
    await state.close()
    state = SqliteState(tmp_path / "state.sqlite")  # which remembers nothing yet
    calls = [asyncio.create_task(state.load(ID)) for _ in range(20)]
    await asyncio.sleep(0)
    calls[3].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count(UPLOAD) == 19
    await state.close()


async def test_a_closed_state_is_unreachable(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    await state.close()
    with pytest.raises(Unreachable):
        await state.load(ID)


async def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").mkdir()
    with pytest.raises(Unreachable):
        await open_state("sqlite:", tmp_path)


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(Unreachable):
        SqliteState(tmp_path / "state.sqlite")


async def test_a_damaged_record_is_refused_and_kept(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=0, on_rival=ignore):
        pass
    await state.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as connection:
        connection.execute("UPDATE uploads SET document = '{}'")
    connection.close()
    state = SqliteState(tmp_path / "state.sqlite")
    with pytest.raises(Unreachable, match="damaged"):
        await state.load(ID)
    await state.close()


async def test_a_call_while_it_closes_is_refused_and_not_left_waiting(tmp_path: Path) -> None:
    state, began, go_on = SqliteState(tmp_path / "state.sqlite"), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(10)

    busy = asyncio.ensure_future(state._do(slow))
    await began.wait()
    closing = asyncio.ensure_future(state.close())
    await asyncio.sleep(0)
    late = asyncio.ensure_future(state.load(ID))
    await asyncio.sleep(0)
    go_on.set()
    done, _ = await asyncio.wait({busy, closing, late}, timeout=5)
    assert done == {busy, closing, late}
    assert type(late.exception()) is Unreachable
    await state.close()


async def test_events_survive_the_process_and_its_claims_end_with_it(tmp_path: Path) -> None:
    state = await open_state("sqlite:", tmp_path)
    tried, other = replace(CREATED, target="tried"), replace(CREATED, target="claimed")
    await state.insert(UPLOAD, events=[tried, other])
    await state.outbox.claim("tried", 20.0, until=1000.0, most=1)
    await state.outbox.postpone(tried, 1000.0)
    await state.outbox.claim("claimed", 20.0, until=1000.0, most=1)
    await state.close()
    state = await open_state("sqlite:", tmp_path)
    assert await state.outbox.claim("claimed", 20.0, until=1000.0, most=1) == [Claimed(other, 0)]
    assert await state.outbox.claim("tried", 999.0, until=2000.0, most=1) == []
    assert await state.outbox.claim("tried", 1000.0, until=2000.0, most=1) == [Claimed(tried, 1)]
    await state.close()


async def test_a_file_from_before_the_outbox_gets_one(tmp_path: Path) -> None:
    state = await open_state("sqlite:", tmp_path)
    await state.insert(UPLOAD)
    await state.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as connection:
        connection.execute("DROP TABLE outbox")
    connection.close()
    state = await open_state("sqlite:", tmp_path)
    assert await state.load(ID) == UPLOAD
    await state.insert(replace(UPLOAD, id=UploadId("b")), events=[CREATED])
    assert await state.outbox.claim(CREATED.target, 20.0, until=30.0, most=1) == [Claimed(CREATED, 0)]
    await state.close()


async def test_an_event_is_in_the_transaction_of_its_record(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    steps: list[str] = []
    state._transactions._connection.set_trace_callback(lambda words: steps.append(words.split()[0]))
    await state.insert(UPLOAD, events=[CREATED])
    assert steps == ["PRAGMA", "BEGIN", "SELECT", "INSERT", "INSERT", "COMMIT"]
    steps.clear()
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        await state.save(replace(UPLOAD, epoch=lease.epoch))
    assert steps == ["BEGIN", "UPDATE", "COMMIT"], "without events the outbox is not asked"
    await state.close()


async def test_a_transaction_that_fails_counts_in_no_quota(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    first, second = (
        replace(UPLOAD, id=UploadId(f"{number:032x}"), owner="ann", allowance=Allowance(quota=100))
        for number in range(2)
    )
    await state.insert(first)
    broken = state._do(lambda db: db.execute("INSERT INTO nothing VALUES (1)"), durable=True)
    failed = await asyncio.gather(state.insert(second), broken, return_exceptions=True)
    assert [type(fault) for fault in failed] == [Unreachable, Unreachable]
    assert await state.quotas.usage("ann") == Usage(10, 1)
    await state.close()
