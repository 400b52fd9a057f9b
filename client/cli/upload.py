"""`onward upload`: several files at once, each with a bar. The URLs, or JSON, go to stdout; all else to stderr."""

import argparse
import asyncio
import os
import resource
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from onward.client.cli.bars import fit, put, say, sending
from onward.client.cli.batch import Batch
from onward.client.cli.items import STDIN, Item, Unreadable, find_items
from onward.client.cli.totals import Totals
from onward.client.errors import Unreachable, UploadError
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.text import readable
from onward.client.transport_errors import reason_of
from onward.client.upload_stream import upload_stream

READ = 2**20  # bytes that are read from stdin at once
OWN = 64  # descriptors that the process needs beside its files
OF_A_FILE = 3  # descriptors: the file itself, its lock, and what is written to remember it; its connections come on top
SMALL_JOBS = 4  # small files that are sent instead of a large one: they wait for the server's disk most of the time


async def run(arguments: argparse.Namespace) -> int:
    """Upload what the arguments name; returns the exit status."""
    options = Options(
        protocol=arguments.protocol,
        chunk_size=arguments.chunk_size,
        parallel=arguments.parallel,
        headers=dict(arguments.header or ()),
        token=arguments.to.token or arguments.token,
        cacert=arguments.cacert,
        insecure=arguments.insecure,
        limit_rate=arguments.limit_rate,
        retry_for=arguments.retry_for,
        stall_after=arguments.stall_after,
    )
    found = list(
        find_items(
            arguments.files,
            recursive=arguments.recursive,
            name=arguments.name,
            metadata=arguments.metadata,
            protocol=arguments.protocol,
        )
    )
    unreadable = [each for each in found if isinstance(each, Unreadable)]
    for each in unreadable:
        say(f"onward: {each.path}: {each.why}")
    items = [each for each in found if isinstance(each, Item)]
    if not items:
        say("onward: there is nothing to upload")
        return 1 if unreadable else 0
    command = _Command(items, arguments, options)
    async with Batch(arguments.to.url, options, again=arguments.again) as batch:
        failed = await command.upload(batch) or bool(unreadable)
        if not failed:
            batch.forget()
    return 1 if failed else 0


class _Command:
    """The files of one command. What is printed about them comes in their order, whichever is finished first."""

    def __init__(self, items: list[Item], arguments: argparse.Namespace, options: Options) -> None:
        self._items, self._arguments, self._options = items, arguments, options
        self._most = _most_at_once(arguments.parallel)
        self._jobs = min(arguments.jobs, len(items), self._most)
        self._large = asyncio.Semaphore(self._jobs)
        self._totals = Totals(items, self._jobs) if len(items) > 1 and not arguments.quiet else None
        self._waiting: dict[int, Callable[[], None]] = {}  # what prints the result of a file, by the file's number
        self._next = 0  # the file whose result comes next
        self._failed = False

    async def upload(self, batch: Batch) -> bool:
        """Upload all; returns whether one of them failed."""
        numbered = iter(enumerate(self._items))

        async def work() -> None:
            for at, item in numbered:
                await self._one(batch, at, item)

        try:
            if self._totals is not None:
                with self._totals.sending(self._items[0]) as on_progress:
                    await batch.prepare(self._items, on_progress, most=self._most)
            else:
                await batch.prepare(self._items, lambda _: None, most=self._most)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._jobs * SMALL_JOBS, self._most) if self._jobs > 1 else 1):
                    group.create_task(work())
        except Unreachable as error:
            self._give_up(error)
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            if not isinstance(first, Unreachable):
                raise first from None
            self._give_up(first)
        finally:
            if self._totals is not None:
                self._totals.close()
        return self._failed

    async def _one(self, batch: Batch, at: int, item: Item) -> None:
        try:
            async with nullcontext() if item.is_small else self._large:
                with self._shown(item) as on_progress:
                    result, already = await self._send(batch, item, on_progress)
        except Unreachable:
            raise
        except UploadError as error:
            self._failed = True
            self._end(at, partial(self._print_failure, item, error, _sentence(item, error)))
        else:
            if self._totals is not None:
                self._totals.end(item, counted=not already)
            self._end(at, partial(self._print_success, item, result, already=already))

    async def _send(self, batch: Batch, item: Item, on_progress: OnProgress) -> tuple[Uploaded, bool]:
        if item.path != STDIN:
            return await batch.upload(item, on_progress)
        uploaded = await upload_stream(
            _stdin(),
            self._arguments.to.url,
            name=item.label.name or "stdin",
            metadata=item.label.metadata,
            on_progress=on_progress,
            options=self._options,
        )
        return uploaded, False

    @contextmanager
    def _shown(self, item: Item) -> Iterator[OnProgress]:
        if self._arguments.quiet:
            yield lambda _: None
            return
        one = sending(item.short_name, item.size)
        with one if self._totals is None else self._totals.sending(item) as show:
            yield show

    def _end(self, at: int, print_result: Callable[[], None]) -> None:
        """Print the result of a file, once those of all before it are printed."""
        self._waiting[at] = print_result
        while (ready := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            ready()

    def _print_success(self, item: Item, result: Uploaded, *, already: bool) -> None:
        """Print how a file was uploaded; to people, of many files, only what is not as it should be."""
        if self._arguments.quiet:
            pass
        elif already:
            say(f"{item.name}: already uploaded: {result.url} (--again uploads it again)")
        elif not result.verified:
            say(f"{item.name}: not verified: this server states no SHA-256; ours is {result.sha256}")
        elif fit(sys.stderr) and (self._totals is None or self._totals.lists_each):
            say(f"{item.name}: verified, sha256 {result.sha256}")
        put(_json(_success(item, result, already=already)) if self._arguments.json else result.url)

    def _print_failure(self, item: Item, error: BaseException, sentence: str | None) -> None:
        if sentence is not None:
            say(f"onward: {sentence}")
        if self._arguments.json:
            put(_json({"file": readable(item.path), "error": readable(str(error))}))

    def _give_up(self, error: BaseException) -> None:
        """Say that the server can't be reached, once for all files."""
        self._failed = True
        say(f"onward: {error}")
        for at in range(self._next, len(self._items)):
            self._end(at, partial(self._print_failure, self._items[at], error, None))


def _most_at_once(parallel: int) -> int:
    """Return how many files can be sent at once before the process may open no more (`ulimit -n`)."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else max(1, (most - OWN) // (OF_A_FILE + parallel))


def _sentence(item: Item, error: UploadError) -> str:
    """Return the sentence of an error with the file's name in it, once."""
    return str(error) if str(error).startswith(f"{Path(item.name)} ") else f"{item.name}: {error}"


def _success(item: Item, result: Uploaded, *, already: bool) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "file": readable(item.path),
        "url": result.url,
        "size": result.size,
        "sha256": result.sha256,
        "verified": result.verified,
        "sentBytes": result.sent_bytes,
        "resumedFrom": result.resumed_from,
    }
    return told | ({"alreadyUploaded": True} if already else {})


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


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
