"""Tokens, owners and links."""

from bugs.bug import Bug

BUGS = (
    Bug(
        "access-1", "any algorithm of a token is verified with any key", "server/access/tokens.py",
        "        elif self._key_set is not None and algorithm in ALGORITHMS:\n"
        "            key = await self._key_set.find(algorithm, key_id)\n",
        "        else:\n            key, algorithm = self._key, OWN\n"
        "            self._jws.decode_complete = lambda token, key, algorithms: __import__('jwt').PyJWS().decode_complete(\n"
        "                token, options={'verify_signature': False})\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-2", "a remembered token never expires", "server/access/tokens.py",
        "            if now < (grant.expires or 0.0) + LEEWAY:\n                return grant\n"
        "            del self._known[token]\n",
        "            return grant\n",
        "tests/server/test_key_set.py",
    ),
    Bug(
        "access-3", "the owner is not compared where a body comes", "server/http/access.py",
        "    if id is None:\n        return\n    check",
        "    if id is None or act is Act.APPEND:\n        return\n    check",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-4", "parts of somebody else are joined", "server/http/access.py",
        "    for part in creation.concat.parts if creation.concat else ():\n"
        "        await check_access(request, Act.JOIN, part)\n",
        "",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-5", "whose upload it is does not matter once it is remembered", "server/access/owners.py",
        "        if id in self._known and grant.sees(id, self._known[id]):\n",
        "        if id in self._known:\n",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-6", "a token in the query of any method", "server/http/bearer.py",
        '    if asked and not (reads and request.method == "GET"):\n',
        "    if asked and False:\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-7", "a second header Authorization does not matter", "server/http/bearer.py",
        "    if len(headers) > 1:\n",
        "    headers = headers[-1:]\n    if False:\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-8", "a token for another audience", "protocol/claims.py",
        "    if audience is None or audience not in (told if isinstance(told, list) else [told]):\n",
        "    if audience is None:\n",
        "tests/server/test_forged_tokens.py",
    ),
    Bug(
        "access-9", "the types of a token are forgotten", "protocol/decisions.py",
        "        types=request.types,\n",
        "",
        "tests/server/test_who_may.py",
    ),
    Bug(
        "access-10", "a watcher outlives its token", "server/watch/routes.py",
        "        watcher.leave_after(seconds_left(request, grants))\n",
        "",
        "tests/server/test_tokens_and_applications.py -k=watchers",
    ),
    Bug(
        "link-1", "a token goes to every origin", "client/origin_headers.py",
        "        if _origin_of(request.url) == origin:\n",
        "        if origin:\n",
        "tests/client/test_tokens.py -k=no_other_origin",
    ),
    Bug(
        "link-2", "a token is repeated after Ctrl-C", "client/cli/__init__.py",
        "        command = command.replace(token or HIDDEN, HIDDEN)\n",
        "        pass\n",
        "tests/client/test_tokens.py -k=keeps_the_token",
    ),
    Bug(
        "link-3", "a token stays in the address bar", "server/page/static/token.js",
        "  history.replaceState(null, '', String(words) ? `#${words}` : location.pathname + location.search)\n",
        "",
        "tests/page/test_links.py -k=no_trace",
    ),
    Bug(
        "link-4", "an expired link forgets the upload", "server/page/static/transfer.js",
        "(fault.status && !DENIED.has(fault.status))",
        "fault.status",
        "tests/page/test_links.py -k=resumed",
    ),
    Bug(
        "access-11", "paths that are no uploads need no token", "server/http/routes.py",
        "            await check_token(request, ACTS.get(method, Act.APPEND))\n            raise NotFound",
        "            raise NotFound",
        "tests/server/test_who_may.py -k=paths",
    ),
    Bug(
        "access-12", "owners share the keys of their creations", "server/http/access.py",
        "build_creation_key(key, creation.owner, asked)",
        "build_creation_key(key, None, asked)",
        "tests/server/test_who_may.py -k=key_of_a_creation",
    ),
    Bug(
        "access-13", "a foreign upload that is remembered is refused faster", "server/http/access.py",
        "load(id, fresh=True)",
        "load(id)",
        "tests/server/test_equal_steps.py -k=sqlite",
    ),
    Bug(
        "access-14", "an unknown upload is looked for twice in Redis", "storage/recovery.py",
        "                record = await self._state.load(id, fresh=fresh)\n"
        "            except Missing:\n                if not await self._adopt(id):\n                    raise\n",
        "                record = await self._state.load(id, fresh=fresh)\n"
        "            except Missing:\n                if not await self._adopt(id):\n"
        "                    await self._state.load(id)\n",
        "tests/server/test_equal_steps.py -k=redis",
    ),
    Bug(
        "access-15", "a flood of bad tokens is answered at once", "server/access/pace.py",
        "    return max(full - now - BURST / RATE, 0.0)\n",
        "    return 0.0\n",
        "tests/server/test_pace.py",
    ),
)  # fmt: skip
