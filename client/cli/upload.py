"""`onward upload`: one file after the other, each with a bar. The URLs, or JSON, go to stdout; all else to stderr."""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from onward.client.cli.bars import fit, say, sending
from onward.client.cli.batch import Batch
from onward.client.cli.outputs import while_read
from onward.client.errors import Unreachable, UploadError
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.text import readable
from onward.client.transport_errors import reason_of
from onward.client.upload_stream import upload_stream

STDIN = "-"
READ = 2**20  # bytes that are read from stdin at once


async def run(arguments: argparse.Namespace) -> int:
    """Upload what the arguments name; returns the exit status."""
    options = Options(
        protocol=arguments.protocol,
        chunk_size=arguments.chunk_size,
        parallel=arguments.parallel,
        headers=dict(arguments.header or ()),
        token=arguments.to.token or arguments.token,
        retry_for=arguments.retry_for,
        stall_after=arguments.stall_after,
    )
    batch, failed = Batch(arguments.to.url, options), False
    for at, file in enumerate(arguments.files):
        try:
            with _shown(file, arguments.quiet) as on_progress:
                if file == STDIN:
                    result, already = await _piped(arguments.to.url, on_progress, options), False
                else:
                    result, already = await batch.upload(file, on_progress, again=arguments.again)
        except Unreachable as error:
            say(f"onward: {error}")
            _fail(arguments.files[at:], error, arguments)
            return 1
        except UploadError as error:
            failed = True
            say(f"onward: {_sentence(file, error)}")
            _fail([file], error, arguments)
        else:
            _succeed(file, result, arguments, already=already)
    if not failed:
        batch.forget()
    return 1 if failed else 0


async def _piped(target: str, on_progress: OnProgress, options: Options) -> Uploaded:
    return await upload_stream(_stdin(), target, name="stdin", on_progress=on_progress, options=options)


def _name_of(file: str) -> str:
    """Return what to call a file in a sentence."""
    return "stdin" if file == STDIN else file


def _sentence(file: str, error: UploadError) -> str:
    """Return the sentence of an error with the file's name in it, once."""
    name = _name_of(file)
    return str(error) if str(error).startswith(f"{Path(name)} ") else f"{name}: {error}"


def _fail(files: list[str], error: UploadError, arguments: argparse.Namespace) -> None:
    if arguments.json:
        for file in files:
            _print_json({"file": readable(file), "error": readable(str(error))})


@contextmanager
def _shown(file: str, quiet: bool) -> Iterator[OnProgress]:
    if quiet:
        yield lambda _: None
        return
    size = None if file == STDIN or not os.path.isfile(file) else os.path.getsize(file)
    with sending(Path(_name_of(file)).name or file, size) as show:
        yield show


def _succeed(file: str, result: Uploaded, arguments: argparse.Namespace, *, already: bool) -> None:
    if already and not arguments.quiet:
        say(f"{file}: already uploaded: {result.url} (--again uploads it again)")
    elif not result.verified and not arguments.quiet:
        say(f"{_name_of(file)}: not verified: this server states no SHA-256; ours is {result.sha256}")
    elif fit(sys.stderr) and not arguments.quiet:
        say(f"{_name_of(file)}: verified, sha256 {result.sha256}")
    if arguments.json:
        _print_json(
            {
                "file": readable(file),
                "url": result.url,
                "size": result.size,
                "sha256": result.sha256,
                "verified": result.verified,
                "sentBytes": result.sent_bytes,
                "resumedFrom": result.resumed_from,
            }
            | ({"alreadyUploaded": True} if already else {})
        )
    else:
        _print(result.url)


def _print_json(value: dict[str, object]) -> None:
    _print(msgspec.json.encode(value).decode())


def _print(line: str) -> None:
    with while_read(sys.stdout):
        print(line, flush=True)


async def _stdin() -> AsyncGenerator[bytes, None]:
    """Yield what stdin brings. Each read has a thread of its own: the exit would wait for the thread of a pool."""
    if sys.stdin is None:
        raise UploadError("stdin is closed")
    try:
        while block := await _read():
            yield block
    except OSError as error:
        raise UploadError(f"stdin can't be read: {reason_of(error)}") from error


async def _read() -> bytes:
    loop = asyncio.get_running_loop()
    block: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        try:
            data = os.read(sys.stdin.fileno(), READ)
        except OSError as error:
            loop.call_soon_threadsafe(block.set_exception, error)
        else:
            loop.call_soon_threadsafe(block.set_result, data)

    threading.Thread(target=read, daemon=True).start()
    return await block
