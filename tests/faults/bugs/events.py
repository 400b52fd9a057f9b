"""Events for webhooks, and the outbox where they wait."""

from bugs.bug import Bug

BUGS = (
    Bug(
        "e1", "an event is queued before its record is saved", "storage/state/sqlite.py",
        "            if db.execute(_UPDATE, (*new, upload.id, upload.version)).rowcount == 1:\n"
        "                sqlite_outbox.put(db, events)\n",
        "            sqlite_outbox.put(db, events)\n"
        "            if db.execute(_UPDATE, (*new, upload.id, upload.version)).rowcount == 1:\n",
        "tests/storage/test_outbox_contract.py -k=refused",
    ),
    Bug(
        "e2", "an event is queued after its record, in a step of its own", "storage/state/sqlite.py",
        "            sqlite_outbox.put(db, events)\n            self._changed_from(None",
        "            self._changed_from(None",
        "tests/storage/test_sqlite.py -k=in_the_transaction",
        (
            (
                "        self._remember(upload)\n\n    async def load",
                "        await self._do(lambda db: sqlite_outbox.put(db, events))\n"
                "        self._remember(upload)\n\n    async def load",
            ),
        ),
    ),
    Bug(
        "e3", "an event is removed before it is taken: a crash loses it", "server/events/delivery.py",
        "            await line.target.deliver(event, self._clock())\n",
        "            await self.outbox.delivered(event, self._clock())\n"
        "            await line.target.deliver(event, self._clock())\n",
        "tests/faults/test_outbox.py -k=sqlite --cycles=250 --seed=1",
    ),
    Bug(
        "e4", "a later event does not wait for an earlier one", "storage/state/sqlite_outbox.py",
        "AND NOT failed) THEN NULL ELSE ? END, 0, 0",
        "AND failed) THEN NULL ELSE ? END, 0, 0",
        "tests/faults/test_outbox.py -k=sqlite --cycles=250 --seed=1",
    ),
    Bug(
        "e5", "over Redis the last event of a queue goes first", "storage/state/redis/outbox_scripts.py",
        "'ZRANGEBYSCORE', queue, '-inf', '+inf', 'LIMIT'",
        "'ZREVRANGEBYSCORE', queue, '+inf', '-inf', 'LIMIT'",
        "tests/storage/test_outbox_contract.py -k=come_in_order",
    ),
    Bug(
        "e6", "each attempt has an id of its own", "server/events/webhook.py",
        "**self._signer.sign(event.id, now, event.body)}",
        '**self._signer.sign(f"{event.id}{now}", now, event.body)}',
        "tests/faults/test_outbox.py -k=sqlite --cycles=250 --seed=1",
    ),
    Bug(
        "e7", "an adopted upload is not told of", "storage/recovery.py",
        "created=told.created(copy), ended=told.ended(copy))",
        "created=(), ended=())",
        "tests/storage/test_lost_outbox.py",
    ),
    Bug(
        "e8", "an end is told again after a later save was lost", "storage/state/redis/scripts.py",
        " and not has_status(ARGV[11])\n",
        "\n",
        "tests/storage/test_lost_outbox.py -k=later_save",
    ),
    Bug(
        "e9", "receivedBytes falls below uploadedBytes", "protocol/progress.py",
        "    received = max(received, offset) if sending else offset\n",
        "    received = received if sending else offset\n",
        "tests/protocol/test_progress.py",
    ),
)  # fmt: skip
