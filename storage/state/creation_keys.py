"""The keys of creations in memory: a dictionary. Those in SQLite and Redis are in files of their own."""

from onward.protocol.model import UploadId
from onward.storage.base import Binding


class MemoryCreationKeys:
    """Keys in a dictionary, each with the time at which it ends."""

    def __init__(self) -> None:
        self._bound: dict[str, tuple[Binding, float]] = {}

    async def bind(
        self, key: str, binding: Binding, *, now: float, kept: float, instead_of: Binding | None = None
    ) -> Binding:
        """Bind a key, unless it is bound to another upload."""
        known, until = self._bound.get(key, (binding, now))
        if until > now and known != instead_of:
            return known
        self._bound[key] = (binding, now + kept)
        return binding

    async def unbind(self, key: str, id: UploadId) -> None:
        """Forget a key if it stands for this upload."""
        if key in self._bound and self._bound[key][0].id == id:
            del self._bound[key]

    async def tidy(self, now: float) -> None:
        """Remove the keys whose time is over."""
        self._bound = {key: bound for key, bound in self._bound.items() if bound[1] > now}
