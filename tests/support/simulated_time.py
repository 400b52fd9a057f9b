"""An event loop in which time passes by itself: whenever all tasks sleep, it is at once the time when one wakes up.

For code that waits by asyncio only, without threads and without the network.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Skipping(selectors.DefaultSelector):
    """Instead of waiting, it lets the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "all tasks wait for something that never comes"
            self.now += max(timeout, 0.0)
        return found


def run_simulated(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in simulated time, which begins at 0."""
    selector = _Skipping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
