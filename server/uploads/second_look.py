"""A second look for bytes that seem to be lost, before their upload fails.

A former holder of the lease may publish the bytes in the very moment in which the present one works with them: it was
suspended, or Redis has lost its lease, and its last look at that was a moment ago. It moves the file from one name to
another in one step. Whoever has seen the file under the first name, and opens it after that step, finds nothing; and a
second look finds it. Called where an upload would be given up as lost otherwise.

Nothing else is tried twice. Bytes that could not be synced may seem to be durable at the second attempt, and are not.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from onward.storage.base import Missing

T = TypeVar("T")


async def look_twice(work: Callable[[], Awaitable[T]]) -> T:
    """Do work that may be repeated; once more if it has not found a file. Raises what the work raises."""
    try:
        return await work()
    except Missing as fault:
        if not isinstance(fault.__cause__, FileNotFoundError):
            raise
    return await work()
