"""The quotas in memory: what the records say, and what bodies have claimed beyond that."""

from collections.abc import Iterable, Mapping

from onward.protocol.model import GONE, Upload, UploadId
from onward.protocol.promises import charge
from onward.storage.base import Exceeded, Usage, fitting


class MemoryQuotas:
    """Sums over all records, which are made anew each time."""

    def __init__(self, uploads: Mapping[UploadId, Upload]) -> None:
        self._uploads = uploads
        self._claimed: dict[UploadId, int] = {}

    def check(self, upload: Upload) -> None:
        """Check whether a new upload fits; raises Exceeded."""
        if (allowance := upload.allowance) is None:
            return
        if allowance.max_uploads is not None:
            tokens = [each.allowance.token for each in self._of(upload.owner) if each.allowance]
            if tokens.count(allowance.token) >= allowance.max_uploads:
                raise Exceeded(uploads=True)
        size = charge(upload)
        fitting(size, least=size, reserved=0, others=self._bytes(upload.owner), quota=allowance.quota)

    async def claim(self, upload: Upload, size: int, *, least: int) -> int:
        """Reserve more for an upload; raises Exceeded."""
        reserved = self._reserved(self._uploads[upload.id])
        others = self._bytes(upload.owner) - reserved
        quota = upload.allowance.quota if upload.allowance else None
        found = self._claimed[upload.id] = fitting(size, least=least, reserved=reserved, others=others, quota=quota)
        return found

    async def settle(self, upload: Upload) -> None:
        """Reserve what the record says."""
        self._claimed.pop(upload.id, None)

    async def usage(self, owner: str) -> Usage:
        """Return what is reserved for an owner."""
        return Usage(self._bytes(owner), len(list(self._of(owner))))

    async def put_right(self) -> None:
        """Do nothing: the records are always right."""

    def _of(self, owner: str | None) -> Iterable[Upload]:
        return (each for each in self._uploads.values() if each.owner == owner and each.status not in GONE)

    def _bytes(self, owner: str | None) -> int:
        return sum(map(self._reserved, self._of(owner)))

    def _reserved(self, upload: Upload) -> int:
        return max(charge(upload), self._claimed.get(upload.id, 0))
