"""Copies of records that are kept open."""

from bugs.bug import Bug

COPIES = "storage/blobs/open_copies.py"
TESTS = "tests/storage/test_open_copies.py"

BUGS = (
    Bug(
        "oc1", "a copy that another server has replaced is read from its old file", COPIES,
        "        if (found.st_dev, found.st_ino) != copy.identity:\n",
        "        if not found.st_ino:\n",
        f"{TESTS} -k=as_new",
    ),
    Bug(
        "oc2", "a copy that was read once is not read again", COPIES,
        "        if slots != copy.slots:\n",
        "        if copy.newest is None:\n",
        f"{TESTS} -k=as_new",
    ),
    Bug(
        "oc3", "copies are kept open where other machines may write", COPIES,
        "FLAGS.get(_file_system(fd)), True\n",
        "FLAGS.get(_file_system(fd), 0), True\n",
        f"{TESTS} -k=other_machines",
    ),
    Bug(
        "oc4", "a copy of which only a part is in memory counts as damaged", "storage/blobs/backups.py",
        "            return None\n    return _newest(",
        "            pass\n    return _newest(",
        f"{TESTS} -k=waiting",
    ),
    Bug(
        "oc5", "the copies that are kept open become more and more", COPIES,
        "        if len(self._copies) > MOST:\n",
        "        if not self._copies:\n",
        f"{TESTS} -k=only_some",
    ),
    Bug(
        "oc6", "a HEAD is told what a Redis says that has lost its newest records", "storage/recovery.py",
        "            None if record and copy and copy.version > record.version else record\n",
        "            record\n",
        "tests/storage/test_recovery.py -k=not_at_rest",
        more=(("            for record, copy in zip(records, copies, strict=True)\n", "            for record, _ in zip(records, copies, strict=True)\n"),),
    ),
)  # fmt: skip
