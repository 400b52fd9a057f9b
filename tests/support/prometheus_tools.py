"""Prometheus and its promtool, where they can be had: `tests/run` unpacks Debian's package beside the environment."""

import json
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from http_connection import poll
from ports import free_port

UNPACKED = Path(sys.prefix) / "prometheus" / "usr" / "bin"


def tool(name: str) -> str:
    """Give the path of a program of Prometheus; skips the test if there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"SKIPPED LOUDLY: {name} is missing: tests/run gets it from Debian's package prometheus")
    return found


def promtool(*words: str, text: bytes | None = None) -> str:
    """Run promtool, and give what it says; fails if it finds a fault."""
    run = subprocess.run([tool("promtool"), *words], input=text, capture_output=True, check=False)
    said = (run.stdout + run.stderr).decode()
    assert run.returncode == 0, said
    return said


class Prometheus:
    """A Prometheus that runs, and what it answers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give the series that an expression has now."""
        words = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{words}") as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run a Prometheus that reads the metrics of a server, at HOST:PORT, every second."""
    program, port = tool("prometheus"), free_port()
    folder.mkdir()
    job = {"job_name": "onward", "static_configs": [{"targets": [target]}]}
    configuration = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder
        )
    try:
        running = Prometheus(port)
        poll(running.is_ready)
        yield running
    finally:
        process.kill()
        process.wait()
