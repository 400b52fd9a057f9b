"""Named points of the work at which a test may stop, kill or fail the process.

They stand where a crash would be worst: between a write and its sync, between a rename and the record of it. In
production nothing is armed, and a point costs one comparison.
"""

from collections.abc import Callable

armed: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Say that the work has reached a point; if a test has armed one, its function is called."""
    if armed is not None:
        armed(name)
