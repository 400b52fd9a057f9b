"""Stores whose places move or fill up, and Redis with its buckets."""

from bugs.bug import Bug

MOVING = "tests/server/test_moving_places.py"

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
)  # fmt: skip
