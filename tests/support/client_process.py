"""`onward upload` and `onward watch` as their users run them: processes with a state folder."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward_process import ROOT

WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """Give the one JSON object that it printed."""
        told: dict[str, Any] = json.loads(self.out)
        return told


@asynccontextmanager
async def started(
    state: Path, *words: str, environ: Mapping[str, str] | None = None, terminal: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a command, in a terminal if there is one; it is killed at the end if it still runs."""
    out = asyncio.subprocess.PIPE if terminal is None else terminal
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "onward", *words),
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(state), **(environ or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=out,
        stderr=out,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end_of(process: asyncio.subprocess.Process, stdin: bytes = b"", within: float = WITHIN) -> Ended:
    """Wait until a command has ended."""
    out, err = await asyncio.wait_for(process.communicate(stdin), within)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def run(
    state: Path, *words: str, stdin: bytes = b"", within: float = WITHIN, environ: Mapping[str, str] | None = None
) -> Ended:
    """Run a command to its end."""
    async with started(state, *words, environ=environ) as process:
        return await end_of(process, stdin, within)


def resume_files(state: Path) -> Sequence[Path]:
    """Give what is in the folder of resume files."""
    return sorted((state / "onward").iterdir())
