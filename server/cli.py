"""The words of the command `onward`: the server's commands are run here, the client's by the client.

Exit status: 0 when all went well, 1 when a command can't be done, 2 when its words or its configuration are wrong.
"""

import asyncio
import logging
import resource
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from onward.server.config import Config, Wrong
from onward.server.config_reader import add_options, foreign_variables, located, read
from onward.server.lifespan import open_engine
from onward.server.option_kinds import hide_password, suggest
from onward.server.option_parser import Parser
from onward.server.serve import print_urls, serve
from onward.server.workers import Workers
from onward.storage.base import StorageError

WRONG = 2
log = logging.getLogger("onward")


class _Lines(logging.Formatter):
    """Lines of the log; what the time of many has in common is written once a second."""

    _second, _text = 0, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._text},{int(record.msecs):03}"


async def _sweep(config: Config) -> None:
    engine = await open_engine(config)
    try:
        print(f"{await engine.sweep()} uploads tended, {await engine.upkeep.tidy()} strays removed")
    finally:
        await engine.close()


COMMANDS = {
    "serve": "run the server",
    "sweep": "run the server's periodic clean-up once",
}
CLIENT = {
    "upload": "upload files to a tus server, resuming interrupted uploads",
    "watch": "follow uploads until they end",
}
CLIENT_OPTIONS = ("chunk-size", "header", "parallel", "retry-for", "stall-after", "to", "token")  # as variables too


def main() -> None:
    """Run a command; exits with 2 when its words are wrong, 1 when it can't be done."""
    words = sys.argv[1:]
    try:
        ignored = foreign_variables(CLIENT_OPTIONS)
    except Wrong as wrong:
        sys.exit(_complain({}, wrong))
    parser = Parser(prog="onward", description="Resumable chunked uploads (tus 1.0.0), server and client.")
    if words[:1] and words[0] in CLIENT:
        from onward.client import cli  # noqa: PLC0415 - a server doesn't pay for it

        sys.exit(cli.main(words, CLIENT, parser))
    parser.add_argument("-V", "--version", action="version", version=f"onward {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, usage=f"onward {name} [options]")
        add_options(command, sweep=name == "sweep")
    for name, text in CLIENT.items():
        commands.add_parser(name, help=text)
    if words[:1] and not words[0].startswith("-") and words[0] not in commands.choices:
        known = suggest(words[0], commands.choices) or f"; the commands are {', '.join(commands.choices)}"
        parser.error(f"unknown command {words[0]}{known}")
    options = parser.parse_args(words)
    sys.exit(_run(options.command, vars(options), ignored))


def _complain(sources: Mapping[str, str], error: Exception) -> int:
    """Print what can't be done, and give the exit status for it; `sources` tells where each value was read."""
    if sys.stderr is not None:
        print(f"onward: {located(error, sources) if isinstance(error, Wrong) else error}", file=sys.stderr)
    return WRONG if isinstance(error, Wrong) else 1


def _run(command: str, options: Mapping[str, object], ignored: Collection[str]) -> int:
    """Run a command of the server; gives the exit status."""
    complain = partial(_complain, {})
    try:
        reading = read(options, ignored=ignored)
        config, complain = reading.config, partial(_complain, reading.sources)
        _set_up_log(config.log_level)
        if command == "sweep" and not Path(config.data).is_dir():
            raise Wrong("data", f"there is no folder {config.data!r}")
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an upload under way takes three descriptors
        if command == "sweep":
            asyncio.run(_sweep(config))
            return 0
        announce = partial(_announce, config, ignored)
        if config.workers > 1:
            status = Workers(config, announce, complain).run()
        else:
            asyncio.run(serve(config, announce=announce))
            status = 0
    except (ValueError, OSError, StorageError) as error:
        return complain(error)
    if not status:
        log.info("stopped")
    return status


def _version() -> str:
    try:
        return version("onward")
    except PackageNotFoundError:  # run from a folder of its source, without an installation
        return "(not installed)"


def _set_up_log(level: str) -> None:
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # not looked up for each line
    logging._srcfile = None
    lines = logging.StreamHandler()
    lines.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[lines])


def _announce(config: Config, ignored: Collection[str], urls: Sequence[str]) -> None:
    """Log what serves, and which variables of the environment belong to somebody else; print the URLs."""
    log.info(
        "onward %s serves: data folder %s, state %s, durability %s",
        _version(), Path(config.data).resolve(), hide_password(config.state), config.durability,
    )  # fmt: skip
    if ignored:
        log.info("variables of the environment that are no options are ignored: %s", ", ".join(ignored))
    print_urls(urls)
