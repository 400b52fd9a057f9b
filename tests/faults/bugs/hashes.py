"""Bugs of hashes that lag behind the recorded offset between two bodies (kept_hashes.py)."""

from bugs.bug import Bug

KEPT = "tests/server/test_kept_hashes.py"
BUGS = (
    Bug(
        "hash1", "a kept hash is continued though another server has recorded more", "server/uploads/kept_hashes.py",
        "if kept is not None and replace(kept[0], epoch=recorded.epoch) == recorded and not",
        "if kept is not None and not",
        KEPT,
    ),
    Bug(
        "hash2", "the bytes that are not hashed yet are not read again", "server/uploads/kept_hashes.py",
        "                    hashing.queue.take(block)\n",
        "                    pass\n",
        KEPT,
    ),
    Bug(
        "hash3", "a hash ahead of the recorded offset is saved", "server/uploads/hashing.py",
        "return state if offset - self._behind <= count <= offset else None",
        "return state",
        KEPT,
    ),
    Bug(
        "hash4", "buffers are used again before they are hashed", "server/uploads/body_writer.py",
        "            self._queues[0].then(hashed)\n",
        "            hashed()\n",
        KEPT,
    ),
    Bug(
        "hash5", "a body is judged by its checksum before it is hashed", "server/uploads/body_writer.py",
        "licence.declared and len(queues) == 1 and queues[0].lags",
        "licence.declared and queues[0].lags",
        KEPT,
    ),
    Bug(
        "hash6", "a hash goes on behind a block that it lacks", "server/uploads/hashing.py",
        "                if not self.broken:\n                    self._hash.take(block)\n",
        "                self._hash.take(block)\n",
        "tests/server/test_hash_queue.py",
    ),
    Bug(
        "hash7", "a hash with a fault is kept", "server/uploads/kept_hashes.py",
        " == recorded and not kept[1].queue.broken:\n",
        " == recorded:\n",
        KEPT,
    ),
    Bug(
        "hash8", "after a fault a thread still works on the hash", "server/http/transport/socket_reader.py",
        "buffers, ended = _take_buffers(), False\n",
        "buffers, ended = _take_buffers(), True\n",
        KEPT,
    ),
)  # fmt: skip
