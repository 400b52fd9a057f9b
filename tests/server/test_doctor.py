"""`onward doctor`: each thing that may be wrong is made wrong for real, and is named; a good set-up has no problem."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from nginx_process import nginx
from onward_process import ROOT
from redis_process import redis_server
from s3_process import KEYS, S3Process
from server_process import Start

pytestmark = pytest.mark.slow


def doctor(*words: str, env: dict[str, str] | None = None) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """Run the doctor; gives its exit status, and by subject the levels and sentences of what it finds."""
    command = [sys.executable, "-m", "onward", "doctor", "--json", *words]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    found: dict[str, list[tuple[str, str]]] = {}
    for each in json.loads(ended.stdout or "[]"):
        found.setdefault(each["about"], []).append((each["level"], each["sentence"]))
    assert found, ended.stderr
    return ended.returncode, found


def wrong(found: dict[str, list[tuple[str, str]]], about: str) -> str:
    """Give the sentences about a subject that are not well, with their levels."""
    return " ".join(f"{level}: {sentence}" for level, sentence in found.get(about, ()) if level != "ok")


def test_a_good_set_up_has_no_problem_beside_a_running_server(start: Start, tmp_path: Path) -> None:
    server = start("--trusted-proxies=127.0.0.1")
    with nginx(tmp_path / "nginx", server.tus.port) as proxy:
        trusting = {"SSL_CERT_FILE": str(proxy.certificate)}
        code, found = doctor(f"--data={server.data}", f"--url={proxy.origin}/files", env=trusting)
    assert (code, wrong(found, "proxy"), wrong(found, "SQLite"), wrong(found, "clock")) == (0, "", "", ""), found
    assert ("ok", "A server is using it.") in found["data folder"]
    assert not any((server.data / "files").iterdir())


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("proxy_request_buffering on;", "It collects bodies before"),
        ("client_max_body_size 100m;", "It refuses large bodies"),
        ('proxy_set_header Upgrade "";', "WebSockets do not pass"),
        ("proxy_set_header X-Forwarded-Host other.example;", "Location names https://other.example"),
    ],
)
def test_what_a_proxy_does_wrong_is_named(start: Start, tmp_path: Path, config: str, sentence: str) -> None:
    server = start("--trusted-proxies=127.0.0.1")
    with nginx(tmp_path / "nginx", server.tus.port, setting=config) as proxy:
        trusting = {"SSL_CERT_FILE": str(proxy.certificate)}
        code, found = doctor(f"--data={server.data}", f"--url={proxy.origin}/files", env=trusting)
    assert sentence in wrong(found, "proxy"), found
    assert code == (0 if "WebSockets" in sentence else 1)


def test_a_server_that_does_not_trust_its_proxy_is_named(start: Start, tmp_path: Path) -> None:
    server = start()
    with nginx(tmp_path / "nginx", server.tus.port) as proxy:
        trusting = {"SSL_CERT_FILE": str(proxy.certificate)}
        code, found = doctor(f"--data={server.data}", f"--url={proxy.origin}/files", env=trusting)
    assert (code, "the proxy is not trusted" in wrong(found, "proxy")) == (0, True), found


def test_what_is_wrong_with_a_folder_and_its_state_is_named(start: Start, tmp_path: Path) -> None:
    server = start()
    server.process.kill()
    server.process.wait()
    (server.data / "letter").touch()
    server.data.chmod(0o755)
    (server.data / "files").rmdir()
    (server.data / "files").symlink_to("/proc")
    with closing(sqlite3.connect(server.data / "state.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with (server.data / "state.sqlite").open("r+b") as file:
        file.write(bytes(100))
    code, found = doctor(f"--data={server.data}", "--max-size=900T")
    said = wrong(found, "data folder")
    assert code == 1
    for sentence in ("does not know letter", "Other users", "No file can be stored", "--max-size does not fit"):
        assert sentence in said, said
    assert "state.sqlite is damaged" in wrong(found, "SQLite")
    code, found = doctor(f"--data={tmp_path / 'nowhere'}")
    assert (code, "There is no folder" in wrong(found, "data folder")) == (1, True)


def test_what_is_wrong_with_redis_is_named(tmp_path: Path) -> None:
    data = f"--data={tmp_path}"
    with redis_server(tmp_path, "--maxmemory-policy", "allkeys-lru", "--appendonly", "no") as redis:
        code, found = doctor(data, f"--state={redis.url}")
        said = wrong(found, "Redis")
        assert (code, "allkeys-lru" in said, "appendonly is off" in said) == (1, True, True), said
        redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert doctor(data, f"--state={redis.url}")[0] == 0
    code, found = doctor(data, f"--state={redis.url}")
    assert (code, "check the URL" in wrong(found, "Redis")) == (1, True)


async def test_what_is_wrong_with_a_bucket_is_named(versitygw: S3Process, tmp_path: Path) -> None:
    def ask(bucket: str, **env: Any) -> tuple[int, str]:
        words = versitygw.options(bucket)
        code, found = doctor(f"--data={tmp_path}", *words, env=KEYS | env)
        return code, wrong(found, "bucket") + wrong(found, "clock")

    bucket = versitygw.new_bucket()
    assert ask(bucket) == (0, "")
    assert versitygw.keys(bucket) == {}
    for code, said in (ask("missing-bucket"), ask(bucket, AWS_SECRET_ACCESS_KEY="wrong")):
        assert (code, "check the endpoint" in said) == (1, True), said
