"""From a file to a verified upload: resumes what an earlier process began, and checks what came out."""

import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path

from onward.client.answers import MISMATCH, readable
from onward.client.beginning import create, describe, last_request
from onward.client.connection import Stored, connected
from onward.client.environment import state_folder
from onward.client.errors import Gone, Mismatch, Refused, UploadError
from onward.client.file import File, opened
from onward.client.job import Job
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.progress import Meter
from onward.client.result import Sent, judged
from onward.client.resume_file import Memory, Part, Record, remembered
from onward.client.retry import Reach
from onward.client.upload_parallel import send_parts
from onward.protocol.headers import build_repr_digest

BEGINNINGS = 4  # times that an upload is begun in one go, when the server has lost it again and again


async def upload(
    path: str | os.PathLike[str], url: str, *, on_progress: OnProgress | None = None, options: Options | None = None
) -> Uploaded:
    """Upload a file to a tus server, resuming what an earlier call has begun; raises UploadError."""
    options = options or Options()
    folder = options.state or state_folder()
    with opened(Path(path)) as file, remembered(folder, file.identity, url) as memory:
        result = await send(file, url, memory, Reach(), on_progress=on_progress, options=options)
        memory.forget()
        return result


async def send(
    file: File, url: str, memory: Memory, reach: Reach, *, on_progress: OnProgress | None, options: Options
) -> Uploaded:
    """Bring a file to its server, and check what came out; raises UploadError."""
    meter = Meter(file.path.name, file.size, on_progress)
    async with connected(url, options, reach) as line:
        job = Job(line=line, file=file, memory=memory, meter=meter, options=options)
        try:
            sent = await _sent(job)
            file.check_unchanged()
            return judged(sent, await file.sha256(), meter, file.size)
        except UploadError as fault:
            if fault.dead:
                memory.forget()
            raise


async def _sent(job: Job) -> Sent:
    name = job.file.path.name
    metadata = describe(os.fsencode(name), mimetypes.guess_type(name)[0])
    for _ in range(BEGINNINGS):
        record = job.memory.load()
        parallel = job.options.parallel > 1 if record is None else len(record.parts) > 1
        try:
            return await (send_parts if parallel else _send_whole)(job, metadata)
        except Gone as gone:
            job.memory.forget()
            job.meter.restart()
            job.meter.tell(f"{gone}; starting again from the beginning")
        except Refused as refused:
            if refused.status == MISMATCH:
                raise Mismatch(f"{refused}: its bytes are not those of this file") from None
            raise
    raise Refused("the server loses the upload again and again")


async def _send_whole(job: Job, metadata: Mapping[str, str]) -> Sent:
    sender, file, record, known = job.sender(), job.file, job.memory.load(), Stored(0)
    if record is None:
        url = (await create(sender, {"Upload-Length": str(file.size), **metadata})).url
        job.memory.save(Record(file=readable(os.fspath(file.path)), parts=(Part(0, file.size, url),)))
    else:
        url = record.parts[0].url
    job.meter.at(url)
    if record is not None or not file.size:  # an empty one is complete, and its SHA-256 only told when asked for
        known = await sender.persist(lambda: job.line.stored(url, file.size))
    before_last = last_request(file.size, job.options)
    stored = await sender.fill(url, file, before_last, known=known.offset, length=file.size)
    promise = {"Repr-Digest": build_repr_digest(await file.sha256())}
    file.check_unchanged()
    stored = await sender.fill(url, file, file.size, known=stored.offset, length=file.size, headers=promise)
    return Sent(url=url, sha256=stored.sha256 or known.sha256, resumed_from=known.offset)
