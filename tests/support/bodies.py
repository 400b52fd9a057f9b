"""Bodies without HTTP that tests make up: whatever gives blocks can be poured."""

from onward.protocol.errors import Refusal
from onward.protocol.model import Upload
from onward.server.http.transport.body import Blocks, pour_blocks
from onward.server.uploads.body_writer import BodyWriter


class Poured:
    """What every body of blocks has in common."""

    async def pour(self: Blocks, body_writer: BodyWriter, most: int, until: float) -> None:
        """Let in what the test gives."""
        await pour_blocks(self, body_writer, most, until)

    async def tell(self, _upload: Upload) -> None:
        """Tell nobody."""


class WholeBody(Poured):
    """A body that is there at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.over = not data
        self.cut_by: Refusal | None = None

    async def block(self, size: int, until: float) -> bytes:
        """Give all of it."""
        self.over = True
        return self._data

    def cut(self, why: Refusal) -> None:
        """Too late."""
