"""The command `onward`: runs `serve` here, the operator's commands by `control`, `upload` and `watch` by `client/cli`.

It is called by `onward/__main__.py`. Exit status: 0 if all went well, 1 if a command failed, 2 for wrong arguments or a
wrong configuration.
"""

import asyncio
import logging
import resource
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from onward.server.access import grant_command as grant
from onward.server.config import Config, ConfigError
from onward.server.config_reader import add_options, foreign_variables, located, read
from onward.server.control import command_line as operator
from onward.server.lifespan import open_engine
from onward.server.log import set_up_log
from onward.server.metrics import software_version
from onward.server.option_kinds import hide_password, suggest
from onward.server.option_parser import Parser
from onward.server.serve import print_urls, serve
from onward.server.workers import Workers
from onward.storage.base import StorageError

FAILED, INVALID = 1, 2
log = logging.getLogger("onward")


COMMANDS = {
    "serve": "run the server",
    grant.NAME: grant.DESCRIPTION,
    **operator.DESCRIPTIONS,
}  # of the server, with their descriptions
CLIENT_COMMANDS = {
    "upload": "upload files to a server of tus or of the IETF draft, resuming interrupted uploads",
    "watch": "follow uploads until they end",
}
CLIENT_OPTIONS = (
    "chunk-size",
    "header",
    "parallel",
    "protocol",
    "retry-for",
    "stall-after",
    "to",
    "token",
)  # each is an environment variable as well


def main() -> None:
    """Run the command that the process was started with, and exit with its status."""
    words = sys.argv[1:]
    try:
        ignored = foreign_variables(CLIENT_OPTIONS)
    except ConfigError as wrong:
        sys.exit(_complain({}, wrong))
    parser = Parser(prog="onward", description="Resumable uploads (tus 1.0.0 and the IETF draft): server and client.")
    if words[:1] and words[0] in CLIENT_COMMANDS:
        from onward.client import cli  # noqa: PLC0415 - the server does not need it

        sys.exit(cli.main(words, CLIENT_COMMANDS, parser))
    parser.add_argument("-V", "--version", action="version", version=f"onward {software_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        words_of = " ID…" if name in ("show", "rm") else ""
        command = commands.add_parser(name, help=text, description=text, usage=f"onward {name} [options]{words_of}")
        if name == grant.NAME:
            grant.add_arguments(command)
            add_options(command, only=grant.SERVER_OPTIONS)
            continue
        if name != "serve":
            operator.add_arguments(command, name)
        add_options(command, sweep=name != "serve")
    for name, text in CLIENT_COMMANDS.items():
        commands.add_parser(name, help=text)
    if words[:1] and not words[0].startswith("-") and words[0] not in commands.choices:
        known = suggest(words[0], commands.choices) or f"; the commands are {', '.join(commands.choices)}"
        parser.error(f"unknown command {words[0]}{known}")
    options = parser.parse_args(words)
    sys.exit(_run(options.command, vars(options), ignored))


def _complain(sources: Mapping[str, str], error: Exception) -> int:
    """Print an error, and return the exit status for it; `sources` says where each option was read from."""
    if sys.stderr is not None:
        print(f"onward: {located(error, sources) if isinstance(error, ConfigError) else error}", file=sys.stderr)
    return INVALID if isinstance(error, ConfigError) else FAILED


def _run(command: str, options: Mapping[str, object], ignored: Collection[str]) -> int:
    """Run a command of the server; returns its exit status."""
    complain = partial(_complain, {})
    try:
        reading = read(options, ignored=ignored)
        config, complain = reading.config, partial(_complain, reading.sources)
        set_up_log(config.log_level, config.log_format)
        if command == grant.NAME:
            return grant.run(config, options)
        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))  # an upload takes three descriptors
        if command != "serve":
            return asyncio.run(operator.run(config, options, open_engine))
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


def _announce(config: Config, ignored: Collection[str], urls: Sequence[str]) -> None:
    """Log what is served and which environment variables are ignored, and print the URLs."""
    page = f", page {urls[0].removesuffix(config.prefix or '/')}/" if config.page and not config.unix_socket else ""
    ops = f", metrics http://{config.ops_listen}/metrics" if config.ops_listen else ""
    log.info(
        "onward %s serves: data folder %s, state %s, blobs %s, durability %s%s%s",
        software_version(), Path(config.data).resolve(), hide_password(config.state), hide_password(config.blobs),
        config.durability, page, ops,
    )  # fmt: skip
    if ignored:
        log.info("ignored environment variables that are not options: %s", ", ".join(ignored))
    print_urls(urls)
