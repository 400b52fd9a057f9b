"""The files of one command: those that it had finished before it was interrupted are not sent again.

The resume file of a finished file is kept until a command that names the file has uploaded all its files. After that,
the same command makes a second copy. `upload.py` is the only caller.
"""

from contextlib import suppress
from os import PathLike
from pathlib import Path

from onward.client.connection import connected
from onward.client.environment import state_folder
from onward.client.errors import UploadError, UploadMissing
from onward.client.file import File, Identity, opened
from onward.client.meter import Meter
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.resume_file import Finished, ResumeFile, open_resume_file
from onward.client.retry import Reach
from onward.client.transfer import Transfer
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
        """Upload a file, unless it is finished and not wanted `again`; raises UploadError.

        Returns the result, and whether the file was finished before.
        """
        folder, tidy = self._options.state or state_folder(), not self._files
        with (
            opened(Path(path)) as file,
            open_resume_file(folder, file.identity, self._target, self._options.protocol, tidy=tidy) as resume_file,
        ):
            self._files.append(file.identity)
            if not again and (uploaded := await self._finished(file, resume_file, on_progress)):
                return uploaded, True
            uploaded = await send(
                file, self._target, resume_file, self.reach, on_progress=on_progress, options=self._options
            )
            with suppress(UploadError):  # the folder can't be written; at worst, the file is sent again later
                resume_file.finish(str(path), Finished(uploaded.url, uploaded.sha256, uploaded.verified))
            return uploaded, False

    async def _finished(self, file: File, resume_file: ResumeFile, on_progress: OnProgress) -> Uploaded | None:
        """Return the upload that an earlier command has finished, if the server still has it."""
        finished = resume_file.finished()
        if finished is None:
            return None
        meter = Meter(file.path.name, file.size, on_progress)
        async with connected(self._target, self._options, self.reach) as connection:
            transfer = Transfer(connection, meter.add_part(), self._options)
            try:
                stored = await transfer.retry(lambda: connection.stored(finished.url, file.size))
            except UploadMissing:
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
        """Remove the resume files, since all files are uploaded; those that another process has locked stay."""
        folder = self._options.state or state_folder()
        for identity in self._files:
            with (
                suppress(UploadError),
                open_resume_file(folder, identity, self._target, self._options.protocol, tidy=False) as resume_file,
            ):
                if resume_file.finished():
                    resume_file.forget()
