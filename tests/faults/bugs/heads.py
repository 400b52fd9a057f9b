"""HEAD that is answered past aiohttp's requests."""

from bugs.bug import Bug

CONNECTION = "server/http/transport/connection.py"
HALF_CLOSED = "tests/server/test_half_closed.py"
TESTS = "tests/server/test_fast_heads_on_connections.py"

BUGS = (
    Bug(
        "hd1", "HEAD is answered at once although a request holds the lease", "storage/state/local.py",
        "        return None if self._leases.held(id) else self._in_memory(id)\n",
        "        return self._in_memory(id)\n",
        f"{TESTS} -k=holds_the_lease",
    ),
    Bug(
        "hd2", "HEAD is answered at once although an earlier answer is not written", CONNECTION,
        " or self.transport.get_write_buffer_size():\n",
        ":\n",
        f"{TESTS} -k=not_taken",
    ),
    Bug(
        "hd3", "of two requests that come together the last one is answered", CONNECTION,
        "        if len(self._messages) != 1 or isinstance",
        "        if isinstance",
        f"{TESTS} -k=in_their_order",
    ),
    Bug(
        "hd4", "a connection is idle while the state is asked", CONNECTION,
        "                if self._later is None:\n                    self._waiter = waiter\n",
        "                self._waiter = waiter\n",
        f"{TESTS} -k=waits_for_its_turn",
    ),
    Bug(
        "hd5", "HEAD passes the middleware of an application", "server/http/fast_heads.py",
        "    return app.get(BUILT) == parts_of(app) and ",
        "    return BUILT in app and ",
        f"{TESTS} -k=adds",
    ),
    Bug(
        "hd6", "HEAD passes the access function of an application", "server/http/fast_heads.py",
        " and app[ACCESS] is allow_everything and ",
        " and ",
        f"{TESTS} -k=adds",
    ),
    Bug(
        "hd7", "a connection whose client has closed its side stays open", CONNECTION,
        "            if self._close or self._force_close:  # asked for while this was the current request\n                self.force_close()\n",
        "",
        f"{TESTS} -k=sending_side",
    ),
    Bug(
        "hd8", "a failed upload is told at once as if it were open", "server/uploads/offset_lookup.py",
        " or resting.status not in PLAIN or ",
        " or ",
        "tests/server/test_fast_heads.py -k=both_ways",
    ),
    Bug(
        "hd9", "requests that wait behind the end of their client's side are dropped", CONNECTION,
        "        if self._messages:\n            self._half_closed = True\n        else:\n            self.close()\n",
        "        self.close()\n",
        f"{HALF_CLOSED} -k=for_their_turn",
    ),
    Bug(
        "hd10", "a connection stays open after the last answer to a client that has closed its side", CONNECTION,
        "        if self._half_closed and not self._messages:\n            self.close()\n",
        "",
        f"{HALF_CLOSED} -k=for_their_turn",
    ),
    Bug(
        "hd11", "the requests before one that can't be answered are dropped", CONNECTION,
        "            if not waits or is_first:\n",
        "            if not waits or self._messages:\n",
        f"{HALF_CLOSED} -k=cannot_be_answered",
    ),
)  # fmt: skip
