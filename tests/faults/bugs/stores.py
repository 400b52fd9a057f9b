"""Stores whose places move or fill up, and Redis with its buckets."""

from bugs.bug import Bug

MOVING = "tests/server/test_moving_places.py"
LOST = "tests/faults/test_lost_redis.py"

BUGS = (
    Bug(
        "s1", "a place that has moved is not recorded", "server/uploads/body_records.py",
        "replace(self._records.carried(self._upload, now), place=writer.place),",
        "self._records.carried(self._upload, now),",
        f"{MOVING} -k=crash",
    ),
    Bug(
        "s2", "a written position recorded instead of the durable one", "server/uploads/receive.py",
        "                await note(durable, writer)\n",
        "                await note(body_writer.position, writer)\n",
        f"{MOVING} -k=crash",
    ),
    Bug(
        "s3", "a place that a fence has moved is not recorded", "server/uploads/records.py",
        "await self.save(replace(upload, place=place))",
        "replace(upload, place=place)",
        MOVING,
    ),
    Bug(
        "s4", "a full store is written to", "server/http/transport/socket_reader.py",
        "            if body_writer.full:\n",
        "            if False:\n",
        "tests/server/test_full_writer.py",
    ),
    Bug(
        "s5", "a suspended node is not fenced", "server/uploads/records.py",
        "if lease.left_by and await",
        "if not lease.left_by or not await",
        "tests/storage/test_recovery.py -k=fenced_unless",
    ),
    Bug(
        "40", "a late insert is not refused although its reservation was removed", "storage/state/redis/scripts.py",
        "  if (ARGV[9] == '1' or ARGV[11] == '1') and redis.call('EXISTS', KEYS[2]) == 1 then return 'BARRED' end\n",
        "",
        "tests/storage/test_redis_open_limit.py -k=after_its_reservation",
    ),
    Bug(
        "41", "a count removes the reservation of an upload that was just inserted", "storage/state/redis/scripts.py",
        "if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 1 then return 1 end\n",
        "",
        "tests/storage/test_redis_open_limit.py -k=during_the_count",
    ),
    Bug(
        "42", "a master that lost its records is not noticed", "storage/state/redis/state.py",
        "        return all(await self._names())\n",
        "        return any(await self._names())\n",
        "tests/storage/test_redis_cluster.py -k=adopted_from_the_backups",
    ),
    Bug(
        "43", "each bucket in turn instead of the earliest first", "storage/state/redis/due.py",
        "        count = bisect_right(waiting, earliest_end)\n",
        "        count = bisect_right(waiting, (inf, earliest_end[1]))\n",
        "tests/storage/test_redis_cluster.py -k=in_its_order",
    ),
    Bug(
        "kr1", "a last save gives the lease up although it was stale", "storage/state/redis/scripts.py",
        "if known[1] ~= ARGV[2] or redis.call('GET', KEYS[2]) ~= ARGV[9] then return 'STALE' end\n",
        "if known[1] ~= ARGV[2] or redis.call('GET', KEYS[2]) ~= ARGV[9] then\n"
        "  if ARGV[12] ~= '' then release(ARGV[9], ARGV[12], tonumber(ARGV[3])) end\n"
        "  return 'STALE'\nend\n",
        "tests/storage/test_redis.py -k=last_save",
    ),
    Bug(
        "kr2", "a last save whose answer was lost is taken for stale", "storage/state/redis/scripts.py",
        "if saved and redis.call('HGET', KEYS[1], 'document') == ARGV[1] then return done end\n"
        "if known[2] ~= ARGV[3] then return 'STALE' end\n",
        "if known[2] ~= ARGV[3] then return 'STALE' end\n"
        "if saved and redis.call('HGET', KEYS[1], 'document') == ARGV[1] then return done end\n",
        "tests/storage/test_redis.py -k=last_save",
    ),
    Bug(
        "kr3", "a lease counts as held while it may be given up", "storage/state/redis/leases.py",
        "        held.ending = last\n",
        "",
        "tests/storage/test_redis.py -k=last_save",
    ),
    Bug(
        "kr4", "answers of a lost connection are awaited on the next one", "storage/state/redis/pipelined_connection.py",
        "        self._under_way: deque[Answer[Any]] = deque()\n",
        "        self._under_way = _UNDER_WAY\n",
        "tests/storage/test_redis_connection.py",
        more=(
            (
                "        answers, self._under_way = self._under_way, deque()\n",
                "        answers = list(self._under_way)\n",
            ),
            ("_NOTHING = object()\n", "_NOTHING = object()\n_UNDER_WAY: deque[Answer[Any]] = deque()\n"),
        ),
    ),
    Bug(
        "kr5", "the last call gets the first reply", "storage/state/redis/pipelined_connection.py",
        "_settle(self._under_way.popleft(), reply)",
        "_settle(self._under_way.pop(), reply)",
        "tests/storage/test_redis_connection.py -k=own_answer",
    ),
    Bug(
        "kr6", "all is sent again after a reconnection", "storage/state/redis/pipelined_connection.py",
        "        waiting, self._waiting = self._waiting, []\n        self._connection.send(",
        "        waiting = self._waiting\n        self._connection.send(",
        "tests/storage/test_redis_connection.py -k=repeated",
    ),
    Bug(
        "kr7", "an answer goes to the next call when its own was cancelled", "storage/state/redis/pipelined_connection.py",
        "                _settle(self._under_way.popleft(), reply)\n",
        "                self._under_way = deque(each for each in self._under_way if not each.done())\n"
        "                _settle(self._under_way.popleft(), reply)\n",
        "tests/storage/test_redis_connection.py -k=cancelled",
        more=(
            ("from onward.storage.running.threads import Answer\n", ""),
            ("import asyncio\n", "import asyncio\nfrom asyncio import Future as Answer\n"),
        ),
    ),
    Bug(
        "kr8", "each call to a Redis that hangs is repeated", "storage/state/redis/pipelined_connection.py",
        "        self._away = True\n",
        "",
        f"{LOST} -k=hangs",
    ),
    Bug(
        "kr9", "a PATCH with a token waits for Redis as a HEAD does", "server/http/access.py",
        "if act is Act.INSPECT else check()",
        "if act else check()",
        f"{LOST} -k=away",
    ),
    Bug(
        "kr10", "a HEAD waits for Redis on the fast path, and once more on the slow path", "server/http/wait_for_store.py",
        "until=request[BEGAN] + ",
        "until=monotonic() + ",
        f"{LOST} -k=hangs",
    ),
    Bug(
        "kr11", "the list waits for the client library", "storage/state/redis/commands.py",
        "self.calls.end(command, within=WAIT)",
        "self.calls.end(command)",
        f"{LOST} -k=hangs",
    ),
    Bug(
        "kr12", "a record that Redis loses twice is told to be unknown", "storage/recovery.py",
        "                if not await self._adopt(id):\n                    raise\n                continue\n            copy",
        "                if not await self._adopt(id):\n                    raise\n"
        "                record = await self._state.load(id, fresh=fresh)\n            copy",
        "tests/storage/test_recovery.py -k=again_and_again",
    ),
    Bug(
        "kr13", "the kept connection trusts every certificate", "storage/state/redis/pipelined_connection.py",
        "ssl=context.get() if context else None",
        "ssl=ssl._create_unverified_context() if context else None",
        "tests/storage/test_redis_tls.py -k=trusted",
        more=(("import asyncio\n", "import asyncio\nimport ssl\n"),),
    ),
)  # fmt: skip
