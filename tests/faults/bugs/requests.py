"""Repeated creations, the limit of one request, addresses behind proxies, and what a browser may show."""

from bugs.bug import Bug

BUGS = (
    Bug(
        "k1", "the key is bound after the upload was made", "server/uploads/create_once.py",
        "            return Created(await engine.create(request, limits=limits, id=bound.id), new=True)\n",
        "            return Created(await engine.create(request, limits=limits), new=True)\n",
        "tests/server/test_create_once.py -k=fifty",
    ),
    Bug(
        "k2", "a second insert replaces the record", "storage/state/sqlite.py",
        "                raise Stale(upload.id)\n            if most",
        "                db.execute(\"DELETE FROM uploads WHERE id = ?\", (upload.id,))\n            if most",
        "tests/storage/test_creation_keys.py -k=sqlite",
    ),
    Bug(
        "k3", "an insert over Redis finds any record its own", "storage/state/redis/scripts.py",
        "if known and known ~= ARGV[1] then return 'KNOWN' end\n",
        "",
        "tests/storage/test_creation_keys.py -k=drops_no_copy",
    ),
    Bug(
        "k4", "a key is bound twice at once", "storage/state/redis/scripts.py",
        "if known and known ~= ARGV[3] then return known end\n",
        "",
        "tests/storage/test_creation_keys.py -k=redis",
    ),
    Bug(
        "k5", "an emptied Redis has forgotten the keys", "storage/recovery.py",
        "            await self._bind_again(copy, copy.creation_key)\n",
        "            pass\n",
        "tests/storage/test_creation_keys.py -k=emptied",
    ),
    Bug(
        "k6", "keys are looked for before an emptied Redis is filled", "storage/recovery.py",
        "        await self._fill_if_empty()\n        return await self._keys.bind(",
        "        return await self._keys.bind(",
        "tests/storage/test_creation_keys.py -k=emptied",
    ),
    Bug(
        "k7", "an insert that lost drops the copy of the winner", "storage/recovery.py",
        "        except Stale:\n            raise\n",
        "",
        "tests/storage/test_creation_keys.py -k=drops_no_copy",
    ),
    Bug(
        "k8", "one key for all owners", "protocol/creation_keys.py",
        "hash=_hash((owner, key))",
        "hash=_hash((key,))",
        "tests/protocol/test_creation_keys.py -k=owner",
    ),
    Bug(
        "k9", "the body of a repeated creation is stored", "server/http/routes.py",
        "    if not created.new:\n",
        "    if False:\n",
        "tests/server/test_create_once.py",
    ),
    Bug(
        "k10", "a failed upload keeps its key", "server/uploads/create_once.py",
        "            former = bound\n            continue\n",
        "            return Created(await engine.records.load(bound.id), new=False)\n",
        "tests/server/test_create_once.py -k=ended_without",
    ),
    Bug(
        "p1", "a prefix may be anything", "server/http/proxies.py",
        "not _PREFIX.fullmatch(path) or",
        "",
        "tests/server/test_public_base.py -k=farthest",
    ),
    Bug(
        "p2", "what is beyond an unknown address is believed", "server/http/proxies.py",
        "        if not _trusts_node(trusted, node):\n            break\n        behind += 1\n",
        "        behind += 1\n",
        "tests/server/test_public_base.py -k=farthest",
    ),
    Bug(
        "p3", "SVG is shown", "server/uploads/checks/types.py",
        "    return found not in (None, SVG) and",
        "    return found is not None and",
        "tests/server/test_inline.py -k=safe",
    ),
    Bug(
        "m1", "a body in chunks may be of any size", "server/http/transport/body.py",
        "        self._room -= len(data)\n",
        "",
        "tests/server/test_max_request.py -k=chunks",
    ),
    Bug(
        "m2", "a large body is refused after it was read", "server/http/problems.py",
        "    _check_size(request)\n",
        "",
        "tests/server/test_max_request.py -k=larger",
    ),
    Bug(
        "m3", "the client does not heed the limit of the server", "client/transfer.py",
        "(self._options.chunk_size, self._connection.most)",
        "(self._options.chunk_size,)",
        "tests/server/test_max_request.py -k=pieces",
    ),
)  # fmt: skip
