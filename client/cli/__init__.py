"""The commands `onward upload` and `onward watch`.

They are run by `server/cli.py`. Exit status: 0 if all went well, 1 if something failed, 2 on invalid arguments, 143
after SIGTERM. KeyboardInterrupt is left to the caller, so that the shell sees a death by SIGINT (130).
"""

import argparse
import asyncio
import re
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from onward.client.cli.bars import say
from onward.client.cli.items import STDIN
from onward.client.cli.outputs import drop, replace_closed
from onward.client.cli.upload import run as upload
from onward.client.cli.watch import run as watch
from onward.client.environment import read_variable, variable_name
from onward.client.errors import Refused
from onward.client.label import read_label
from onward.client.link import read_target, read_watched
from onward.client.model import RETRY_FOR, STALL_AFTER, read_protocol, read_token
from onward.client.protocols import IETF, TUS
from onward.client.transport_errors import reason_of
from onward.client.trust import read_cacert
from onward.client.watch_upload import parse_progress_url
from onward.protocol.quantities import read_number, read_size, read_time, show_time

TERMINATED, INVALID_ARGUMENTS = 143, 2
AGAIN = "--again"
JOBS = 4  # files at once
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Files": (),
    "Server": ("to", "protocol", "header", "token", "cacert"),
    "Sending": ("parallel", "chunk-size", "jobs", "limit-rate"),
    "Time-outs": ("stall-after", "retry-for"),
    "Output": (),
}  # in --help, with the options of VALUES that are in them
HIDDEN = "TOKEN"  # stands for a token in sentences
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, 5.6.2
NEXT_HEADER = re.compile(r",\s*(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+:(?!//))", re.ASCII)  # a value may have commas, and URLs


T = TypeVar("T")


class Value(NamedTuple):
    """An option with a value, which an environment variable may give as well."""

    metavar: str
    read: Callable[[Any], object]  # raises ValueError
    about: str  # for --help
    default: Any = None
    show: Callable[[Any], str] = str  # how --help writes the default
    required: bool = False
    repeated: bool = False
    watch: bool = False  # whether `onward watch` has it too


def main(
    words: Sequence[str],
    descriptions: Mapping[str, str],
    epilog: Callable[[str], str],
    parser: argparse.ArgumentParser,
) -> int:
    """Run the command that `words` names, and return its exit status; raises KeyboardInterrupt.

    `descriptions` and `epilog` are the beginning and the end of `--help`.
    The commands are added to `parser`, and their parsers are of its class.
    """
    replace_closed()
    add_commands(parser.add_subparsers(dest="command", required=True), descriptions, epilog)
    options = parser.parse_args(words)
    try:
        _read_values(options)
    except ValueError as error:
        say(f"onward: {error}")
        return INVALID_ARGUMENTS
    run = upload if options.command == "upload" else watch
    try:
        return asyncio.run(_until_terminated(run(options)))
    except (KeyboardInterrupt, asyncio.CancelledError) as end:
        if options.command == "upload" and "-" not in options.files:
            say("")
            say(f"interrupted; to resume, run the same command: onward {_to_resume(words, options)}")
        if isinstance(end, KeyboardInterrupt):
            raise
        return TERMINATED
    except OSError as error:  # writing to stdout failed: every other OSError has become an UploadError
        drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            say(f"onward: can't write to stdout: {reason_of(error)}")
        return 1


def _to_resume(words: Sequence[str], options: argparse.Namespace) -> str:
    """Return the command without its tokens, and without --again, with which finished files would be sent again."""
    command = shlex.join(word for word in words if word != AGAIN)
    for token in (options.token, options.to.token):
        command = command.replace(token or HIDDEN, HIDDEN)
    return command


