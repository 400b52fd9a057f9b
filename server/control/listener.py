"""The server's side of the operator's commands: it listens in the data folder, and runs what it is asked for.

`server/lifespan.py` opens it with the application. It has no part in the requests of clients.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from socket import socket

import msgspec

from onward.server.control.channel import END, LONGEST, NAME, WITHIN, Request, encode, listen, remove
from onward.server.control.commands import COMMANDS, Answer
from onward.server.uploads.engine import CLOSING, Engine
from onward.storage.base import StorageError

log = logging.getLogger("onward")


class Control:
    """Answers the operator's commands from now on; `listener` is the socket in `folder`."""

    def __init__(self, engine: Engine, folder: Path, listener: socket) -> None:
        self._engine, self._folder, self._listener = engine, folder, listener
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=LONGEST)

    async def close(self) -> None:
        """Cut the commands that run, for CLOSING seconds at most, and remove the socket."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING)
        remove(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection."""
        task = asyncio.ensure_future(self._answer(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task})
        if task.cancelled():
            writer.transport.abort()  # a caller that reads nothing would keep it open for as long as it likes
        else:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), WITHIN)
            if line:
                async for answer in self._answers(line):
                    writer.write(encode(answer))
                    await writer.drain()
                writer.write(END)
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):  # ValueError: a line that is too long
            return

    async def _answers(self, line: bytes) -> AsyncIterator[Answer]:
        """Yield what a command answers; whatever goes wrong is answered with a sentence as well."""
        try:
            request = msgspec.json.decode(line, type=Request)
            if request.command not in COMMANDS:
                yield {"problem": f"the running server does not know the command {request.command!r}"}
                return
            command = COMMANDS[request.command]
            log.info("the operator's command %s", request.command)
            async for answer in command.run(self._engine, msgspec.convert(request.arguments, command.arguments)):
                yield answer
        except msgspec.MsgspecError as error:
            yield {"problem": f"the running server does not understand the command: {error}"}
        except StorageError as fault:
            yield {"problem": str(fault)}
        except Exception:
            log.exception("an operator's command failed")
            yield {"problem": "the command failed; the log of the server says why"}


async def open_control(engine: Engine, folder: Path) -> Control | None:
    """Listen in a data folder; returns None if that can't be done, because the server can do without."""
    try:
        control = Control(engine, folder, listen(folder))
    except FileNotFoundError:  # there is no data folder: everything is in memory
        return None
    except OSError as error:
        log.warning(
            "%s can't be made (%s): the operator's commands have to wait until this server stops",
            folder / NAME, error.strerror or error,
        )  # fmt: skip
        return None
    await control.start()
    return control
