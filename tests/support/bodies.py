"""Bodies without HTTP that tests make up: whatever gives blocks can be poured."""

from server.inlet import Inlet
from server.receive import Blocks, pour_blocks


class Poured:
    """What every body of blocks has in common."""

    async def pour(self: Blocks, inlet: Inlet, most: int, until: float) -> None:
        """Let in what the test gives."""
        await pour_blocks(self, inlet, most, until)
