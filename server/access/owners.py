"""Who owns an upload, remembered: the owner never changes, so the decision about a request needs no look at the record.

`server/http/access.py` asks it before anything is done with an upload.
"""

from collections.abc import Awaitable, Callable

from onward.protocol.errors import NotFound
from onward.protocol.grants import Grant
from onward.protocol.model import Upload, UploadId
from onward.storage.base import Missing

MOST = 20_000  # owners that are remembered
Load = Callable[[UploadId], Awaitable[Upload]]  # asks the store, also for a record that is remembered


class Owners:
    """The owners of uploads; `load` returns a record and raises Missing."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._known: dict[UploadId, str | None] = {}

    async def check(self, grant: Grant, id: UploadId) -> None:
        """Check that a grant concerns an upload. Raises NotFound, and what `load` raises but Missing.

        An upload that the grant must not see takes the same steps as an unknown one, each time: the store is asked for
        the record, and nothing is remembered here.
        """
        if id in self._known and grant.sees(id, self._known[id]):
            return
        try:
            upload = await self._load(id)
        except Missing:
            raise NotFound from None
        if not grant.sees(id, upload.owner):
            raise NotFound
        self.remember(upload)

    def remember(self, upload: Upload) -> None:
        """Remember the owner of an upload, so that the store need not be asked for it."""
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[upload.id] = upload.owner
