"""The command `onward doctor`; `server/cli.py` calls it."""

import argparse
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec

from onward.server.config import Config
from onward.server.doctor.finding import Finding
from onward.server.doctor.machine import look_at_folder, look_at_limits, look_at_sqlite
from onward.server.doctor.proxy import look_at_proxy

NAME = "doctor"
DESCRIPTION = "say what is wrong with the data folder, the state, the bucket, the clock and the proxy"
SERVER_OPTIONS = ("data", "state", "blobs", "publish", "s3_endpoint", "s3_region", "max_size", "reserve")
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--url",
        metavar="URL",
        help="where clients create uploads, such as https://uploads.example/files: try the way through the proxy",
    )
    parser.add_argument("--token", metavar="TOKEN", help="a token for that, with --auth")
    parser.add_argument("--json", action="store_true", help="print an array of JSON objects")


async def run(config: Config, options: Mapping[str, Any], blobs: str) -> int:
    """Try everything and print what is found; returns 1 if there is a problem. `blobs` is the URL of the bytes."""
    found = []
    async for finding in _findings(config, options, blobs):
        found.append(finding)
        if not options["json"]:
            print(f"{finding.level:7}  {finding.about}: {finding.sentence}", flush=True)
    if options["json"]:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return FAILED if any(finding.level == "problem" for finding in found) else 0


async def _findings(config: Config, options: Mapping[str, Any], blobs: str) -> AsyncIterator[Finding]:
    for finding in _of_this_machine(config):
        yield finding
    if config.is_shared:
        from onward.server.doctor.redis import look_at_redis  # noqa: PLC0415 - every start would load its package

        async for finding in look_at_redis(config.state):
            yield finding
    if (bucket := blobs.removeprefix("publish+")).startswith("s3:"):
        from onward.server.doctor.bucket import look_at_bucket  # noqa: PLC0415 - its packages are an extra

        async for finding in look_at_bucket(bucket):
            yield finding
    if options["url"]:
        async for finding in look_at_proxy(options["url"], options["token"] or ""):
            yield finding


def _of_this_machine(config: Config) -> Iterator[Finding]:
    yield look_at_limits()
    if config.blobs.startswith("file:") or config.state.startswith("sqlite:"):
        yield from look_at_folder(config)
    if config.state.startswith("sqlite:"):
        yield from look_at_sqlite(config)
