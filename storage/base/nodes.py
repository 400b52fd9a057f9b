"""The seam of the nodes: which of the servers that share their uploads are certainly dead.

A node whose lease ran out may be suspended in the middle of a write, and go on with it later. So the next holder of the
lease fences the bytes first (`Blobs.fence`), which may mean to copy them. If the node is certainly dead, nothing needs
to be fenced. A store that can't find that out must never call a node dead. Called by `server/uploads/records.py`.
"""

from typing import Protocol


class Nodes(Protocol):
    """The servers that use the same bytes."""

    @property
    def name(self) -> str:
        """Return the name of this process among them; no other one ever has it."""

    async def is_dead(self, name: str) -> bool:
        """Return whether a node is certainly dead: it will never write again. ANYONE is not. Raises Unreachable."""

    async def probe(self) -> None:
        """Check whether the other nodes can still see that this one is alive; raises Unreachable.

        The text of the error may be shown to anybody: it contains no path.
        """

    async def close(self) -> None:
        """Let the others see that this node is dead; called after the last write."""
