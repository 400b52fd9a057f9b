"""Named points at which a test may stop, kill or fail the process; nothing happens there otherwise."""

from collections.abc import Callable

armed: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Tell that the work is at a point; whatever a test has armed happens here."""
    if armed is not None:
        armed(name)
