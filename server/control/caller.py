"""The command's side of the operator's commands: it asks the running server, or else opens the storage itself.

`server/cli.py` calls it, and passes the function that opens an engine.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from socket import socket

import msgspec

from onward.server.config import Config, ConfigError
from onward.server.control.channel import LONGEST, NAME, Request, connect, encode
from onward.server.control.commands import COMMANDS, Answer
from onward.server.uploads.engine import Engine
from onward.storage.base import Unreachable

LOCK = "lock"  # the file that each server makes in its data folder, and locks
Open = Callable[[Config], Awaitable[Engine]]


async def ask(config: Config, open_engine: Open, name: str, arguments: msgspec.Struct) -> AsyncIterator[Answer]:
    """Yield what a command answers.

    Raises ConfigError if there is no such data folder, StorageError, and OSError if the server can't be asked or dies.
    """
    folder = Path(config.data)
    server = None if config.is_shared else _connect(folder)
    if server is not None:
        async for line in _asked(server, Request(name, msgspec.to_builtins(arguments))):
            yield msgspec.json.decode(line)
        return
    _check_used(config, folder)
    engine = await _opened(config, open_engine, folder)
    try:
        answers = COMMANDS[name].run(engine, arguments)
        if config.is_shared:
            async for answer in answers:
                yield answer
            return
        lines = [encode(answer) async for answer in answers]
    finally:
        await engine.close()
    for line in lines:  # only after the storage is closed: a slow reader must not keep a server from starting
        yield msgspec.json.decode(line)


def _connect(folder: Path) -> socket | None:
    path = folder / NAME
    try:
        return connect(folder)
    except PermissionError:
        raise OSError(f"{path} belongs to another user: run this command as the user of the server") from None
    except OSError as error:
        raise OSError(f"the server can't be asked at {path}: {error.strerror or error}") from error


def _check_used(config: Config, folder: Path) -> None:
    """Refuse a folder that no server has used, where an empty state would be made; raises ConfigError."""
    if not folder.is_dir():
        raise ConfigError("data", f"there is no folder {config.data!r}")
    if config.state.startswith("memory:"):
        raise ConfigError(
            "state", f"with memory: only a running server knows its uploads, and none answers at {folder / NAME}"
        )
    if config.blobs.startswith("file:") and not (folder / LOCK).exists():
        raise ConfigError("data", f"no server has used {config.data!r} yet")


async def _opened(config: Config, open_engine: Open, folder: Path) -> Engine:
    try:
        return await open_engine(config)
    except Unreachable as fault:
        if config.is_shared:
            raise
        raise Unreachable(f"{fault}, and no server answers at {folder / NAME}") from fault


async def _asked(server: socket, request: Request) -> AsyncIterator[bytes]:
    """Ask a server, and yield the lines of its answer; raises OSError if it dies before the last one."""
    reader, writer = await asyncio.open_connection(sock=server, limit=LONGEST)
    try:
        writer.write(encode(request))
        line = await reader.readline()
        while line.endswith(b"\n"):
            if msgspec.json.decode(line) == {"end": True}:
                return
            yield line
            line = await reader.readline()
        raise OSError("the server has ended before it answered everything")
    finally:
        writer.close()
