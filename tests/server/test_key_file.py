"""The server's own key: made once, whoever comes first, and kept from others."""

import os
import subprocess
import sys
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from onward_process import ROOT

from onward import Config, ConfigError, Grant, mint
from onward.server.access.key_file import path_of, read_or_make
from onward.server.access.opening import open_tokens


def test_a_key_is_made_once_for_its_user_only(tmp_path: Path) -> None:
    path = path_of(Config(data=str(tmp_path)))
    assert path == tmp_path / "auth.key"
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(read_or_make, [path] * 64))
    assert len(keys) == 1
    assert keys == {urlsafe_b64decode(path.read_text().removesuffix("\n"))}
    assert len(keys.pop()) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_nlink == 1
    assert os.listdir(tmp_path) == ["auth.key"]


def test_a_key_that_others_can_read_is_told_and_one_that_they_can_change_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = read_or_make(tmp_path / "auth.key")
    (tmp_path / "auth.key").chmod(0o640)
    assert read_or_make(tmp_path / "auth.key") == key
    assert "other users can read the key" in caplog.text
    for mode in (0o620, 0o602, 0o666):
        (tmp_path / "auth.key").chmod(mode)
        with pytest.raises(ConfigError, match="can be changed by other users"):
            read_or_make(tmp_path / "auth.key")


@pytest.mark.parametrize("text", ["", "\n", "c2hvcnQ=", "!" * 44, "A" * 43 + "B\nC", "A" * 5000, "\xff" * 44])
def test_what_is_no_key_is_said_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "auth.key").write_text(text, "latin-1")
    (tmp_path / "auth.key").chmod(0o600)
    with pytest.raises(ConfigError, match="has no key") as refused:
        read_or_make(tmp_path / "auth.key")
    assert not text.strip() or text not in str(refused.value)


def test_a_key_may_be_longer_and_without_padding(tmp_path: Path) -> None:
    (tmp_path / "auth.key").write_text("A" * 86)
    (tmp_path / "auth.key").chmod(0o600)
    assert read_or_make(tmp_path / "auth.key") == bytes(64)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "loop", "missing/auth.key", "/dev/null/x"):
        with pytest.raises(ConfigError, match="auth_key_file"):
            read_or_make(tmp_path / name)


def test_without_the_package_the_start_says_what_is_missing(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['jwt'] = None\n"
        "sys.argv = ['onward', *sys.argv[1:]]\n"
        "from onward.__main__ import main; main()"
    )
    for words in (["serve", "--auth=key", "--port=0"], ["grant", "--sub=alice"]):
        run = subprocess.run(
            [sys.executable, "-c", program, *words, f"--data={tmp_path}"],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 2
        assert "needs a package that is not installed: pip install 'onward[auth]'" in run.stderr or (
            "tokens need a package that is not installed: pip install 'onward[auth]'" in run.stderr
        )
        assert "Traceback" not in run.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "jwt", None)
        with pytest.raises(ImportError, match="onward"):
            mint(Grant(owner="alice"), bytes(32))


def test_nothing_is_opened_without_access_control(tmp_path: Path) -> None:
    assert open_tokens(Config(data=str(tmp_path))) is None
    assert os.listdir(tmp_path) == []
