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

from client.answers import readable
from client.bars import say, sending
from client.errors import UploadError
from client.model import OnProgress, Options, Uploaded
from client.outputs import while_read
from client.sending import upload
from client.stream import upload_stream

STDIN = "-"
READ = 2**20


async def run(words: argparse.Namespace) -> int:
    """Upload what the words name; gives the exit code."""
    options = Options(
        chunk_size=words.chunk_size,
        parallel=words.parallel,
        headers=dict(words.header or ()),
        retry_for=words.retry_for,
        stall_after=words.stall_after,
    )
    failed = False
    for file in words.files:
        try:
            with _shown(file, words.quiet) as on_progress:
                result = await _sent(file, words.to, on_progress, options)
        except (UploadError, OSError) as error:
            failed = True
            say(f"onward: {file}: {error}")
            if words.json:
                _print_json({"file": readable(file), "error": readable(str(error))})
            continue
        _tell(file, result, words)
    return 1 if failed else 0


async def _sent(file: str, target: str, on_progress: OnProgress, options: Options) -> Uploaded:
    if file == STDIN:
        return await upload_stream(_stdin(), target, name="stdin", on_progress=on_progress, options=options)
    return await upload(file, target, on_progress=on_progress, options=options)


@contextmanager
def _shown(file: str, quiet: bool) -> Iterator[OnProgress]:
    if quiet:
        yield lambda _: None
        return
    size = None if file == STDIN or not os.path.isfile(file) else os.path.getsize(file)
    with sending(Path(file).name or file, size) as show:
        yield show


def _tell(file: str, result: Uploaded, words: argparse.Namespace) -> None:
    if not result.verified and not words.quiet:
        say(f"{file}: not verified by this server, which tells no SHA-256; ours is {result.sha256}")
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
        )
    else:
        _print(result.url)


def _print_json(value: dict[str, object]) -> None:
    _print(msgspec.json.encode(value).decode())


def _print(line: str) -> None:
    with while_read(sys.stdout):
        print(line, flush=True)


async def _stdin() -> AsyncGenerator[bytes, None]:
    """Give what comes in; each read has a thread that nobody waits for, since one in a pool would keep the end away."""
    if sys.stdin is None:
        raise UploadError("stdin is closed")
    while block := await _read():
        yield block


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
