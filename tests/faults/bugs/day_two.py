"""Bugs of what operators do with a server that runs: backups, and restarts one after the other."""

from bugs.bug import Bug

BACKUP = "tests/server/test_backup.py"
STOPPING = "tests/faults/test_stopping.py"
RESTARTS = "tests/deploy/test_rolling_restart.py"
COPIED = "        shutil.copyfile(source, new, follow_symlinks=False)\n"
FILES = "    count, size = await asyncio.to_thread(copy_files, config, target)\n"

BUGS = (
    Bug(
        "dt1", "a backup leaves out the last byte of each file", "server/control/backup.py",
        COPIED,
        f"{COPIED}        os.truncate(new, max(new.stat().st_size - 1, 0))\n",
        f"{BACKUP} -k=sqlite-flat",
    ),
    Bug(
        "dt2", "a backup has the file of the database without its journal", "storage/state/sqlite.py",
        '            db.execute("VACUUM INTO ?", (str(path),))\n',
        '            path.write_bytes(Path(db.execute("PRAGMA database_list").fetchone()[2]).read_bytes())\n',
        f"{BACKUP} -k=sqlite-flat",
    ),
    Bug(
        "dt3", "a backup over Redis has no copies of the records", "server/control/backup.py",
        'FOLDERS = ("records", "partial", "files")',
        'FOLDERS = ("partial", "files")',
        f"{BACKUP} -k=redis-flat",
    ),
    Bug(
        "dt4", "a second backup into the same folder keeps what has grown", "server/control/backup.py",
        '                if folder != "files" or not _is_same(source, copy):\n',
        "                if not copy.exists():\n",
        f"{BACKUP} -k=sqlite-flat",
    ),
    Bug(
        "dt5", "a backup copies the state after the files", "server/control/command_line.py",
        "    target = prepare(config, folder)\n",
        f"    target = prepare(config, folder)\n{FILES}",
        f"{BACKUP} -k=sqlite-flat",
        more=((f"            return FAILED\n{FILES}", "            return FAILED\n"),),
    ),
    Bug(
        "dt6", "a server that stops lets running bodies go on", "server/lifespan.py",
        "        app[ENGINE].stop()\n",
        "",
        RESTARTS,
    ),
    Bug(
        "dt7", "a server that stops refuses bodies for good", "server/uploads/interrupt.py",
        'list(self._works):\n            work.cut(Unavailable("The server is stopping."))\n',
        'list(self._works):\n            work.cut(Gone("The server is stopping."))\n',
        RESTARTS,
        more=(("import Locked, Refusal", "import Gone, Locked, Refusal"),),
    ),
    Bug(
        "dt8", "a server that stops is ready", "server/lifespan.py",
        "        app[HEALTH].stopping = True\n",
        "",
        f"{STOPPING} -k=in_order",
    ),
)  # fmt: skip
