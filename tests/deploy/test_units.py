"""The units of systemd: verified, rated, and every system call of a server is one that its unit allows."""

import os
import re
import signal
import sys
from functools import cache
from pathlib import Path

import pytest
from deploy_tools import DEPLOY, download, run, tool, upload
from server_process import serving

from onward.server.config_reader import read

pytestmark = pytest.mark.slow
UNITS = DEPLOY / "systemd"
SERVICE = UNITS / "onward.service"
EXPOSURE = 2.0  # of 10; most services have more than 9


def settings(name: str) -> list[str]:
    """Give the values of a setting of the service, in their order."""
    return re.findall(rf"^{name}=(.*)$", SERVICE.read_text(), re.MULTILINE)


def test_the_units_are_verified(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    for unit in ("onward.service", "onward.socket"):
        text = (
            (UNITS / unit).read_text().replace("/opt/onward/bin/onward", str(Path(sys.executable).with_name("onward")))
        )
        (tmp_path / unit).write_text(text)
    assert run([analyze, "verify", "--man=no", tmp_path / "onward.service", tmp_path / "onward.socket"]) == ""


def test_the_service_is_hardened() -> None:
    rated = run([tool("systemd-analyze"), "security", "--offline=true", "--no-pager", SERVICE])
    found = re.search(r"Overall exposure level for onward.service: ([\d.]+)", rated)
    assert found
    assert float(found[1]) <= EXPOSURE, rated


def test_the_configuration_and_the_times_of_the_service_are_right() -> None:
    config = read({"config": str(UNITS / "onward.toml")}, {}).config
    assert config.data == f"/var/lib/{settings('StateDirectory')[0]}"
    assert config.drain + 2 < int(settings("TimeoutStopSec")[0])
    assert settings("KillMode") == ["mixed"]
    assert settings("Type") == ["notify"]
    assert f"u {settings('User')[0]} " in (UNITS / "onward.conf").read_text()


@cache
def calls_of(group: str) -> frozenset[str]:
    """Give the system calls of a group of systemd, with those of the groups in it."""
    lines = run([tool("systemd-analyze"), "--no-pager", "syscall-filter", group]).splitlines()[1:]
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    inner = [calls_of(name) for name in names if name.startswith("@")]
    return frozenset(name for name in names if not name.startswith("@")).union(*inner)


def test_every_system_call_of_a_server_is_allowed(tmp_path: Path) -> None:
    strace = tool("strace")
    allowed: frozenset[str] = frozenset()
    for words in settings("SystemCallFilter"):
        named = [calls_of(each) if each.startswith("@") else frozenset({each}) for each in words.lstrip("~").split()]
        allowed = allowed.difference(*named) if words.startswith("~") else allowed.union(*named)
    trace = tmp_path / "trace"
    traced = f"[{strace!r}, '-D', '-f', '-qq', '-o', {str(trace)!r}, sys.executable, '-m', 'onward', *sys.argv[1:]]"
    program = ["-c", f"import os, sys; os.execv({strace!r}, {traced})"]
    content = os.urandom(3_000_000)
    with serving(tmp_path / "data", ["--duplicates=share"], program=program) as server:
        for _ in range(2):
            assert download(server.tus.port, upload(server.tus.port, content, 3)) == content
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"fdatasync", "listen", "prlimit64"} <= used
    assert used - allowed - {"fchown"} == set()  # SQLite calls it as root only, which the service is not
