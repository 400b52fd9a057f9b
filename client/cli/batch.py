"""The files of one command: those that it had finished before it was interrupted are not sent again.

Each finished file is remembered until all files of a command that names it are uploaded. After that the same command
is a wish for a second copy.
"""

from contextlib import suppress
from os import PathLike
from pathlib import Path

from onward.client.connection import connected
from onward.client.environment import state_folder
from onward.client.errors import Gone, UploadError
from onward.client.file import File, Identity, opened
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.progress import Meter
from onward.client.resume_file import Finished, Memory, remembered
from onward.client.retry import Reach
from onward.client.transfer import Sender
from onward.client.upload_file import send


class Batch:
    """What one command uploads to one target."""

    def __init__(self, target: str, options: Options) -> None:
        self.reach = Reach()
        self._target, self._options = target, options
        self._files: list[Identity] = []

    async def upload(
        self, path: str | PathLike[str], on_progress: OnProgress, *, again: bool = False
    ) -> tuple[Uploaded, bool]:
        """Upload a file unless it is finished, `again` in any case; tells whether it was. Raises UploadError."""
        folder, tidy = self._options.state or state_folder(), not self._files
        with opened(Path(path)) as file, remembered(folder, file.identity, self._target, tidy=tidy) as memory:
            self._files.append(file.identity)
            if not again and (uploaded := await self._finished(file, memory, on_progress)):
                return uploaded, True
            uploaded = await send(
                file, self._target, memory, self.reach, on_progress=on_progress, options=self._options
            )
            with suppress(UploadError):  # of the folder: it costs a second copy at most
                memory.finish(str(path), Finished(uploaded.url, uploaded.sha256, uploaded.verified))
            return uploaded, False

    async def _finished(self, file: File, memory: Memory, on_progress: OnProgress) -> Uploaded | None:
        """Give the upload that an earlier command has finished, if the server still has it."""
        finished = memory.finished()
        if finished is None:
            return None
        meter = Meter(file.path.name, file.size, on_progress)
        async with connected(self._target, self._options, self.reach) as line:
            sender = Sender(line, meter.track(), self._options)
            try:
                stored = await sender.persist(lambda: line.stored(finished.url, file.size))
            except Gone:
                return None
        if stored.offset != file.size or stored.sha256 not in (None, bytes.fromhex(finished.sha256)):
            return None
        return Uploaded(
            file_name=file.path.name,
            url=finished.url,
            size=file.size,
            sha256=finished.sha256,
            verified=finished.verified,
            sent_bytes=0,
            resumed_from=file.size,
        )

    def forget(self) -> None:
        """Forget what is finished, since all of it is; a file that another process sends meanwhile is left to it."""
        folder = self._options.state or state_folder()
        for identity in self._files:
            with suppress(UploadError), remembered(folder, identity, self._target, tidy=False) as memory:
                if memory.finished():
                    memory.forget()
