"""Programs that fetch files know a finished upload by its headers: wget, curl and aria2, each as it is installed."""

import os
import subprocess
from pathlib import Path

import pytest
from http_connection import Headers
from redis_process import require
from server_process import Server

DATA = os.urandom(3 * 2**20 + 77)
NAMED: Headers = {"Upload-Metadata": "filename ZmlsbS5ta3Y="}  # film.mkv
WITHIN = 30.0


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, with its messages in English and no settings of this machine."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=WITHIN, check=False)


@pytest.fixture
def url(server: Server) -> str:
    return server.tus.origin + server.tus.stored(DATA, NAMED)


def test_curl_shows_the_size_and_the_name(url: str, tmp_path: Path) -> None:
    told = run(tmp_path, require("curl"), "-sI", url).stdout
    assert told.startswith("HTTP/1.1 200 OK")
    assert f"Content-Length: {len(DATA)}" in told
    assert "film.mkv" in told


def test_wget_finds_the_file_and_its_name_by_head(url: str, tmp_path: Path) -> None:
    wget = require("wget")
    spider = run(tmp_path, wget, "--spider", url)
    assert spider.returncode == 0, spider.stderr
    assert f"Length: {len(DATA)}" in spider.stderr
    assert "Remote file exists" in spider.stderr
    named = run(tmp_path, wget, "--content-disposition", "--timestamping", url)  # asks with HEAD first
    assert named.returncode == 0, named.stderr
    assert (tmp_path / "film.mkv").read_bytes() == DATA


def test_aria2_fetches_in_pieces_what_head_has_announced(url: str, tmp_path: Path) -> None:
    aria2 = require("aria2c")
    only_looked = run(tmp_path, aria2, "--dry-run=true", "--no-conf=true", url)
    assert only_looked.returncode == 0, only_looked.stdout
    fetched = run(tmp_path, aria2, "--use-head=true", "--no-conf=true", "--split=3", "--min-split-size=1M", url)
    assert fetched.returncode == 0, fetched.stdout
    assert (tmp_path / "film.mkv").read_bytes() == DATA


def test_an_unfinished_upload_is_no_file_to_any_of_them(server: Server, tmp_path: Path) -> None:
    url = server.tus.origin + server.tus.begun(DATA, 1000)
    assert "412" in run(tmp_path, require("curl"), "-sI", url).stdout.splitlines()[0]
    spider = run(tmp_path, require("wget"), "--spider", url)
    assert spider.returncode != 0
    assert "412" in spider.stderr
