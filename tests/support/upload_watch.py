"""Somebody who follows a modelled upload: nothing told is taken back, or told before it is so."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from upload_model import Model

from onward.protocol.progress import Progress
from onward.storage.base import State


class Watch:
    """All that one watcher was told."""

    def __init__(self, model: Model, stack: AsyncExitStack) -> None:
        self._model, self._stack = model, stack
        self._order, self._offset, self._final = (-1, 0), 0, False

    async def begin(self, state: State) -> None:
        """Subscribe."""
        self._state = state
        self._events: AsyncIterator[Progress] = await self._stack.enter_async_context(state.subscribe(self._model.id))
        await state.load(self._model.id)

    async def listen(self) -> None:
        """Hear what is new."""
        hearing = asyncio.ensure_future(anext(self._events))
        await asyncio.sleep(0)
        if not hearing.done():
            hearing.cancel()
            await asyncio.wait({hearing})
            return
        message = hearing.result()
        told = json.loads(message.json)
        assert message.order > self._order, "messages must become newer"
        assert told["uploadedBytes"] >= self._offset, "told bytes were taken back"
        assert told["uploadedBytes"] <= self._model.offset or self._model.parts, "told, and not stored"
        assert not self._final or message.final, "an end was taken back"
        self._order, self._offset, self._final = message.order, told["uploadedBytes"], message.final
