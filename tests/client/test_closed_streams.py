"""Commands that are run from scripts: streams that are closed or full, no home, a state folder that can't be written."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_process import end_of, started
from non_tus_server import odd_server
from onward_process import ROOT
from server_process import Server

from onward import Options, UploadError, upload
from onward.client.environment import state_folder

WITHIN = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"some bytes")
    return path


def shell(tmp_path: Path, redirected: str, *words: str, stdin: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command by a shell that redirects its streams."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "onward", *words],
        cwd=ROOT, env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": ""},
        capture_output=True, text=True, timeout=WITHIN, check=False, stdin=stdin,
    )  # fmt: skip


def test_without_stderr_it_is_as_with_it(server: Server, file: Path, tmp_path: Path) -> None:
    ended = shell(tmp_path, "2>&-", "upload", str(file), str(tmp_path / "missing"), "--to", server.url, "--json")
    results = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 1
    assert [one.get("verified", False) for one in results] == [True, False]
    url = results[0]["url"]
    assert "completed" in shell(tmp_path, "2>&-", "watch", url).stdout
    assert shell(tmp_path, ">&- 2>&-", "watch", url).returncode == 0


def test_a_closed_stdin_is_reported(server: Server, tmp_path: Path) -> None:
    ended = shell(tmp_path, "<&-", "upload", "-", "--to", server.url)
    assert (ended.returncode, ended.stderr) == (1, "onward: stdin is closed\n")


def test_a_full_stdout_is_reported(server: Server, file: Path, tmp_path: Path) -> None:
    ended = shell(tmp_path, ">/dev/full", "upload", str(file), "--to", server.url)
    assert (ended.returncode, ended.stderr) == (1, "onward: can't write to stdout: no space left on device\n")


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe whose reader has left."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@pytest.mark.parametrize("redirected", [">&0", ">&0 2>&0"], ids=["stdout", "both"])
@pytest.mark.parametrize("missing", [False, True], ids=["all-arrive", "one-is-missing"])
def test_uploads_go_on_though_nobody_reads(
    server: Server, tmp_path: Path, unread: int, redirected: str, missing: bool
) -> None:
    files = [tmp_path / "a.bin", tmp_path / "b.bin"]
    for file in files:
        file.write_bytes(f"{file}, {redirected}".encode())
    words = [*["missing"] * missing, *map(str, files)]
    ended = shell(tmp_path, redirected, "upload", *words, "--to", server.url, "--json", stdin=unread)
    assert ended.returncode == missing
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == (missing and "2>" not in redirected)
    published = [path.read_bytes() for path in (server.data / "files").iterdir()]
    assert all(file.read_bytes() in published for file in files)


async def test_ctrl_c_is_heeded_though_nobody_reads(file: Path, tmp_path: Path, unread: int) -> None:
    words = ("upload", str(file), "--to")
    async with odd_server({}) as odd, started(tmp_path, *words, odd.url, terminal=unread) as process:
        while not odd.asked:
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), WITHIN) == 130


def test_watching_ends_silently_when_nobody_reads(server: Server, file: Path, tmp_path: Path, unread: int) -> None:
    url = shell(tmp_path, "", "upload", str(file), "--to", server.url).stdout.strip()
    for option in ("--json", "--retry-for=60"):
        ended = shell(tmp_path, ">&0", "watch", url, option, stdin=unread)
        assert (ended.returncode, ended.stderr) == (1, "")


async def test_a_state_folder_that_can_not_be_written_is_reported(server: Server, file: Path, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(UploadError, match="the resume file can't be written to"):
        await upload(file, server.url, options=Options(state=tmp_path / "state" / "onward"))


async def test_a_state_folder_that_goes_meanwhile_takes_no_success_away(
    server: Server, file: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    result = await upload(
        file,
        server.url,
        on_progress=lambda _: shutil.rmtree(state, ignore_errors=True),
        options=Options(state=state),
    )
    assert result.verified


def test_a_missing_home_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it does where nobody knows the user
    with pytest.raises(UploadError, match="XDG_STATE_HOME"):
        state_folder({})
    assert state_folder({"XDG_STATE_HOME": "/state"}) == Path("/state/onward")


async def test_what_ctrl_c_tells_is_safe_for_a_terminal(tmp_path: Path) -> None:
    odd_name = tmp_path / "red\x1b[31m.bin"
    odd_name.write_bytes(b"some bytes")
    async with odd_server({}) as odd, started(tmp_path, "upload", str(odd_name), "--to", odd.url) as process:
        while not odd.asked:
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        ended = await end_of(process)
    assert ended.code == 130
    assert "to resume, run the same command: onward upload" in ended.err
    assert "\x1b" not in ended.err
