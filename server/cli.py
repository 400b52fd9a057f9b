"""The command `onward`: runs `serve` here, the operator's commands by `control`, `upload` and `watch` by `client/cli`.

It is called by `onward/__main__.py`. Exit status: 0 if all went well, 1 if a command failed, 2 for wrong arguments or a
wrong configuration.
"""

import argparse
import asyncio
import logging
import resource
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from onward.server.access import grant_command as grant
from onward.server.command_parsers import ABOUT, CLIENT_COMMANDS, COMMANDS, build_parser, epilog
from onward.server.config import Config, ConfigError
from onward.server.config_reader import foreign_variables, located, read
from onward.server.control import command_line as operator
from onward.server.doctor import command as doctor
from onward.server.lifespan import blobs_of, open_engine
from onward.server.log import set_up_log
from onward.server.metrics import software_version
from onward.server.option_kinds import hide_password, suggest
from onward.server.option_parser import Parser
from onward.server.serve import print_urls, serve
from onward.server.systemd import notify_ready
from onward.server.workers import Workers
from onward.storage.base import StorageError

FAILED, INVALID = 1, 2
log = logging.getLogger("onward")


CLIENT_OPTIONS = (
    "cacert",
    "chunk-size",
    "header",
    "jobs",
    "limit-rate",
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
    if words[:1] and words[0] in CLIENT_COMMANDS:
        from onward.client import cli  # noqa: PLC0415 - the server does not need it

        sys.exit(cli.main(words, CLIENT_COMMANDS, epilog, Parser(prog="onward", description=ABOUT)))
    parser, commands = build_parser(software_version())
    if words[:1] and not words[0].startswith("-") and words[0] not in commands:
        known = suggest(words[0], commands) or f"; the commands are {', '.join(commands)}"
        parser.error(f"unknown command {words[0]}{known}")
    options = parser.parse_args(words)
    if options.command in ("completion", "man"):
        sys.exit(_write(options))
    sys.exit(_run(options.command, vars(options), ignored))


def _write(options: argparse.Namespace) -> int:
    """Write what is made of the parsers of all commands; returns the exit status."""
    from onward.server.completion import completion  # noqa: PLC0415 - no other command needs it
    from onward.server.man_pages import man_pages  # noqa: PLC0415

    _, commands = build_parser(software_version(), with_client=True)
    about = COMMANDS | CLIENT_COMMANDS
    if options.command == "completion":
        print(completion(options.shell, commands, about), end="")
        return 0
    folder = Path(options.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in man_pages(software_version(), commands, about).items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        print(f"onward: {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    return 0


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
        if command == doctor.NAME:
            return asyncio.run(doctor.run(config, options, blobs_of(config)))
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
    """Log what is served and which environment variables are ignored, print the URLs, and tell systemd."""
    page = f", page {urls[0].removesuffix(config.prefix or '/')}/" if config.page and not config.unix_socket else ""
    ops = f", metrics at {config.ops_listen}" if config.ops_listen else ""
    log.info(
        "onward %s serves: data folder %s, state %s, blobs %s, durability %s%s%s",
        software_version(), Path(config.data).resolve(), hide_password(config.state), hide_password(config.blobs),
        config.durability, page, ops,
    )  # fmt: skip
    if ignored:
        log.info("ignored environment variables that are not options: %s", ", ".join(ignored))
    print_urls(urls)
    notify_ready()
