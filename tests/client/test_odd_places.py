"""Where the commands are run from scripts: streams that are closed or full, no home, a state folder that takes nothing."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from client_process import end_of, started
from odd_server import odd_server
from onward_process import ROOT
from server_process import Server

from client import Options, UploadError, upload
from client.environment import state_folder

WITHIN = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"some bytes")
    return path


def shell(tmp_path: Path, redirected: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command by a shell that redirects its streams."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "server", *words],
        cwd=ROOT, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)}, capture_output=True, text=True,
        timeout=WITHIN, check=False,
    )  # fmt: skip


def test_without_stderr_it_is_as_with_it(server: Server, file: Path, tmp_path: Path) -> None:
    ended = shell(tmp_path, "2>&-", "upload", str(file), str(tmp_path / "missing"), "--to", server.url, "--json")
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 1
    assert [one.get("verified", False) for one in told] == [True, False]
    url = told[0]["url"]
    assert "completed" in shell(tmp_path, "2>&-", "watch", url).stdout
    assert shell(tmp_path, ">&- 2>&-", "watch", url).returncode == 0


def test_a_closed_stdin_is_told(server: Server, tmp_path: Path) -> None:
    ended = shell(tmp_path, "<&-", "upload", "-", "--to", server.url)
    assert (ended.returncode, ended.stderr) == (1, "onward: -: stdin is closed\n")


def test_a_full_stdout_is_told(server: Server, file: Path, tmp_path: Path) -> None:
    ended = shell(tmp_path, ">/dev/full", "upload", str(file), "--to", server.url)
    assert ended.returncode != 0
    assert "No space left" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_state_folder_that_takes_nothing_is_told(server: Server, file: Path, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(UploadError, match="can't keep where the upload is"):
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


def test_who_has_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "the same command goes on: onward upload" in ended.err
    assert "\x1b" not in ended.err
