"""The operator's commands on the command line: their arguments, and how they run; `server/cli.py` calls this."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from onward.client.text import printable
from onward.protocol.model import Status
from onward.server.config import Config
from onward.server.control.backup import Target, copy_files, prepare
from onward.server.control.caller import Open, ask
from onward.server.control.commands import COMMANDS, Events, Listing, Named
from onward.server.control.output import Json, Owned, Sentences, Table, problem
from onward.server.control.quotas import Owners

FAILED = 1
DESCRIPTIONS = {
    "list": "list all uploads, the newest first; also while the server runs",
    "show": "show all that is known about an upload",
    "rm": "remove uploads and their bytes, published files too, as DELETE does",
    "events": "list the events that wait to be delivered, or were given up; also while the server runs",
    "quota": "show how much each owner has; also while the server runs",
    "backup": "copy the data folder into another folder; also while the server runs",
    "sweep": "run the server's periodic clean-up once",
}


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the arguments of a command."""
    match command:
        case "list":
            parser.add_argument(
                "--status", action="append", choices=[str(status) for status in Status], metavar="STATUS",
                help=f"list only uploads with this status; may be repeated: {', '.join(Status)}",
            )  # fmt: skip
        case "show" | "rm":
            parser.add_argument(
                "names", nargs="+", metavar="ID", help="the id of an upload, the beginning of its id, or its URL"
            )
        case "events":
            parser.add_argument("--failed", action="store_true", help="list only events that were given up")
            parser.add_argument(
                "--retry", action="store_true", help="deliver the events that were given up once more; lists nothing"
            )
        case "backup":
            parser.add_argument("folder", metavar="FOLDER", help="where the copy is; made if it is missing")
        case "quota":
            parser.add_argument("owner", nargs="?", metavar="OWNER", help="show only this owner")
    if command not in ("sweep", "backup"):
        parser.add_argument("--json", action="store_true", help="print an array of JSON objects")


async def run(config: Config, options: Mapping[str, Any], open_engine: Open) -> int:
    """Run a command and print what it answers; returns the exit status. Raises what `ask` raises."""
    from onward.client.cli.outputs import drop, replace_closed  # noqa: PLC0415 - the server does not need the client

    replace_closed()
    command, failed = options["command"], False
    if command == "backup":
        return await _backup(config, options["folder"], open_engine)
    tables: dict[str, type[Table | Owned]] = {"list": Table, "quota": Owned}
    output = Json() if options.get("json") else tables.get(command, Sentences)()
    try:
        async for answer in ask(config, open_engine, command, _arguments(command, options)):
            if sentence := answer.get("problem"):
                problem(sentence)
                failed = True
            else:
                output.show(answer)
        output.end()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        drop(sys.stdout)
    return FAILED if failed else 0


async def _backup(config: Config, folder: str, open_engine: Open) -> int:
    """Copy the state by way of the server, and then the files; raises what `ask` raises."""
    target = prepare(config, folder)
    async for answer in ask(config, open_engine, "backup", Target(str(target))):
        if sentence := answer.get("problem"):
            problem(sentence)
            return FAILED
    count, size = await asyncio.to_thread(copy_files, config, target)
    print(f"{count:,} files ({size:,} bytes) are in {printable(str(target))}")
    return 0


def _arguments(command: str, options: Mapping[str, Any]) -> msgspec.Struct:
    arguments = COMMANDS[command].arguments
    if arguments is Named:
        return Named(tuple(options["names"]))
    if arguments is Owners:
        return Owners(options["owner"])
    if arguments is Events:
        return Events(options["failed"], options["retry"])
    if arguments is Listing and options["status"]:
        return Listing(frozenset(map(Status, options["status"])))
    return arguments()
