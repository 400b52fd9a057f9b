"""What a request has done already when it comes to the slow path, which then only answers it.

A request that `fast_bodies.py` has begun may fail: its work is refused, or a store has a fault. The slow path
knows how each of these is answered. So the request is handed on together with the results of its steps, and a handler
that comes to such a step gets the result instead of doing it again.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar, cast

from aiohttp import web

T = TypeVar("T")


class CompletedSteps(NamedTuple):
    """The results of the steps of a request, in their order; the last one may be what the step raised."""

    request_id: str
    began: float  # monotonic
    steps: list[Any]


COMPLETED_STEPS: web.RequestKey[CompletedSteps] = web.RequestKey("done", CompletedSteps)


def take_completed_steps(request: web.Request) -> CompletedSteps | None:
    """Return what the request has done, and remember it in the request; None for nearly all requests."""
    connection: Any = request.protocol  # one of aiohttp's own has no `done`
    done: CompletedSteps | None = getattr(connection, "done", None)
    if done is not None:
        connection.done = None
        request[COMPLETED_STEPS] = done
    return done


async def do_once(request: web.Request, step: Callable[[], Awaitable[T]]) -> T:
    """Do a step of a request, or return or raise what it has returned or raised already."""
    done = request.get(COMPLETED_STEPS)
    if done is None or not done.steps:
        return await step()
    result = done.steps.pop(0)
    if isinstance(result, Exception):
        raise result
    return cast("T", result)
