"""Uploads one file: resumes what an earlier process began, and verifies the result.

    upload ──> send ──┬─ _send_whole   one upload, one request after the other
                      └─ _send_parts   several uploads at once, which the server then concatenates

The resume file holds the URLs, so that a later call finds them. If the server no longer has the upload, `send` begins
a new one. The command `onward upload` calls `send` through its batch.
"""

import asyncio
import os
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from onward.client.answers import MISMATCH
from onward.client.connection import JOIN_WAIT, Connection, Stored, connected
from onward.client.environment import state_folder
from onward.client.errors import Mismatch, Refused, UploadError, UploadMissing
from onward.client.file import BLOCK, File, opened
from onward.client.label import Label, read_label
from onward.client.link import opened_link
from onward.client.meter import Meter
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.resume_file import Part, ResumeFile, ResumeState, open_resume_file
from onward.client.retry import Reach
from onward.client.text import readable
from onward.client.transfer import Sent, Transfer, verify
from onward.protocol.headers import build_concat, build_repr_digest

ATTEMPTS = 4  # how often one call begins an upload, if the server loses it again and again


async def upload(
    path: str | os.PathLike[str],
    url: str,
    *,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
    options: Options | None = None,
) -> Uploaded:
    """Upload a file to a tus server, resuming what an earlier call has begun; raises UploadError.

    `name` is what the file is called there, instead of its own name, and `metadata` is added to that of the upload. A
    wrong one is a ValueError.
    """
    url, options = opened_link(url, options or Options())
    label = read_label(name, metadata, options.protocol)
    folder = options.state or state_folder()
    with opened(Path(path)) as file, open_resume_file(folder, file.identity, url, options.protocol) as resume_file:
        async with connected(url, options, Reach()) as connection:
            result = await send(file, connection, resume_file, label, on_progress=on_progress, options=options)
        resume_file.supersede()
        return result


async def send(
    file: File,
    connection: Connection,
    resume_file: ResumeFile,
    label: Label,
    *,
    on_progress: OnProgress | None,
    options: Options,
) -> Uploaded:
    """Upload an open file whose resume file is locked; raises UploadError."""
    meter = Meter(file.path.name, file.size, on_progress)
    job = _Job(connection=connection, file=file, resume_file=resume_file, meter=meter, options=options)
    try:
        sent = await _send(job, label.headers(connection.protocol, file.path.name))
        file.check_unchanged()
        return verify(sent, await file.sha256(), meter, file.size)
    except UploadError as fault:
        if fault.discards_upload:
            resume_file.forget()
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """Everything that the functions below need about the file that is sent."""

    connection: Connection
    file: File
    resume_file: ResumeFile
    meter: Meter
    options: Options

    def transfer(self, start: int = 0) -> Transfer:
        """Return the transfer of the upload whose first byte is at position `start` of the file."""
        return Transfer(self.connection, self.meter.add_part(start), self.options)

    def save(self, parts: tuple[Part, ...]) -> None:
        """Write the URLs of the upload to the resume file; raises UploadError."""
        self.resume_file.save(ResumeState(file=readable(os.fspath(self.file.path)), parts=parts))


async def _send(job: _Job, metadata: Mapping[str, str]) -> Sent:
    for _ in range(ATTEMPTS):
        saved = job.resume_file.load()
        in_parts = job.options.parallel > 1 if saved is None else len(saved.parts) > 1
        try:
            return await (_send_parts if in_parts else _send_whole)(job, saved, metadata)
        except UploadMissing as missing:
            job.resume_file.forget()
            job.meter.restart()
            job.meter.report(f"{missing}; starting again from the beginning")
        except Refused as refused:
            if refused.status == MISMATCH:
                raise Mismatch(f"{refused}: its bytes are not those of this file") from None
            raise
    raise Refused("the server loses the upload again and again")


async def _send_whole(job: _Job, saved: ResumeState | None, metadata: Mapping[str, str]) -> Sent:
    """Send the file as one upload; raises UploadMissing if the server no longer has it."""
    transfer, file, known = job.transfer(), job.file, Stored(0)
    if saved is None:
        url = (await transfer.create({**job.connection.protocol.create(file.size), **metadata})).url
        job.save((Part(0, file.size, url),))
    else:
        url = saved.parts[0].url
    job.meter.set_url(url)
    if saved is not None or not file.size:  # an empty upload is complete, and states its SHA-256 only when asked
        known = await transfer.retry(lambda: job.connection.stored(url, file.size))
    before_last = start_of_last_request(file.size, job.options)
    stored = await transfer.send_until(url, file, before_last, known=known, length=file.size)
    promise = {"Repr-Digest": build_repr_digest(await file.sha256())}
    file.check_unchanged()
    stored = await transfer.send_until(url, file, file.size, known=stored, length=file.size, headers=promise, ends=True)
    return Sent(url=url, sha256=stored.sha256 or known.sha256, resumed_from=known.offset)


def start_of_last_request(size: int, options: Options) -> int:
    """Return the offset of the last request.

    Only that request carries the promised SHA-256, in a header. The header is sent before the bytes of the request,
    so they must have been hashed already. Therefore the last request is short, which costs one more round trip.
    """
    if options.chunk_size:
        return max(size - 1, 0) // options.chunk_size * options.chunk_size
    return max(size - BLOCK, 0)


async def _send_parts(job: _Job, saved: ResumeState | None, metadata: Mapping[str, str]) -> Sent:
    """Send the file as several uploads and have them concatenated; raises UploadMissing if one is lost."""
    transfer, file = job.transfer(), job.file
    if saved is None:
        await transfer.require("concatenation", "--parallel")
        parts = tuple([await _create_part(transfer, *span) for span in spans(file.size, job.options.parallel)])
        job.save(parts)
    else:
        parts = saved.parts
    resumed_from = sum(await _all([_send_part(job, part) for part in parts]))
    headers = {
        "Upload-Concat": build_concat(tuple(part.url for part in parts)),
        "Repr-Digest": build_repr_digest(await file.sha256()),
        **metadata,
    }
    file.check_unchanged()
    final = await transfer.retry(lambda: job.connection.create(headers, wait=JOIN_WAIT))
    return Sent(url=final.url, sha256=final.sha256, resumed_from=resumed_from)


def spans(size: int, count: int) -> list[tuple[int, int]]:
    """Divide a file into `count` parts, or fewer if they would be smaller than a block."""
    count = max(1, min(count, size // BLOCK))
    edges = [size * index // count for index in range(count + 1)]
    return list(pairwise(edges))


async def _create_part(transfer: Transfer, start: int, stop: int) -> Part:
    headers = {"Upload-Length": str(stop - start), "Upload-Concat": build_concat(None)}
    return Part(start, stop, (await transfer.create(headers)).url)


async def _send_part(job: _Job, part: Part) -> int:
    """Send a part to its end; returns how much of it was stored before."""
    transfer, length = job.transfer(part.start), part.stop - part.start
    known = await transfer.retry(lambda: job.connection.stored(part.url, length))
    await transfer.send_until(part.url, job.file, length, known=known, base=part.start, length=length)
    return known.offset


async def _all(works: list[Coroutine[None, None, int]]) -> list[int]:
    """Run all at once; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
