"""The server as a process, for tests without an event loop."""

import select
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from http_connection import Tus
from kept_bytes import KeptBytes
from onward_process import PROGRAM, ROOT, START_WITHIN
from over_s3 import words_for
from ports import free_port


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    tus: Tus
    data: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Give the URL of its uploads."""
        return f"http://127.0.0.1:{self.tus.port}/files"

    def published(self, url: str) -> bytes:
        """Give what a completed upload is published as."""
        return self.kept.read(url)

    @property
    def kept(self) -> KeptBytes:
        """Give what looks at its bytes, wherever they are."""
        return KeptBytes(self.data)

    def bytes_of(self, path: str) -> list[Path]:
        """Give the files on disk that belong to the upload at a path."""
        id_ = path.rpartition("/")[2]
        return [file for folder in ("partial", "files") for file in (self.data / folder).glob(f"{id_}*")]

    def ids(self) -> set[str]:
        """Give the ids of all unfinished uploads that have bytes."""
        return self.kept.unfinished()

    def count_records(self) -> int:
        """End the server and count the uploads that it has recorded."""
        self.process.kill()
        self.process.wait()
        path = self.data / "state.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            count: int = connection.execute("SELECT count(*) FROM uploads").fetchone()[0]
            return count


class Start(Protocol):
    """Start a server with options."""

    def __call__(self, *options: str, files: str = "/files") -> Server: ...


@contextmanager
def serving(
    data: Path,
    options: Sequence[str] = (),
    *,
    files: str = "/files",
    program: Sequence[str] = PROGRAM,
    log: Path | None = None,
) -> Iterator[Server]:
    """Run a server that keeps its state in SQLite, unless told otherwise; it is killed at the end."""
    log = log or data.with_suffix(".log")
    port = free_port()
    words = ["serve", f"--port={port}", f"--data={data}", "--state=sqlite:", *words_for(data), *options]
    with (
        log.open("ab") as lines,
        subprocess.Popen([sys.executable, *program, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=lines) as run,
    ):
        try:
            assert run.stdout is not None
            assert select.select([run.stdout], [], [], START_WITHIN)[0], "the server does not start"
            assert run.stdout.readline().startswith(b"listening on "), log.read_text()
            yield Server(Tus(port, files), data, run)
        finally:
            run.kill()
