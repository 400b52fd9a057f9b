"""A file sent as several uploads at once, which the server then joins (tus 1.0.0, concatenation)."""

import asyncio
import os
from collections.abc import Coroutine, Mapping
from itertools import pairwise

from onward.client.answers import readable
from onward.client.beginning import create, require
from onward.client.connection import JOIN_WAIT
from onward.client.file import BLOCK
from onward.client.job import Job
from onward.client.result import Sent
from onward.client.resume_file import Part, Record
from onward.client.transfer import Sender
from onward.protocol.headers import build_concat, build_repr_digest


async def send_parts(job: Job, metadata: Mapping[str, str]) -> Sent:
    """Send the parts and have them joined; raises Gone where one is lost."""
    sender, file, record = job.sender(), job.file, job.memory.load()
    if record is None:
        await require(sender, "concatenation", "--parallel")
        parts = tuple([await _begin(sender, *span) for span in spans(file.size, job.options.parallel)])
        job.memory.save(Record(file=readable(os.fspath(file.path)), parts=parts))
    else:
        parts = record.parts
    resumed_from = sum(await _all([_resume(job, part) for part in parts]))
    headers = {
        "Upload-Concat": build_concat(tuple(part.url for part in parts)),
        "Repr-Digest": build_repr_digest(await file.sha256()),
        **metadata,
    }
    file.check_unchanged()
    final = await sender.persist(lambda: job.line.create(headers, wait=JOIN_WAIT))
    return Sent(url=final.url, sha256=final.sha256, resumed_from=resumed_from)


def spans(size: int, count: int) -> list[tuple[int, int]]:
    """Cut a file into as many parts as are wanted, none smaller than a block."""
    count = max(1, min(count, size // BLOCK))
    edges = [size * index // count for index in range(count + 1)]
    return list(pairwise(edges))


async def _begin(sender: Sender, start: int, stop: int) -> Part:
    headers = {"Upload-Length": str(stop - start), "Upload-Concat": "partial"}
    return Part(start, stop, (await create(sender, headers)).url)


async def _resume(job: Job, part: Part) -> int:
    """Bring a part to its end; gives how much of it was there before."""
    sender, length = job.sender(part.start), part.stop - part.start
    known = await sender.persist(lambda: job.line.stored(part.url, length))
    await sender.fill(part.url, job.file, length, known=known.offset, base=part.start, length=length)
    return known.offset


async def _all(works: list[Coroutine[None, None, int]]) -> list[int]:
    """Do all at once; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
