"""`onward upload`: one file after the other, with a bar each; the URLs, or JSON, go to stdout."""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from onward.client.answers import readable
from onward.client.cli.bars import fit, say, sending
from onward.client.cli.batch import Batch
from onward.client.cli.outputs import while_read
from onward.client.errors import Unreachable, UploadError
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.transport_errors import reason_of
from onward.client.upload_stream import upload_stream

STDIN = "-"
READ = 2**20


async def run(words: argparse.Namespace) -> int:
    """Upload what the arguments name; gives the exit code."""
    options = Options(
        chunk_size=words.chunk_size,
        parallel=words.parallel,
        headers=dict(words.header or ()),
        retry_for=words.retry_for,
        stall_after=words.stall_after,
    )
    batch, failed = Batch(words.to, options), False
    for at, file in enumerate(words.files):
        try:
            with _shown(file, words.quiet) as on_progress:
                if file == STDIN:
                    result, already = await _piped(words.to, on_progress, options), False
                else:
                    result, already = await batch.upload(file, on_progress, again=words.again)
        except Unreachable as error:
            say(f"onward: {error}")
            _fail(words.files[at:], error, words)
            return 1
        except UploadError as error:
            failed = True
            say(f"onward: {_sentence(file, error)}")
            _fail([file], error, words)
        else:
            _succeed(file, result, words, already=already)
    if not failed:
        batch.forget()
    return 1 if failed else 0


async def _piped(target: str, on_progress: OnProgress, options: Options) -> Uploaded:
    return await upload_stream(_stdin(), target, name="stdin", on_progress=on_progress, options=options)


def _sentence(file: str, error: UploadError) -> str:
    """Name the file in the sentence of an error, once."""
    return str(error) if str(error).startswith(f"{Path(file)} ") else f"{file}: {error}"


def _fail(files: list[str], error: UploadError, words: argparse.Namespace) -> None:
    if words.json:
        for file in files:
            _print_json({"file": readable(file), "error": readable(str(error))})


@contextmanager
def _shown(file: str, quiet: bool) -> Iterator[OnProgress]:
    if quiet:
        yield lambda _: None
        return
    size = None if file == STDIN or not os.path.isfile(file) else os.path.getsize(file)
    with sending(Path(file).name or file, size) as show:
        yield show


def _succeed(file: str, result: Uploaded, words: argparse.Namespace, *, already: bool) -> None:
    if already and not words.quiet:
        say(f"{file}: already uploaded: {result.url} (--again uploads it once more)")
    elif not result.verified and not words.quiet:
        say(f"{file}: not verified by this server, which gives no SHA-256; ours is {result.sha256}")
    elif fit(sys.stderr) and not words.quiet:
        say(f"{file}: verified, sha256 {result.sha256}")
    if words.json:
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
    """Give what comes in; each read has a thread of its own, since the end of the process would wait for a pool's."""
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
