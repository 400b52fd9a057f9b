"""The operator's lists, the socket for the operator's commands, and what systemd passes and is told."""

from bugs.bug import Bug

RESUME = "tests/client/test_resume_file.py"

BUGS = (
    Bug(
        "60", "a status that changes is not listed", "storage/state/sqlite.py",
        "(encode(saved), saved.status, *",
        "(encode(saved), upload.status if known is None else known.status, *",
        "tests/storage/test_pages.py -k=statuses_choose",
    ),
    Bug(
        "61", "Redis lists what was forgotten", "storage/state/redis/scripts.py",
        "redis.call('ZREM', KEYS[6], ARGV[1])\n",
        "",
        "tests/storage/test_pages.py -k=forgotten",
    ),
    Bug(
        "62", "an adopted upload is not listed", "storage/state/redis/scripts.py",
        "  redis.call('ZADD', KEYS[6], ARGV[10], ARGV[5])\n  own",
        "  own",
        "tests/server/test_control.py -k=over_redis",
    ),
    Bug(
        "63", "a page ends although a bucket has run out", "storage/state/redis/listing.py",
        "if reader.more and not reader.offered]",
        "if reader.more and not reader.offered and reader.last == after]",
        "tests/storage/test_pages.py -k=on_one_page",
    ),
    Bug(
        "64", "everybody may give commands", "server/control/channel.py",
        "            os.chmod(NAME, MODE, dir_fd=fd)",
        "            os.chmod(NAME, 0o666, dir_fd=fd)",
        "tests/server/test_control.py -k=only_the_user",
    ),
    Bug(
        "65", "the socket of a killed server is in the way", "server/control/channel.py",
        "    os.unlink(NAME, dir_fd=fd)\n",
        "",
        "tests/server/test_control.py -k=killed_server",
    ),
    Bug(
        "66", "an answer that was cut is taken for a whole one", "server/control/caller.py",
        '        raise OSError("the server has ended before it answered everything")\n',
        "",
        "tests/server/test_control.py -k=dies_in_the_middle",
    ),
    Bug(
        "67", "whoever reads the list slowly keeps the state", "server/control/caller.py",
        "        if config.is_shared:\n            async for answer in answers:",
        "        if True:\n            async for answer in answers:",
        "tests/server/test_control.py -k=left_open",
    ),
    Bug(
        "j5", "entries of former versions of a file stay", "client/resume_file.py",
        "glob(f\"{self._path.stem[:PLACE]}*.json\")",
        "glob(f\"{self._path.stem}*.json\")",
        f"{RESUME} -k=former",
    ),
    Bug(
        "j6", "an entry that another process uses is removed", "client/resume_file.py",
        "                if (fd := lock_file(former.with_suffix(LOCK))) is not None:\n"
        "                    former.unlink(missing_ok=True)\n",
        "                former.unlink(missing_ok=True)\n"
        "                if (fd := lock_file(former.with_suffix(LOCK))) is not None:\n",
        f"{RESUME} -k=former",
    ),
    Bug(
        "j7", "a lock that is held is removed", "client/resume_file.py",
        "    if (fd := lock_file(lock)) is not None:\n        path.with_suffix",
        "    if (fd := lock_file(lock)) is None:\n        lock.unlink()\n    else:\n        path.with_suffix",
        f"{RESUME} -k=held",
    ),
    Bug(
        "j1", "a small file gets another key in each process", "client/journal.py",
        "if again or file not in self._entries:",
        "if True:",
        "tests/client/test_many_files.py -k=survives",
    ),
    Bug(
        "j2", "a small file is sent without its key", "client/small_file.py",
        "{**said, HEADER: key(said)}",
        "said",
        "tests/client/test_many_files.py -k=killed",
    ),
    Bug(
        "j3", "a small file is sent although it is another one by now", "client/small_file.py",
        "or identity(Path(expected.path), status) != expected:",
        "or status.st_size != expected.size:",
        "tests/client/test_read_ahead.py -k=as_planned",
    ),
    Bug(
        "j4", "small files that were read and not sent stay locked", "client/cli/read_ahead.py",
        "                ready.unlock()\n        self._unlock_ended()",
        "                pass\n        self._unlock_ended()",
        "tests/client/test_read_ahead.py -k=not_sent",
    ),
    Bug(
        "systemd", "the sockets of another process are taken", "server/systemd.py",
        "    if os.environ.get(OWNER) != str(os.getpid()):",
        "    if OWNER not in os.environ:",
        "tests/server/test_systemd.py -k=another_process",
    ),
)  # fmt: skip
