"""Large bodies that are received past aiohttp's requests, and recorded by the thread that has received them."""

from bugs.bug import Bug

CONNECTIONS = "tests/server/test_large_bodies_on_connections.py"
HERE = "tests/storage/test_saving_here.py"
BODIES, CONNECTION = "server/uploads/bodies.py", "server/http/transport/connection.py"
RECORDS_ITSELF = "                if writer.lasts and summed is None and not head.lacks(licence.start):\n"

BUGS = (
    Bug(
        "lb1", "bytes that are not synced are recorded by the receiving thread", BODIES,
        RECORDS_ITSELF,
        "                if summed is None and not head.lacks(licence.start):\n",
        f"{CONNECTIONS} -k=synced_first",
    ),
    Bug(
        "lb2", "a body is recorded before its checksum is judged", BODIES,
        RECORDS_ITSELF,
        "                if writer.lasts and not head.lacks(licence.start):\n",
        f"{CONNECTIONS} -k=wrong_checksum",
    ),
    Bug(
        "lb3", "the receiving thread records a body that was cut", "server/http/transport/socket_reader.py",
        "        if ended:\n            body_writer.end()\n",
        "        body_writer.end()\n",
        f"{CONNECTIONS} -k=lost",
    ),
    Bug(
        "lb4", "an older record stays in memory when a thread has saved a newer one", "storage/state/sqlite.py",
        "        self._recent.pop(upload.id, None)  # it is not known again",
        "        # it is not known again",
        HERE,
    ),
    Bug(
        "lb5", "a thread saves without the lease", "storage/state/sqlite.py",
        "        if not self._leases.proves(saved.id, saved.epoch):\n            return None\n",
        "",
        HERE,
    ),
    Bug(
        "lb6", "a receiving thread waits for the connection of the state", "storage/state/sqlite_transactions.py",
        "not self._used.acquire(blocking=False)",
        "not self._used.acquire()",
        HERE,
    ),
    Bug(
        "lb7", "watchers are not told of what a thread has saved", "storage/state/sqlite.py",
        "            self._notify(saved)\n            return self._remember(saved)\n",
        "            return self._remember(saved)\n",
        HERE,
    ),
    Bug(
        "lb8", "a client that has left is still waited for", CONNECTION,
        '                    later.interrupt.cut(Unavailable("The connection was lost."))\n',
        "                    pass\n",
        f"{CONNECTIONS} -k=first_byte",
    ),
    Bug(
        "lb9", "a body from aiohttp's stream does not end with its connection", CONNECTION,
        '                content.set_exception(exc or ConnectionResetError("the connection was lost"))\n',
        "                pass\n",
        f"{CONNECTIONS} -k=descriptor",
    ),
    Bug(
        "lb10", "what a thread has saved is saved once more", "server/uploads/body_records.py",
        "        if self._ended is not None:\n            return self._ended()\n",
        "",
        f"{CONNECTIONS} -k=follow",
    ),
    Bug(
        "lb11", "the receiving thread records the end before the stride before it", "server/uploads/body_records.py",
        "        if self._noting:\n            return\n",
        "",
        f"{CONNECTIONS} -k=stride",
    ),
    Bug(
        "lb12", "the end of a body is recorded before the stride before it", "server/uploads/receive.py",
        "                await beside.end()\n                mark(body_writer.position)\n",
        "                mark(body_writer.position)\n",
        f"{CONNECTIONS} -k=stride",
    ),
    Bug(
        "lb13", "a stride that is recorded beside the next one loses its hash", "server/uploads/body_records.py",
        "        if marked != position:",
        "        if marked:",
        f"{CONNECTIONS} -k=stride",
    ),
    Bug(
        "lb14", "a store whose place moves records beside the receiving", "server/uploads/receive.py",
        "                if not writer.steady:\n                    await beside.end()\n",
        "",
        "tests/server/test_receive.py",
    ),
    Bug(
        "lb15", "a stride that can't be recorded is forgotten", "server/uploads/receive.py",
        "            task, self._task = self._task, None\n            await task\n",
        "            await asyncio.wait({self._task})\n",
        f"{CONNECTIONS} -k=stride",
    ),
    Bug(
        "lb16", "a cancellation leaves the sync of a stride behind", "server/uploads/receive.py",
        "            await ended\n",
        "            await asyncio.wait({self._task})\n",
        "tests/server/test_receive.py -k=leaves",
    ),
    Bug(
        "lb17", "the rate of a body counts from its end", "server/uploads/body_records.py",
        "        return now - (self._clock.elapsed() - self._began)\n",
        "        took, self._began = self._clock.elapsed() - self._began, self._clock.elapsed()\n        return now - took\n",
        f"{CONNECTIONS} -k=rate",
    ),
    Bug(
        "lb18", "a record that a thread removes from memory is looked for in vain", "storage/state/sqlite.py",
        "            with suppress(KeyError):  # a thread that saves the record has removed it at this moment\n    ",
        "",
        f"{HERE} -k=looked_at",
    ),
    Bug(
        "lb19", "two threads count a step of the clock twice", "server/uploads/clock.py",
        "        with self._lock:\n            (was_at",
        "        if self:\n            (was_at",
        "tests/server/test_clock.py -k=threads",
    ),
    Bug(
        "lb20", "cancelled work is not counted until it has ended", "server/uploads/interrupt.py",
        "        task = asyncio.ensure_future(self.finish(work, interruptible))\n        try:\n            return await asyncio.shield(task)\n",
        "        task = asyncio.ensure_future(work)\n        try:\n"
        "            return await self.finish(asyncio.shield(task), interruptible)\n",
        "tests/server/test_interrupt.py",
    ),
)  # fmt: skip
