"""The hints of the state in memory: a dictionary. Those in SQLite and Redis are in files of their own."""

from onward.protocol.model import UploadId


class MemoryHints:
    """Hints in a dictionary."""

    def __init__(self) -> None:
        self._ids: dict[str, UploadId] = {}

    async def get(self, key: str) -> UploadId | None:
        """Return the upload under a key."""
        return self._ids.get(key)

    async def put(self, key: str, id: UploadId | None) -> None:
        """Replace or remove a hint."""
        if id is None:
            self._ids.pop(key, None)
        else:
            self._ids[key] = id
