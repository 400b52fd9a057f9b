"""The files of one command: those that it had finished before it was interrupted are not sent again.

What is finished is remembered until a command that names the file has uploaded all its files. After that, the same
command makes a second copy. Several small files are sent in one request each, and remembered in a journal; every other
file has a resume file of its own. `upload.py` is the only caller.
"""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from onward.client.cli.items import Item
from onward.client.cli.read_ahead import Planned, ReadAhead, Ready
from onward.client.connection import Connection, connected
from onward.client.environment import state_folder
from onward.client.errors import FileChanged, Unreachable, UploadError, UploadMissing
from onward.client.file import File, Identity, identity, opened, place_of
from onward.client.journal import Journal, open_journal
from onward.client.label import Label
from onward.client.meter import Meter
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.protocols import TUS
from onward.client.resume_file import Finished, Part, ResumeFile, ResumeState, clear_old, file_id, open_resume_file
from onward.client.retry import Reach
from onward.client.small_file import SMALL, send_small
from onward.client.text import readable
from onward.client.transfer import Transfer
from onward.client.upload_file import send

FEW = 2  # small files from which on a journal is worth its cost


class Batch:
    """What one command uploads to one target; a context manager. With `again`, finished files are sent as well."""

    def __init__(self, target: str, options: Options, *, again: bool = False) -> None:
        self.reach = Reach()
        self._target, self._options, self._again = target, options, again
        self._folder = options.state or state_folder()
        self._files: list[Identity] = []  # those with a resume file
        self._journaled: list[str] = []
        self._journal: Journal | None = None
        self._ahead: ReadAhead | None = None
        self._tidied = False
        self._turns: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)  # by the place of a file
        self._open = AsyncExitStack()
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._open.enter_async_context(connected(self._target, self._options, self.reach))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ahead is not None:
            await self._ahead.close()
        if self._journal is not None:
            await self._journal.close()
        await self._open.aclose()

    @property
    def connection(self) -> Connection:
        """Return the connections to the server, which all files share."""
        assert self._connection is not None  # noqa: S101 - the batch is open
        return self._connection

    async def prepare(self, items: Sequence[Item], on_progress: OnProgress, *, most: int) -> None:
        """Reach the server, and give each small file a key if the server knows keys; raises Unreachable.

        `most` is how many files may be open. Whatever else goes wrong here is said about a file once that is sent.
        """
        if len(items) < FEW:
            return
        with suppress(UploadError):
            self._journal = open_journal(self._folder, self._target, self._options.protocol)
        takes_whole = await self._takes_whole(items[0], on_progress)
        small = [item for item in items if item.is_small]
        if self._journal is not None and takes_whole and len(small) >= FEW:
            planned = await asyncio.to_thread(self._planned, small)
            with suppress(UploadError):
                self._journal.plan([each.id for each in planned], again=self._again)
                self._ahead = ReadAhead(self._unsent(planned), self._folder, most)

    def _unsent(self, planned: Sequence[Planned]) -> Iterator[Planned]:
        """Yield the files that are to be read ahead: not those that are finished, or that are named twice."""
        named = Counter(each.id for each in planned)
        for each in planned:
            if named[each.id] == 1 and (self._again or self._journal is None or not self._journal.finished(each.id)):
                yield each

    async def _takes_whole(self, first: Item, on_progress: OnProgress) -> bool:
        options = self._options
        transfer = Transfer(self.connection, Meter(first.short_name, None, on_progress).add_part(), options)
        try:
            takes_whole = await transfer.retry(lambda: self.connection.takes_whole(SMALL))
        except Unreachable:
            raise
        except (UploadError, UploadMissing):
            return False
        in_one = options.parallel == 1 and (options.chunk_size or SMALL) >= SMALL
        return takes_whole and in_one and options.protocol == TUS

    def _planned(self, items: Sequence[Item]) -> list[Planned]:
        """Return the files that can be read, and clear the folder of resume files from old ones."""
        planned, folders = list[Planned](), dict[str, str]()
        with suppress(OSError):
            clear_old(self._folder)
        self._tidied = True
        for item in items:
            with suppress(OSError):  # sending it says what is wrong
                parent, name = os.path.split(item.path)
                if parent not in folders:
                    folders[parent] = os.path.realpath(parent)
                own = identity(Path(folders[parent], name), os.stat(item.path))
                planned.append(Planned(path=item.path, id=self._id(own), identity=own))
        return planned

    def _id(self, file: Identity) -> str:
        return file_id(file, self._target, self._options.protocol)

    async def upload(self, item: Item, on_progress: OnProgress) -> tuple[Uploaded, bool]:
        """Upload a file, unless it is finished; raises UploadError.

        Returns the result, and whether the file was finished before. A file that the command names twice is sent once.
        """
        if self._ahead is not None and (ready := await self._ahead.take(item.path)):
            try:
                return await self._send_ready(ready, item, on_progress), False
            finally:
                self._ahead.end(ready)
        async with self._turns[place_of(Path(item.path))]:
            return await self._upload(item, on_progress)

    async def _upload(self, item: Item, on_progress: OnProgress) -> tuple[Uploaded, bool]:
        with ExitStack() as stack:
            file, resume_file = await asyncio.to_thread(self._opened, Path(item.path), stack)
            id_, already = self._id(file.identity), None
            if not self._again:
                already = await self._finished(id_, file, resume_file, on_progress)
            uploaded = already or await self._send(file, resume_file, item.label, on_progress)
            if resume_file.exists():
                self._files.append(file.identity)
            if self._journal is not None:
                self._journaled.append(id_)
            return uploaded, already is not None

    def _opened(self, path: Path, stack: ExitStack) -> tuple[File, ResumeFile]:
        """Open a file and its resume file; raises UploadError."""
        file = stack.enter_context(opened(path))
        tidy, self._tidied = not self._tidied, True
        resume_file = stack.enter_context(
            open_resume_file(self._folder, file.identity, self._target, self._options.protocol, tidy=tidy)
        )
        return file, resume_file

    async def _send_ready(self, ready: Ready, item: Item, on_progress: OnProgress) -> Uploaded:
        """Upload a file that was read ahead in one request; the rest of it, if the server has stored only a part."""
        connection, options, journal = self.connection, self._options, self._journal
        assert journal is not None  # noqa: S101 - it has planned the file
        key = partial(journal.creation_key, ready.id)
        try:
            made = await send_small(ready.file, connection, item.label, key, on_progress=on_progress, options=options)
        except UploadError as fault:
            if fault.discards_upload:
                journal.renew(ready.id)
            raise
        self._journaled.append(ready.id)
        if isinstance(made, Uploaded):
            journal.finish(ready.id, Finished(made.url, made.sha256, made.verified))
            return made
        self._files.append(ready.identity)
        parts = (Part(0, ready.identity.size, made),)
        ready.resume_file.save(ResumeState(file=readable(item.path), parts=parts))
        with opened(Path(item.path)) as file:
            if file.identity != ready.identity:
                raise FileChanged(f"{item.path} was changed while it was sent")
            return await self._send(file, ready.resume_file, item.label, on_progress)

    async def _send(self, file: File, resume_file: ResumeFile, label: Label, on_progress: OnProgress) -> Uploaded:
        """Upload a file, and remember that it is finished."""
        uploaded = await send(file, self.connection, resume_file, label, on_progress=on_progress, options=self._options)
        with suppress(UploadError):  # the folder can't be written; at worst, the file is sent again later
            resume_file.finish(str(file.path), Finished(uploaded.url, uploaded.sha256, uploaded.verified))
        return uploaded

    async def _finished(
        self, id_: str, file: File, resume_file: ResumeFile, on_progress: OnProgress
    ) -> Uploaded | None:
        """Return the upload that an earlier command has finished, if the server still has it."""
        finished = resume_file.finished() or (self._journal and self._journal.finished(id_))
        if not finished:
            return None
        meter = Meter(file.path.name, file.size, on_progress)
        transfer, url = Transfer(self.connection, meter.add_part(), self._options), finished.url
        try:
            stored = await transfer.retry(lambda: self.connection.stored(url, file.size))
            is_there = stored.offset == file.size and stored.sha256 in (None, bytes.fromhex(finished.sha256))
        except UploadMissing:
            is_there = False
        if not is_there:
            if self._journal is not None:
                self._journal.renew(id_)
            return None
        return Uploaded(
            file_name=file.path.name,
            url=url,
            size=file.size,
            sha256=finished.sha256,
            verified=finished.verified,
            sent_bytes=0,
            resumed_from=file.size,
        )

    def forget(self) -> None:
        """Forget all files, since all are uploaded; resume files that another process has locked stay."""
        if self._journal is not None:
            self._journal.forget(self._journaled)
        for file in self._files:
            with (
                suppress(UploadError),
                open_resume_file(self._folder, file, self._target, self._options.protocol, tidy=False) as resume_file,
            ):
                if resume_file.finished():
                    resume_file.supersede()
