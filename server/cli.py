"""The words of the command `onward`: the server's are run here, the client's by the client."""

import argparse
import asyncio
import logging
import resource
import sys
import time
from collections.abc import Callable, Coroutine

from server import config
from server.app import open_engine, serve
from server.workers import Workers
from storage.base import StorageError


class _Lines(logging.Formatter):
    """Lines of the log; what the time of many has in common is written once a second."""

    _second, _text = 0, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._text},{int(record.msecs):03}"


async def _sweep(settings: config.Config) -> None:
    engine = await open_engine(settings)
    try:
        print(f"{await engine.sweep()} uploads tended, {await engine.upkeep.tidy()} strays removed")
    finally:
        await engine.close()


COMMANDS: dict[str, tuple[Callable[[config.Config], Coroutine[None, None, None]], str]] = {
    "serve": (serve, "run the server"),
    "sweep": (_sweep, "run the clean-up once that the server does periodically"),
}
CLIENT = {
    "upload": "upload files to a tus server, resuming interrupted uploads",
    "watch": "follow uploads until they end",
}


def main() -> None:
    """Run a command; exits with 2 when its words are off, 1 when it can't be done."""
    if sys.argv[1:2] and sys.argv[1] in CLIENT:
        from client import cli  # noqa: PLC0415 - a server doesn't pay for it

        sys.exit(cli.main(sys.argv[1:], CLIENT))
    parser = argparse.ArgumentParser(
        prog="onward", description="Resumable chunked uploads (tus 1.0.0), server and client."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in COMMANDS.items():
        config.add_options(commands.add_parser(name, help=text, description=text))
    for name, text in CLIENT.items():
        commands.add_parser(name, help=text)
    words = parser.parse_args()
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # not looked up for each line
    logging._srcfile = None
    lines = logging.StreamHandler()
    lines.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    try:
        settings = config.read(vars(words))
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an upload under way takes three descriptors
        if words.command == "serve" and settings.workers > 1:
            sys.exit(Workers(settings).run())
        asyncio.run(COMMANDS[words.command][0](settings))
    except (ValueError, OSError, StorageError) as error:
        sys.exit(f"onward: {error}")
