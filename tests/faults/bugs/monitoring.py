"""Bugs of metrics and logs."""

from bugs.bug import Bug

METRICS = "tests/server/test_metrics.py"
LOST_CLIENTS = "tests/server/test_lost_clients.py"
FORMAT = "tests/server/test_log_format.py"

BUGS = (
    Bug(
        "mo1",
        "a worker that is started again counts from 0",
        "server/shared_numbers.py",
        "            total[key] = self._before[key] + numbers[key]\n",
        "            total[key] = numbers[key]\n",
        f"{METRICS} -k=outlive",
    ),
    Bug(
        "mo2",
        "the bodies of a dead worker run for ever",
        "server/shared_numbers.py",
        "                if running or key[0] not in self._of_now:\n",
        "                if pid:\n",
        f"{METRICS} -k=end_with_their_process",
    ),
    Bug(
        "mo3",
        "the routes for operators stay on the main listener",
        "server/health.py",
        "    if not app[CONFIG].ops_listen:\n",
        "    if True:\n",
        f"{METRICS} -k=listener_of_their_own",
    ),
    Bug(
        "mo4",
        "the buckets of a histogram are not cumulative",
        "server/metrics.py",
        "            below[tuple(own)] = below.get(tuple(own), 0) + number\n",
        "            below[tuple(own)] = number\n",
        f"{METRICS} -k=tell_what_was_done",
    ),
    Bug(
        "mo5",
        "the query of a request, which may have a token, is logged",
        "server/http/request_log.py",
        "        route=resource.canonical if resource is not None else None,\n",
        "        route=request.path_qs,\n",
        f"{FORMAT} -k=never_logged",
    ),
    Bug(
        "mo6",
        "any peer may say which client it is",
        "server/http/proxies.py",
        " or not _trusts(trusted, peer):\n        return peer or UNIX\n",
        ":\n        return peer or UNIX\n",
        f"{FORMAT} -k=trusted_proxy",
    ),
    Bug(
        "mo7",
        "the id of a request may be anything",
        "server/http/request_log.py",
        "brought is not None and _SANE.fullmatch(brought)",
        "brought",
        f"{FORMAT} -k=not_plain",
    ),
    Bug(
        "mo8",
        "a metric that the alert rules ask for is renamed",
        "server/metrics.py",
        '    "onward_events_failed": ("Events that were given up.", ()),\n',
        '    "onward_events_refused": ("Events that were given up.", ()),\n',
        f"{METRICS} -k=names_only_what",
    ),
    Bug(
        "mo9",
        "the bytes before the offset of a resumed upload are counted once more",
        "server/uploads/body_records.py",
        "        self._began, self._counted = self._clock.elapsed(), upload.offset\n",
        "        self._began, self._counted = self._clock.elapsed(), 0\n",
        "tests/server/test_health.py -k=counted_once",
    ),
    Bug(
        "mo10",
        "a short body whose client has left is neither counted nor logged",
        "server/http/transport/connection.py",
        "                way.note_lost(asked)\n",
        "                pass\n",
        f"{LOST_CLIENTS} -k=has_left",
    ),
    Bug(
        "mo11",
        "a request whose client leaves is neither counted nor logged",
        "server/http/problems.py",
        "        note_answer(request, web.Response(status=LEFT))\n        raise\n",
        "        raise\n",
        f"{LOST_CLIENTS} -k=for_the_lease",
    ),
    Bug(
        "mo12",
        "what is no HTTP is not counted",
        "server/http/transport/server.py",
        "            self._limits.measures = engine.records.measures\n",
        "            pass\n",
        f"{LOST_CLIENTS} -k=no_request",
    ),
)
