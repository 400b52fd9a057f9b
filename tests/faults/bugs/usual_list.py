"""The usual list of the faults of such servers: bytes, records and offsets."""

from bugs.bug import Bug

KILL = "tests/faults/test_kill.py::test_no_acknowledged_byte_is_lost_by_kill_9[full] --cycles=300 --seed=1"
ORDER = "tests/faults/test_order.py::test_data_are_synced_before_they_are_recorded_and_recorded_before_the_event"
SINGLE = "tests/faults/test_single_faults.py"

BUGS = (
    Bug(
        "a", "no fdatasync", "server/uploads/receive.py",
        "    if body_writer.position > noted:\n        noted = await timed(writer.sync(ended=True))\n    return noted\n",
        "    return body_writer.position\n",
        ORDER,
    ),
    Bug(
        "b", "no sync of the folders after publishing", "storage/blobs/publishing.py",
        "        self._sync_folder(final.parent)\n        self._sync_folder(unfinished.parent)\n",
        "",
        ORDER,
    ),
    Bug(
        "c", "204 before the commit", "storage/state/sqlite.py",
        "            await self._do(work, durable=durable)\n        except",
        "            asyncio.ensure_future(self._do(work, durable=durable))\n        except",
        ORDER,
    ),
    Bug(
        "d", "record before data", "server/uploads/body_writer.py",
        "        self._write(block, self.position)\n",
        '        __import__("threading").Timer(0.2, self._write, (bytes(block), self.position)).start()\n',
        ORDER,
    ),
    Bug(
        "e", "HEAD tells the size of the file", "server/uploads/engine.py",
        "        decisions.check_open(upload, self._clock())\n        return upload\n\n    async def append",
        "        file = self._storage.blobs._root / upload.place\n"
        "        if not upload.status.final and file.exists():\n"
        "            upload = replace(upload, offset=file.stat().st_size)\n"
        "        decisions.check_open(upload, self._clock())\n        return upload\n\n    async def append",
        KILL,
    ),
    Bug(
        "f", "no check of the epoch", "storage/state/sqlite.py",
        "if not self._leases.proves(upload.id, upload.epoch):",
        "if False:",
        "tests/storage/test_state_contract.py::test_a_save_without_the_lease_is_stale",
    ),
    Bug(
        "g", "a lease released by a bare DEL", "storage/state/redis/scripts.py",
        "  if holder and holder ~= token then return 0 end\n",
        "",
        f"{SINGLE}::test_a_late_release_leaves_the_lease_of_another_alone",
    ),
    Bug(
        "h", "published before verified", "server/uploads/completion.py",
        "            decisions.judge(upload, sha256)\n",
        "            if upload.role is not Role.PARTIAL:\n"
        "                upload = await self._publishing.seal(\n"
        "                    records, replace(upload, sha256=sha256), interrupt, acknowledged=False, content_type=None\n                )\n"
        "            decisions.judge(upload, sha256)\n",
        KILL,
    ),
    Bug(
        "i", "written through a buffer of the process", "storage/blobs/file_writer.py",
        "            write_all(fd, block, at)\n",
        '            self._file = getattr(self, "_file", None) or __import__("os").fdopen(__import__("os").dup(fd), "r+b")\n'
        "            self._file.seek(at)\n"
        "            self._file.write(block)\n",
        KILL,
    ),
    Bug(
        "j", "numbers read by int()", "protocol/headers.py",
        "    if not _INTEGER.fullmatch(value) or int(value) > MAX_INTEGER:",
        "    try:\n        number = int(value)\n"
        "    except ValueError:\n        number = -1\n"
        "    if not 0 <= number <= MAX_INTEGER:",
        "tests/protocol/test_headers.py::test_what_is_no_integer_is_refused",
    ),
    Bug(
        "k", "what lies behind the end is not cut off", "storage/blobs/publishing.py",
        "            os.ftruncate(fd, length)\n",
        "",
        "tests/storage/test_blobs_contract.py::test_a_seal_publishes_exactly_the_length_and_may_be_repeated",
    ),
    Bug(
        "l", "event before the commit", "storage/state/sqlite.py",
        "        try:\n            await self._do(work, durable=durable)\n",
        "        self._notify(saved)\n        try:\n            await self._do(work, durable=durable)\n",
        "tests/faults/test_order.py::test_a_watcher_gets_only_what_a_synced_record_holds",
    ),
    Bug(
        "m", "O_APPEND", "storage/blobs/files.py",
        "    fd = os.open(path, flags | os.O_NOFOLLOW",
        "    fd = os.open(path, flags | (os.O_APPEND if flags & os.O_RDWR else 0) | os.O_NOFOLLOW",
        "tests/storage/test_blobs_contract.py::test_bytes_lie_where_they_were_written",
    ),
    Bug(
        "n", "a short write taken for a whole one", "storage/blobs/files.py",
        "    while rest:\n        count = os.pwrite(fd, rest, at)\n        rest, at = rest[count:], at + count\n",
        "    os.pwrite(fd, rest, at)\n",
        "tests/storage/test_disk.py::test_a_short_write_is_finished",
    ),
    Bug(
        "o", "a failed sync tried again and trusted", "storage/blobs/file_writer.py",
        "            with mapped():\n                await self._sync(self.fd)\n",
        "            try:\n                await self._sync(self.fd)\n"
        "            except OSError:\n                await self._sync(self.fd)\n",
        f"{SINGLE}::test_a_failed_sync_is_never_tried_again_and_trusted",
    ),
    Bug(
        "p", "published before verifying is recorded", "server/uploads/body_records.py",
        "        return await self._records.save(ended, last=last and ended.status is not Status.VERIFYING)\n",
        "        return ended if ended.status is Status.VERIFYING else await self._records.save(ended, last=last)\n",
        KILL,
    ),
)  # fmt: skip
