"""The order of system calls, seen by strace: data, sync, state, sync, answer; a published name only at the very end."""

import asyncio
import re
from pathlib import Path

import pytest
from async_http_connection import Line, connected
from http_connection import OCTETS, path_of
from syscalls import Call, read_trace, told_apart, traced

DATA = b"0123456789abcde"
SEQ = re.compile(r'\\"seq\\": (\d+)')
STRIDE = ["write data", "sync data", "write state", "sync state"]
SECTIONS = {
    "create": ["write state", "sync state", "answer"],
    "append": ["make data", "sync partial", *STRIDE, "answer"],
    "append slowly": [*STRIDE, *STRIDE, "answer"],
    "append the last byte": [
        *STRIDE, "cut data", "protect data", "sync data", "publish", "sync files", "sync partial",
        "write state", "sync state", "answer",
    ],
}  # fmt: skip

SHORT = [
    "make data", "write data", "protect data", "sync data", "sync partial", "publish short", "sync files",
    "write state", "sync state", "answer",
]  # fmt: skip
SHORT_PATCH = [
    "make data", "write data", "protect data", "sync data", "publish", "sync files", "sync partial",
    "write state", "sync state", "answer",
]  # fmt: skip
BESIDE_OTHERS = [
    "make data", "write data", "protect data", "sync data", "sync partial", "publish short", "sync files",
    "write copy", "sync copy", "save in Redis", "answer",
]  # fmt: skip


async def append(line: Line, path: str, at: int, pause_at: int, stop: int) -> None:
    headers = {"Content-Type": OCTETS, "Upload-Offset": str(at)}
    answer = await line.ask("PATCH", path, headers, DATA[at:pause_at], rest=DATA[pause_at:stop])
    assert answer["Upload-Offset"] == str(stop)


@pytest.fixture
async def calls(tmp_path: Path) -> list[Call]:
    """What a server does for one watched upload in three bodies, the second of them with a pause."""
    trace = tmp_path / "trace"
    async with traced(tmp_path / "data", trace) as port, connected(port) as line, connected(port) as watching:
        created = await line.ask("POST", "/files", {"Upload-Length": str(len(DATA))})
        path = path_of(created["Location"])
        messages = watching.watch(path)
        told = [(await anext(messages))["uploadedBytes"]]
        for at, pause_at, stop in ((0, 5, 5), (5, 7, 10), (10, 15, 15)):
            await append(line, path, at, pause_at, stop)
            while told[-1] < stop:
                told.append((await anext(messages))["uploadedBytes"])
        async with asyncio.timeout(5):
            told += [message["uploadedBytes"] async for message in messages]
    assert set(told) == {0, 5, 7, 10, 15}
    return read_trace(trace, path.rpartition("/")[2])


async def test_data_are_synced_before_they_are_recorded_and_recorded_before_the_event(calls: list[Call]) -> None:
    sections = told_apart(call for call in calls if call.meaning != "tell")
    sections[0] = sections[0][-len(SECTIONS["create"]) :]  # before that the state itself is made
    assert dict(zip(SECTIONS, sections, strict=False)) == SECTIONS


async def test_a_watcher_gets_only_what_a_synced_record_holds(calls: list[Call]) -> None:
    tellings = [call for call in calls if call.meaning == "tell"]
    assert len(tellings) >= 3
    created = next(call for call in calls if call.meaning == "answer")
    synced = [call.ended for call in calls if call.meaning == "sync state" and call.began > created.began]
    for telling in tellings:
        found = SEQ.search(telling.text)
        assert found
        saves = int(found[1]) - 1  # after the creation, each synced by itself
        assert sum(ended < telling.began for ended in synced) >= saves, "told before it was synced"


async def test_a_short_upload_is_synced_then_named_then_recorded_then_answered(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with traced(tmp_path / "data", trace) as port, connected(port) as line:
        first = await line.ask("POST", "/files", {"Upload-Length": "1"})  # opens what a state opens once
        headers = {"Upload-Length": str(len(DATA)), "Content-Type": OCTETS}
        created = await line.ask("POST", "/files", headers, DATA)
        assert created["Upload-Offset"] == str(len(DATA))
    assert first.status == 201
    sections = told_apart(read_trace(trace, path_of(created["Location"]).rpartition("/")[2]))
    assert sections[1] == SHORT


async def test_a_short_patch_is_synced_then_named_then_recorded_once_then_answered(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with traced(tmp_path / "data", trace) as port, connected(port) as line:
        created = await line.ask("POST", "/files", {"Upload-Length": str(len(DATA))})
        path = path_of(created["Location"])
        headers = {"Content-Type": OCTETS, "Upload-Offset": "0"}
        answer = await line.ask("PATCH", path, headers, DATA)
        assert answer["Upload-Offset"] == str(len(DATA))
    assert told_apart(read_trace(trace, path.rpartition("/")[2]))[1] == SHORT_PATCH


async def test_a_short_patch_on_redis_marks_its_file_then_names_it_then_copies_and_saves_one_record(
    tmp_path: Path, redis_url: str
) -> None:
    trace = tmp_path / "trace"
    async with traced(tmp_path / "data", trace, f"--state={redis_url}") as port, connected(port) as line:
        created = await line.ask("POST", "/files", {"Upload-Length": str(len(DATA))})
        path = path_of(created["Location"])
        headers = {"Content-Type": OCTETS, "Upload-Offset": "0"}
        answer = await line.ask("PATCH", path, headers, DATA)
        assert answer["Upload-Offset"] == str(len(DATA))
    assert told_apart(read_trace(trace, path.rpartition("/")[2]))[1] == BESIDE_OTHERS