async def _until_terminated(work: Coroutine[None, None, int]) -> int:
    """Run something to its end, or until SIGTERM, which cancels it as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def add_commands(
    commands: "argparse._SubParsersAction[Any]", descriptions: Mapping[str, str], epilog: Callable[[str], str]
) -> None:
    """Add the parsers of the commands."""
    sending, watching = (
        commands.add_parser(
            name,
            help=descriptions[name],
            description=descriptions[name],
            usage=f"onward {name} [options] {words}",
            epilog=epilog(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, words in (("upload", "--to URL FILE…"), ("watch", "URL…"))
    )
    sending.add_argument("files", nargs="+", metavar="FILE", help="a file, or - for stdin")
    watching.add_argument("urls", nargs="+", metavar="URL", help="the URL of an upload, or of its progress")
    for command in (sending, watching):
        groups = {name: command.add_argument_group(name) for name in GROUPS}
        for name, value in VALUES.items():
            if command is sending or value.watch:
                _add_value(groups[_group_of(name)], name, value)
        groups["Server"].add_argument(
            "--insecure", action="store_true", help="accept every certificate, also one that nobody vouches for"
        )
        output = groups["Output"]
        output.add_argument("--json", action="store_true", help="print JSON, one object a line")
        if command is sending:
            output.add_argument("--quiet", action="store_true", help="print only errors and the URLs")
            _add_files(groups["Files"])


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-r", "--recursive", action="store_true", help="upload the files in folders, and below them")
    group.add_argument("--name", metavar="NAME", help="what the file, or stdin, is called on the server")
    group.add_argument(
        "--metadata", metavar="KEY=VALUE", action="append", default=[],
        help="say this about each upload, such as customer=42; may be repeated",
    )  # fmt: skip
    group.add_argument(AGAIN, action="store_true", help="also upload files that an interrupted command has finished")


def _group_of(name: str) -> str:
    return next(group for group, names in GROUPS.items() if name in names)


def _add_value(parser: argparse._ArgumentGroup, name: str, value: Value) -> None:
    default = f"; default: {value.show(value.default)}" if value.default is not None else ""
    parser.add_argument(
        f"--{name}",
        metavar=value.metavar,
        help=f"{value.about} [{variable_name(name)}{default}]",
        action="append" if value.repeated else "store",
        required=value.required and read_variable(name) is None,
    )


def _read_values(options: argparse.Namespace) -> None:
    """Read the value of each option from the command line, or else from the environment; raises ValueError."""
    for name, value in VALUES.items():
        field = name.replace("-", "_")
        if field not in options:
            continue
        place, given = f"--{name}", getattr(options, field)
        if given is None:
            place, given = variable_name(name), read_variable(name)
        try:
            setattr(options, field, value.default if given is None else value.read(given))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    options.metadata = _read_metadata(options.metadata) if options.command == "upload" else {}
    _check_arguments(options)


def _check_arguments(options: argparse.Namespace) -> None:
    """Check what is to be uploaded or watched; raises ValueError."""
    if options.command == "upload" and options.files.count(STDIN) > 1:
        raise ValueError(f"stdin ({STDIN}) can be uploaded only once")
    if options.command == "upload" and options.name is not None and (len(options.files) > 1 or options.recursive):
        raise ValueError("--name: it is the name of one file, and there may be several")
    if options.command == "upload":
        _check_label(options)
    if options.command == "upload" and options.protocol == IETF and options.parallel > 1:
        raise ValueError("--parallel: the IETF draft can't join uploads; leave out --protocol=ietf")
    if options.command == "watch":
        options.urls = [_checked(read_watched, url) for url in options.urls]
        for link in options.urls:
            _checked(parse_progress_url, link.url)


def _check_label(options: argparse.Namespace) -> None:
    """Check the name and the metadata; raises ValueError."""
    if options.recursive and options.protocol == IETF:
        raise ValueError("--recursive: the IETF draft can't say in which folder a file is; leave out --protocol=ietf")
    try:
        read_label(options.name, options.metadata, options.protocol)
    except ValueError as error:
        raise ValueError(f"--{error}") from None


def _read_metadata(pairs: list[str]) -> dict[str, str]:
    """Read KEY=VALUE words; raises ValueError."""
    metadata = dict[str, str]()
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--metadata: {pair!r} is not KEY=VALUE, such as customer=42")
        metadata[key] = value
    return metadata


def _checked(read: Callable[[str], T], text: str) -> T:
    """Read a URL; raises ValueError."""
    try:
        return read(text)
    except Refused as refused:
        raise ValueError(str(refused)) from None


def _read_headers(given: str | list[str]) -> list[tuple[str, str]]:
    """Read headers: a list from the command line, or the text of a variable, with commas between them."""
    return [_header(text) for text in (NEXT_HEADER.split(given) if isinstance(given, str) else given)]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not HEADER_NAME.fullmatch(name) or not value.isprintable():
        raise ValueError(f"{text!r} is not NAME:VALUE")
    return name, value.strip()


VALUES = {
    "to": Value(
        "URL",
        partial(_checked, read_target),
        "where the server takes uploads, such as http://host/files, or a link with a token",
        required=True,
    ),
    "protocol": Value("tus|ietf", read_protocol, "tus 1.0.0, or the IETF draft Resumable Uploads for HTTP", TUS),
    "parallel": Value(
        "N", partial(read_number, least=1), "send each file as N uploads at once, which the server joins", 1
    ),
    "chunk-size": Value(
        "BYTES", partial(read_size, least=1), "maximum size of one request, such as 8M (default: the whole rest)"
    ),
    "header": Value(
        "NAME:VALUE", _read_headers, "a header of each request; may be repeated", repeated=True, watch=True
    ),
    "token": Value(
        "TOKEN", read_token, "what the server knows you by, for each request; a link has one of its own", watch=True
    ),
    "cacert": Value(
        "FILE", read_cacert, "trust the certificates in this file (PEM) instead of those of the system", watch=True
    ),
    "jobs": Value("N", partial(read_number, least=1), "how many files are sent at once", JOBS),
    "limit-rate": Value(
        "BYTES", partial(read_size, least=1), "bytes a second that all files together may take, such as 2M"
    ),
    "stall-after": Value(
        "TIME", partial(read_time, positive=True), "drop a connection that takes no byte for this long", STALL_AFTER,
        show_time,
    ),
    "retry-for": Value(
        "TIME", read_time, "give up after this long without progress", RETRY_FOR, show_time, watch=True
    ),
}  # fmt: skip
