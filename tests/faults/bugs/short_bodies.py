"""Short bodies that are stored past aiohttp's requests."""

from bugs.bug import Bug

TESTS = "tests/server/test_fast_bodies.py"
CONNECTIONS = "tests/server/test_fast_bodies_on_connections.py"

BUGS = (
    Bug(
        "sb1", "what was refused on the fast path is done once more", "server/http/completed_steps.py",
        "    if done is None or not done.steps:\n",
        "    if done is None or done:\n",
        f"{TESTS} -k=create",
    ),
    Bug(
        "sb2", "the fast path ignores Idempotency-Key", "server/http/fast_bodies.py",
        'SPECIAL = frozenset({HEADER.lower(), "upload-concat"})\n',
        'SPECIAL = frozenset({"upload-concat"})\n',
        f"{TESTS} -k=create",
    ),
    Bug(
        "sb3", "the fast path takes bodies that are too large for one request", "server/http/fast_bodies.py",
        "        self._most = min(SHORT, config.max_request or SHORT)\n",
        "        self._most = SHORT\n",
        f"{TESTS} -k=small",
    ),
    Bug(
        "sb4", "a stop does not wait for a short body", "server/http/transport/connection.py",
        "            await asyncio.wait({later.task}, timeout=timeout)\n        await super().shutdown(timeout)\n",
        "            later.task.cancel()\n        await super().shutdown(timeout)\n",
        f"{CONNECTIONS} -k=stop",
    ),
    Bug(
        "sb5", "a short body is dropped when its connection is lost", "server/http/transport/connection.py",
        "            self._waiter, self._later = self._later.waiter, None  # aiohttp ends it now\n",
        "            self._later.task.cancel()\n            self._waiter, self._later = self._later.waiter, None\n",
        f"{CONNECTIONS} -k=lost",
    ),
    Bug(
        "sb6", "an answer without a body has no length, so that its client waits for the end of the connection",
        "server/http/fast_bodies.py",
        "{} if reply.status == 204 else EMPTY", "EMPTY if reply.status == 201 else {}",
        f"{TESTS} -k=append",
    ),
)  # fmt: skip
