"""The commands `onward upload` and `onward watch`.

They exit with 0 when all went well, 1 when something failed, 2 on invalid arguments, 143 when terminated;
KeyboardInterrupt is left to the caller.
"""

import argparse
import asyncio
import re
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence

from client.bars import say
from client.environment import told_option, variable_of
from client.faults import reason_of
from client.model import RETRY_FOR, STALL_AFTER
from client.outputs import drop, replace_closed
from client.uploading import run as upload
from client.watched import run as watch

TERMINATED = 143
AGAIN = "--again"
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, 5.6.2
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def main(words: Sequence[str], descriptions: Mapping[str, str]) -> int:
    """Run a command, each of which has a description, and give its exit code; raises KeyboardInterrupt."""
    replace_closed()
    options = _parser(descriptions).parse_args(words)
    _add_headers(options)
    run = upload if options.command == "upload" else watch
    try:
        return asyncio.run(_until_terminated(run(options)))
    except (KeyboardInterrupt, asyncio.CancelledError) as end:
        if options.command == "upload" and "-" not in options.files:
            say("")
            again = shlex.join(word for word in words if word != AGAIN)  # it would upload what is finished once more
            say(f"interrupted; to resume, run the same command: onward {again}")
        if isinstance(end, KeyboardInterrupt):
            raise
        return TERMINATED
    except OSError as error:  # of stdout: all others have become an UploadError
        drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            say(f"onward: can't write to stdout: {reason_of(error)}")
        return 1


async def _until_terminated(work: Coroutine[None, None, int]) -> int:
    """Do something until its end, or until SIGTERM, which cancels it as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def _parser(descriptions: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="onward")
    commands = parser.add_subparsers(dest="command", required=True)
    sending = commands.add_parser("upload", description=descriptions["upload"])
    sending.add_argument("files", nargs="+", metavar="FILE", help="a file, or - for stdin")
    _option(sending, "to", str, "URL", "where the server takes uploads, such as http://host/files", required=True)
    _option(sending, "parallel", _count, "N", "send each file as N uploads at once, which the server joins", default=1)
    _option(sending, "chunk-size", _size, "SIZE", "maximum size of one request, e.g. 8M (default: the whole rest)")
    _option(sending, "stall-after", _time, "SECONDS", "drop a connection that takes no byte", default=STALL_AFTER)
    watching = commands.add_parser("watch", description=descriptions["watch"])
    watching.add_argument("urls", nargs="+", metavar="URL", help="the URL of an upload, or of its progress")
    for command in (sending, watching):
        command.set_defaults(parser=command)
        _option(command, "header", _header, "NAME:VALUE", "a header of each request; may be repeated", action="append")
        _option(
            command, "retry-for", _seconds, "SECONDS", "give up after that long without progress", default=RETRY_FOR
        )
        command.add_argument("--json", action="store_true", help="print JSON, one object a line")
    sending.add_argument(AGAIN, action="store_true", help="upload also what an interrupted command has finished")
    sending.add_argument("--quiet", action="store_true", help="print only errors and the URLs")
    return parser


def _option(
    parser: argparse.ArgumentParser,
    name: str,
    type: Callable[[str], object],
    metavar: str,
    text: str,
    *,
    default: float | None = None,
    action: str = "store",
    required: bool = False,
) -> None:
    """Add an option that the environment may give as well; one that may be repeated gets that after the parsing."""
    variable = variable_of(name)
    given = told_option(name) if action == "store" else None

    def read(text: str) -> object:
        try:
            return type(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{variable}: {error}" if text is given else str(error)) from None

    parser.add_argument(
        f"--{name}",
        type=read,
        metavar=metavar,
        help=f"{text} [{variable}" + (f"; default: {default:g}]" if default else "]"),
        action=action,
        default=default if given is None else given,
        required=required and given is None,
    )


def _add_headers(options: argparse.Namespace) -> None:
    """Take the header of the environment where the arguments have none."""
    given = told_option("header")
    if given is not None and options.header is None:
        try:
            options.header = [_header(given)]
        except argparse.ArgumentTypeError as error:
            options.parser.error(f"{variable_of('header')}: {error}")


def _count(text: str) -> int:
    """Read a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _time(text: str) -> float:
    """Read seconds, more than none."""
    if not (seconds := _seconds(text)):
        raise argparse.ArgumentTypeError("it must be more than 0 seconds")
    return seconds


def _size(text: str) -> int:
    """Read a size such as 8M or 500K, in powers of 1024."""
    unit = UNITS.get(text[-1:].upper(), 1)
    return _count(text[:-1] if unit > 1 else text) * unit


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not HEADER_NAME.fullmatch(name) or not value.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:VALUE")
    return name, value.strip()
