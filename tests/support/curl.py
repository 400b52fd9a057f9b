"""curl as a client: one request over HTTP/1.1 or HTTP/2 and TLS, or one whose body hangs midway."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from http_connection import NONE, OCTETS, VERSION, Answer, Headers
from redis_process import require

Version = Literal["1.1", "2"]
WITHIN = 20  # seconds that a request may take


class Curl:
    """Requests of tus, each by a curl of its own; it fails where another version of HTTP was spoken."""

    def __init__(self, version: Version, certificate: Path) -> None:
        self.sent = 0  # bytes of the last request's body that went out
        self._version = version
        self._program = require("curl")
        self._words = [f"--http{version}", "--cacert", str(certificate)]
        able = subprocess.run([self._program, "--version"], check=True, capture_output=True).stdout
        if version == "2" and b"HTTP2" not in able:
            pytest.skip("SKIPPED LOUDLY: curl can't speak HTTP/2")

    def ask(self, method: str, url: str, headers: Headers = NONE, body: bytes | None = None, *options: str) -> Answer:
        """Send a request and give its answer."""
        data = ["--data-binary", "@-"] if body is not None else []
        how = ["--head"] if method == "HEAD" else ["--request", method]
        run = subprocess.run(
            [*self._command(url, headers), *how, *data, *options],
            check=False,
            input=body or b"",
            capture_output=True,
            timeout=WITHIN,
        )
        told = run.stderr.decode().split()
        assert run.returncode == 0, told
        assert told[-2] == self._version, told
        self.sent = int(told[-1])
        return _answer(run.stdout)

    def create(self, files: str, length: int, headers: Headers = NONE, *options: str) -> Answer:
        """Create an upload."""
        size: Headers = {"Upload-Length": str(length)}
        answer = self.ask("POST", files, size | headers, None, *options)
        assert answer.status == 201, answer
        return answer

    def patch(self, url: str, offset: int, body: bytes, *options: str) -> Answer:
        """Send PATCH."""
        return self.ask("PATCH", url, _patching(offset), body, *options)

    def offset(self, url: str) -> int:
        """Ask for the offset."""
        answer = self.ask("HEAD", url)
        assert answer.status == 200, answer
        return int(answer["Upload-Offset"])

    @contextmanager
    def hanging(self, url: str, begin: bytes) -> Iterator["Hanging"]:
        """Begin a PATCH of unknown size at 0, send its first bytes, and no more; it is killed at the end."""
        words = [*self._command(url, _patching(0)), "--request", "PATCH", "--no-buffer", "--upload-file", "."]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                assert process.stdin is not None
                process.stdin.write(begin)
                process.stdin.flush()
                yield Hanging(process)
            finally:
                process.kill()

    def _command(self, url: str, headers: Headers) -> list[str]:
        known: Headers = {"Tus-Resumable": VERSION}
        named = [word for name, value in (known | headers).items() for word in ("--header", f"{name}: {value}")]
        plain = ["--silent", "--show-error", "--include", "--write-out", "%{stderr}%{http_version} %{size_upload}"]
        return [self._program, *plain, *self._words, *named, url]


class Hanging:
    """A request whose body hangs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def cut(self) -> None:
        """Kill the client."""
        self._process.kill()
        self._process.wait()

    def answer(self) -> Answer:
        """Give the answer that came nevertheless."""
        self._process.wait(WITHIN)
        assert self._process.stdout is not None
        return _answer(self._process.stdout.read())


def _patching(offset: int) -> Headers:
    return {"Content-Type": OCTETS, "Upload-Offset": str(offset)}


def _answer(text: bytes) -> Answer:
    """Read the last answer; interim ones come before it."""
    status = 100
    while status < 200:
        head, _, text = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        pairs = [line.partition(":") for line in lines]
    return Answer(status, {name.lower(): value.strip() for name, _, value in pairs}, text)
