"""Quotas of owners."""

from bugs.bug import Bug

QUOTAS = "tests/storage/test_quotas_contract.py"
REDIS_QUOTAS = "tests/storage/test_redis_quotas.py"

BUGS = (
    Bug(
        "q1", "reserve after the record", "storage/state/redis/state.py",
        "            if charged:\n                await self.quotas.reserve(upload)\n"
        "            await begin()\n"
        "            answer = await self._run(scripts.INSERT, upload.id, *arguments, events=events)\n",
        "            await begin()\n"
        "            answer = await self._run(scripts.INSERT, upload.id, *arguments, events=events)\n"
        "            if charged:\n                await self.quotas.reserve(upload)\n",
        f"{QUOTAS} -k=bytes_count",
    ),
    Bug(
        "q2", "a quota is not given back on expiry", "storage/state/redis/state.py",
        '        if b"charged" in has and upload.status in GONE:\n',
        '        if b"charged" in has and upload.status is Status.TERMINATED:\n',
        f"{QUOTAS} -k=what_ends",
    ),
    Bug(
        "q3", "a quota is given back twice", "storage/state/redis/quota_scripts.py",
        "  redis.call('HDEL', KEYS[1], ARGV[1])\n",
        "",
        f"{QUOTAS} -k=what_ends",
    ),
    Bug(
        "q4", "SQLite gives nothing back", "storage/state/sqlite_quotas.py",
        "        self._sums[known.owner] += is_now - was\n",
        "        self._sums[known.owner] += max(is_now - was, 0)\n",
        f"{QUOTAS} -k=what_ends",
    ),
    Bug(
        "q5", "a late insert is not barred", "storage/state/redis/quota_scripts.py",
        "  if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SET', KEYS[2], 'barred', 'PX', ARGV[2]) end\n",
        "",
        f"{REDIS_QUOTAS} -k=comes_after",
    ),
    Bug(
        "q6", "the sweep takes what a body has claimed", "storage/state/redis/quota_scripts.py",
        "if redis.call('EXISTS', KEYS[2]) == 1 then return {'HELD', ''} end\n",
        "",
        f"{REDIS_QUOTAS} -k=killed_server",
    ),
    Bug(
        "q7", "a suspended server settles", "storage/state/redis/quotas.py",
        "        since = self._claims.pop(upload.id, None)\n",
        "        since = None\n",
        f"{REDIS_QUOTAS} -k=suspended",
    ),
    Bug(
        "q8", "an end is not put right after a crash", "storage/state/redis/state.py",
        "            await self.quotas.mark_unsure(upload)\n",
        "            pass\n",
        f"{REDIS_QUOTAS} -k=not_given_back",
    ),
    Bug(
        "q9", "a rollback leaves the sums", "storage/state/sqlite.py",
        "        self.quotas.forget()\n",
        "        pass\n",
        "tests/storage/test_sqlite.py -k=transaction_that_fails",
    ),
    Bug(
        "q10", "bytes are stored before they are reserved", "server/uploads/quotas.py",
        "            if at + len(block) > self._end:\n",
        "            if False:\n",
        "tests/server/test_quotas.py -k=ends_at_the_quota",
    ),
    Bug(
        "q11", "what a body did not use stays reserved", "server/uploads/quotas.py",
        "                await storage.state.quotas.settle(settled)\n",
        "                pass\n",
        "tests/server/test_quotas.py -k=ends_early",
    ),
    Bug(
        "q12", "each upload has the quota for itself", "storage/state/redis/quota_scripts.py",
        "tonumber(ARGV[5]) - (sum - reserved)",
        "tonumber(ARGV[5])",
        "tests/faults/test_kill_quotas.py -k=hundred",
    ),
    Bug(
        "q13", "the list of an owner forgets its place", "storage/state/redis/listing.py",
        "            return Page(page.uploads, page.damaged, places[count - 1])\n",
        "            return page\n",
        "tests/storage/test_pages.py -k=owner_has",
    ),
    Bug(
        "q14", "an adopted record has reserved what an older one said", "storage/state/redis/state.py",
        "            await self.quotas.restore(upload)\n",
        "            pass\n",
        f"{REDIS_QUOTAS} -k=adopted_from",
    ),
    Bug(
        "q15", "a reservation is held against a record that is older than its copy", "storage/recovery.py",
        "        state.refresh_before_examination(self._refresh)\n",
        "",
        f"{REDIS_QUOTAS} -k=that_is_newer",
    ),
)  # fmt: skip
