"""A real Redis in a folder of its own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from ports import free_port


def require(program: str) -> str:
    """Give the path of a program. Skip, loudly, where it is missing; fail where the environment says that all has to run."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if path is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"SKIPPED LOUDLY: {program} is not installed")
    return path


def redis_at(port: int) -> str:
    """Give the URL of a Redis at a port of this machine."""
    return f"redis://127.0.0.1:{port}/0"


class RedisProcess:
    """A redis-server that keeps its port and its data across restarts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = redis_at(self.port)
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]
        self._process = subprocess.Popen(
            ["redis-server", *words, *self._options], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        with redis.Redis(port=self.port) as client:
            for _ in range(200):
                with suppress(redis.ConnectionError):
                    client.ping()
                    return
                time.sleep(0.02)
        pytest.fail("redis-server does not answer")

    def stop(self) -> None:
        """Kill it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def lose(self) -> None:
        """Remove what it has kept, while it is stopped."""
        shutil.rmtree(self._folder / "appendonlydir")

    def command(self, *words: str | int) -> Any:
        """Give it a command."""
        with redis.Redis(port=self.port, socket_timeout=20) as client:
            return client.execute_command(*words)

    def pause(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def delete(self, key: str) -> None:
        """Remove a key."""
        with redis.Redis(port=self.port) as client:
            client.delete(key)

    def flush(self) -> None:
        """Empty it."""
        with redis.Redis(port=self.port) as client:
            client.flushall()


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisProcess]:
    """Run a Redis, with options of its own."""
    require("redis-server")
    server = RedisProcess(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
