"""The system calls of a server under strace, named by what they do to the data folder and to clients."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_connection import poll
from onward_process import ROOT

CALLS = (
    "openat,pwrite64,write,writev,sendto,fdatasync,fsync,rename,renameat,renameat2,ftruncate,fchmod,unlink,mkdir,"
    "link,linkat"
)
LINE = re.compile(r"(?P<thread>\d+) +(?:(?P<name>\w+)\(|<\.\.\. \w+ resumed>)(?P<words>.*)")
UNFINISHED = "<unfinished ...>"
# what a call does, by its name and words; {id} is that of the upload
MEANINGS = {
    "make data": r"openat\(.*/partial/{id}(-[0-9a-f]{8})?\".*O_CREAT",
    "open published": r"openat\(.*/files/{id}\".*(O_RDWR|O_WRONLY)",
    "write data": r"(pwrite64|write)\(\d+<[^>]*/partial/{id}(-[0-9a-f]{8})?>",
    "sync data": r"(fsync|fdatasync)\(\d+<[^>]*/partial/{id}(-[0-9a-f]{8})?>",
    "cut data": r"ftruncate\(\d+<[^>]*/partial/{id}>",
    "protect data": r"fchmod\(\d+<[^>]*/partial/{id}(-[0-9a-f]{8})?>",
    "write published": r"(pwrite64|write|ftruncate)\(\d+<[^>]*/files/",
    "publish short": r"link(at)?\(.*/partial/{id}(-[0-9a-f]{8})?\".*/files/{id}\"",
    "publish": r"rename\w*\(.*/partial/{id}\".*/files/{id}\"",
    "sync partial": r"(fsync|fdatasync)\(\d+<[^>]*/partial>",
    "sync files": r"(fsync|fdatasync)\(\d+<[^>]*/files>",
    "write copy": r"pwrite64\(\d+<[^>]*/records/{id}>",
    "sync copy": r"fdatasync\(\d+<[^>]*/records/{id}>",
    "save in Redis": r"sendto\(\d+<[^>]*>, \"\*\d+\\r\\n\$7\\r\\nEVALSHA.*, \d{4,}, ",
    "write state": r"pwrite64\(\d+<[^>]*/state\.sqlite",
    "sync state": r"(fsync|fdatasync)\(\d+<[^>]*/state\.sqlite",
    "tell": r"sendto\(\d+<[^>]*>, \"\\201~",
    "answer": r"sendto\(\d+<[^>]*>, \"HTTP/1\.1 2",
}


@dataclass(slots=True)
class Call:
    """A system call; `began` and `ended` are lines of the trace."""

    text: str
    began: int
    ended: int = sys.maxsize
    meaning: str = ""


def read_trace(trace: Path, id_: str) -> list[Call]:
    """Give the calls that mean something, in the order in which they began."""
    calls: list[Call] = []
    open_: dict[str, Call] = {}
    for number, line in enumerate(trace.read_text("utf-8", "replace").splitlines()):
        if not (found := LINE.match(line)):
            continue
        if found["name"]:
            calls.append(Call(f"{found['name']}({found['words']}", number))
            open_[found["thread"]] = calls[-1]
        if not line.endswith(UNFINISHED):
            open_.pop(found["thread"]).ended = number
    for call in calls:
        meanings = (name for name, pattern in MEANINGS.items() if re.match(pattern.replace("{id}", id_), call.text))
        call.meaning = next(meanings, "")
    return [call for call in calls if call.meaning]


def told_apart(calls: Iterable[Call]) -> list[list[str]]:
    """Give what was done up to each answer, repetitions once; nothing may begin before the step before it has ended."""
    sections: list[list[str]] = [[]]
    before: Call | None = None
    for call in calls:
        if before is None or before.meaning != call.meaning:
            sections[-1].append(call.meaning)
            assert before is None or before.ended < call.began, f"{before} had not ended when {call} began"
        before = call
        if call.meaning == "answer":
            sections.append([])
    return sections


def _has_ended(trace: Path, pid: int) -> bool:
    return re.search(rf"^{pid} +\+\+\+ ", trace.read_text("utf-8", "replace"), re.MULTILINE) is not None


@asynccontextmanager
async def traced(data: Path, trace: Path, *options: str) -> AsyncIterator[int]:
    """Run a server under strace, and give its port; the trace is whole afterwards. Skips loudly without strace."""
    if shutil.which("strace") is None:
        pytest.skip("SKIPPED LOUDLY: strace is not installed, so the order of system calls can't be seen")
    words = ["serve", "--port=0", f"--data={data}", "--sweep-every=600", *options]
    tracing = ["strace", "-D", "-f", "-y", "-s", "64", "-o", str(trace), "-e", f"trace={CALLS}"]
    server = await asyncio.create_subprocess_exec(
        *tracing, sys.executable, "-m", "onward", *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        line = await asyncio.wait_for(server.stdout.readline(), 30)
        if not line:
            pytest.skip("SKIPPED LOUDLY: strace may not trace here")
        yield int(line.decode().rpartition(":")[2].partition("/")[0])
    finally:
        if server.returncode is None:
            server.terminate()
        await asyncio.wait_for(server.wait(), 20)
    await asyncio.to_thread(poll, lambda: _has_ended(trace, server.pid))
