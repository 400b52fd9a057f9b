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

from onward_process import ROOT, START_WITHIN
from ports import free_port
from raw import Tus


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    tus: Tus
    data: Path
    process: subprocess.Popen[bytes]

    def bytes_of(self, path: str) -> list[Path]:
        """Give the files on disk that belong to the upload at a path."""
        id_ = path.rpartition("/")[2]
        return [file for folder in ("partial", "files") for file in (self.data / folder).glob(f"{id_}*")]

    def ids(self) -> set[str]:
        """Give the ids of all unfinished uploads that have bytes on disk."""
        return {file.name for file in (self.data / "partial").iterdir()}

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
def serving(data: Path, options: Sequence[str] = (), *, files: str = "/files") -> Iterator[Server]:
    """Run a server that keeps its state in SQLite; it is killed at the end."""
    port = free_port()
    words = ["serve", f"--port={port}", f"--data={data}", "--state=sqlite:", *options]
    with (
        data.with_suffix(".log").open("wb") as log,
        subprocess.Popen([sys.executable, "-m", "server", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=log) as run,
    ):
        try:
            assert run.stdout is not None
            assert select.select([run.stdout], [], [], START_WITHIN)[0], "the server does not start"
            assert run.stdout.readline().startswith(b"listening on "), data.with_suffix(".log").read_text()
            yield Server(Tus(port, files), data, run)
        finally:
            run.kill()
