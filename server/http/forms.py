"""POST /files with `multipart/form-data`: each file of the form is an upload. The routes call `receive_form`.

The files are received one after the other, as they come. One that is refused (its type, its size, another SHA-256) or
that a check holds does not keep the others from being published: what comes of it is skipped, up to MOST_SKIPPED bytes
of a form. Whatever concerns more than one file - a form that is cut or malformed, no access, no room, a store that does
not answer - ends the form. The files that were published before stay.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

from onward.protocol.creation_keys import HEADER
from onward.protocol.errors import BadRequest, ClientFault, Failed, MediaType, Refusal, TooLarge, Unchecked
from onward.protocol.forms import MOST_FILES, FormFields
from onward.protocol.model import Upload, UploadId
from onward.protocol.progress import progress
from onward.server.http.access import granted_creation
from onward.server.http.app_keys import ENGINE, STOPPING
from onward.server.http.form_reader import FormReader, Part, PartBody
from onward.server.http.origin import check_form_origin
from onward.server.http.problems import refusal_of
from onward.server.http.put import JSON
from onward.server.http.transport.body import RequestBody
from onward.server.uploads.body_writer import BLOCK
from onward.server.uploads.single_request import receive_whole
from onward.storage.base import StorageError

FORM = "multipart/form-data"
MOST_SKIPPED = 2**26  # bytes of refused files in a form; then it is answered without the rest
OF_ONE_FILE = (ClientFault, Failed, TooLarge, Unchecked)  # refusals after which the form goes on


async def receive_form(
    request: web.Request, headers: Mapping[str, str], body: RequestBody, location: Callable[[UploadId], str]
) -> web.StreamResponse:
    """Store the files of a form. Raises the refusal of the first file that is not published, with `uploads` in it.

    The names of the `headers` are in lower case.
    """
    check_form_origin(request)
    if HEADER in request.headers:
        raise BadRequest(f"A form takes no {HEADER}: nothing says beforehand which files it has.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaType("A Content-Encoding is not supported.")
    form = _Form(request, FormReader(body, headers["content-type"], request.app[STOPPING]))
    cause: StorageError | None = None
    try:
        await form.receive()
    except StorageError as fault:
        form.refuse(refusal_of(fault))
        cause = fault
    except Refusal as refusal:
        form.refuse(refusal)
    uploads = [json.loads(progress(upload).json) | {"location": location(upload.id)} for upload in form.uploads]
    if form.refusal is not None:
        form.refusal.members["uploads"] = uploads
        raise form.refusal from cause or form.refusal.__cause__
    document: dict[str, Any] = {"fields": form.fields.values, "uploads": uploads}
    return web.Response(status=201, headers=JSON, body=json.dumps(document).encode())


class _Form:
    """One form: what has come of it, the uploads that were made of it, and the first refusal."""

    def __init__(self, request: web.Request, reader: FormReader) -> None:
        self._request, self._engine, self._reader = request, request.app[ENGINE], reader
        self._skipped = self._files = 0
        self.fields = FormFields()
        self.uploads: list[Upload] = []
        self.refusal: Refusal | None = None

    def refuse(self, refusal: Refusal) -> None:
        """Note a refusal; the first one is the answer."""
        self.refusal = self.refusal or refusal

    async def receive(self) -> None:
        """Receive all parts. Raises what ends the form early."""
        while (part := await self._reader.part()) is not None:
            if part.file_name is None:
                self.fields.add(part.name, await self._reader.text())
            elif part.file_name or not await self._reader.is_empty():  # browsers send an input without a file so
                await self._receive_file(part, part.file_name)
        if not self._files:
            raise BadRequest("The form has no file.")

    async def _receive_file(self, part: Part, file_name: str) -> None:
        """Receive one file; note its refusal if the form can go on. Raises what ends the form early."""
        self._files += 1
        if self._files > MOST_FILES:
            raise TooLarge(f"A form has {MOST_FILES} files at most.")
        body = PartBody(self._reader)
        try:
            creation = self.fields.creation(file_name, part.media_type)
            creation, limits = await granted_creation(self._request, creation)
            upload = await self._engine.create(creation, limits=limits)
            self.uploads.append(upload)
            self.uploads[-1] = await receive_whole(self._engine, upload, body, size=None, limits=limits)
        except (Refusal, StorageError) as fault:
            if self.uploads and not self.uploads[-1].status.final:
                with suppress(StorageError):
                    self.uploads[-1] = await self._engine.records.load(self.uploads[-1].id)
            if not isinstance(fault, OF_ONE_FILE) or body.cut_by is not None:
                raise
            self.refuse(fault)
            await self._skip(body)

    async def _skip(self, body: PartBody) -> None:
        """Read what is left of a refused file. Raises its refusal after MOST_SKIPPED bytes, and what ends the form."""
        while not body.over:
            data = await self._reader.data(BLOCK)
            if data is None:
                return
            self._skipped += len(data)
            if self._skipped > MOST_SKIPPED and self.refusal is not None:
                raise self.refusal
