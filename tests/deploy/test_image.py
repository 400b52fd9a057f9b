"""The Dockerfile: linted, its build stage run here, and what it starts is run confined as a container would be.

There is no Docker here, so the base image and the programs that it brings are not part of these tests.
"""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from deploy_tools import DEPLOY, IMAGE_USER, confined, download, open_up, run, tool, upload
from http_connection import poll
from image_file import DOCKERFILE, image_environment, last, steps
from onward_process import ROOT
from ports import free_port

pytestmark = pytest.mark.slow
INSTALLED = "/opt/onward"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the build stage: the files that it copies, and its commands; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("image")
    source, target = folder / "source", folder / "onward"
    stages = [number for number, (word, _) in enumerate(steps()) if word == "FROM"]
    libraries = sysconfig.get_path("purelib")
    env = {
        **os.environ,
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONPATH": libraries,
    }
    source.mkdir()
    for word, rest in steps()[stages[0] : stages[1]]:
        if word == "COPY":
            *names, place = rest.split()
            for name in names:
                _copy(ROOT / name, source / place / (name if place == "./" else ""))
        elif word == "RUN":
            run(["sh", "-ec", rest.replace(INSTALLED, str(target))], cwd=source, env=env)
    shutil.rmtree(source)  # the next stage does not have it
    packages = next(target.glob("lib/python3*/site-packages"))
    (packages / "libraries.pth").write_text(libraries + "\n")
    return target


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_the_dockerfile_is_clean_for_the_linter() -> None:
    assert run([tool("hadolint"), DOCKERFILE]) == ""


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    seen = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = {name for word, rest in steps() if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    assert seen == copied
    assert all((ROOT / name).exists() for name in seen)


def test_the_image_serves_as_its_user_on_a_read_only_root_and_is_healthy(installed: Path, tmp_path: Path) -> None:
    assert last("USER") == f"{IMAGE_USER}:{IMAGE_USER}"
    assert f"--owner={IMAGE_USER}" in last("RUN")
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    os.chown(data, IMAGE_USER, IMAGE_USER)
    env = {"PATH": os.environ["PATH"], **image_environment(), "ONWARD_PORT": str(port)}
    assert (env["ONWARD_HOST"], env["ONWARD_DATA"]) == ("::", last("VOLUME"))
    env["ONWARD_DATA"] = str(data)
    words = [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]
    words[0] = words[0].replace(INSTALLED, str(installed))
    health = last("HEALTHCHECK").partition(" CMD ")[2].replace(INSTALLED, str(installed))
    healthy = json.loads(health.replace(f"{last('EXPOSE')},", f"{port},"))
    open_up(installed)
    open_up(data)
    assert subprocess.run(healthy, capture_output=True, check=False, timeout=10).returncode == 1
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(confined(words, [data]), stderr=log, env=env) as server:
        try:
            poll(lambda: server.poll() is not None or "serves" in (tmp_path / "log").read_text(), within=30)
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert effective_capabilities(server.pid) == 0
            run(healthy)
            content = os.urandom(300_000)
            path = upload(port, content, 2)
            assert download(port, path) == content
            assert (data / "files" / Path(path).name).stat().st_uid == IMAGE_USER
            server.terminate()
            assert server.wait(20) == 0
        finally:
            server.kill()


def effective_capabilities(pid: int) -> int:
    """Give the bits of the capabilities that a process may use."""
    found = re.search(r"CapEff:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1], 16)
