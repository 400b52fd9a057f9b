"""Bugs of short uploads, which are stored and published in one step before they have a record; of the clean-up."""

from bugs.bug import Bug

CRASHES = "tests/faults/test_crashes.py -k=brought"
BUGS = (
    Bug(
        "short1", "a short file is recorded and not synced", "storage/blobs/short_files.py",
        "                self._publishing.protect(fd)\n",
        "                os.fchmod(fd, 0o440)\n",
        CRASHES,
    ),
    Bug(
        "short2", "a short file gets its name before it is synced", "storage/blobs/short_files.py",
        "                self._publishing.protect(fd)\n",
        "                os.link(mark, final, follow_symlinks=False)\n                self._publishing.protect(fd)\n",
        CRASHES,
        more=(('            reach("sealing")\n            os.link(mark, final, follow_symlinks=False)\n', ""),),
    ),
    Bug(
        "short3", "a short upload is answered before it is recorded", "server/uploads/short.py",
        "                await self._records.insert_completed(upload, completed)\n",
        '                __import__("asyncio").ensure_future(self._records.insert_completed(upload, completed))\n',
        CRASHES,
    ),
    Bug(
        "short4", "a short file with the wrong SHA-256 is published", "server/uploads/short.py",
        "            decisions.judge(upload, sha256)\n",
        "",
        CRASHES,
    ),
    Bug(
        "short5", "the mark of a short file is not durable", "storage/blobs/short_files.py",
        "            self._sync_folder(self._partial)\n",
        "",
        CRASHES,
    ),
    Bug(
        "short6", "the name of a short file is not durable", "storage/blobs/short_files.py",
        '            reach("renamed")\n            self._sync_folder(self._files)\n',
        '            reach("renamed")\n',
        CRASHES,
    ),
    Bug(
        "short7", "the clean-up removes a file whose record is on its way", "server/uploads/sweep.py",
        "            if id_ in self._records.unrecorded:",
        "            if id_ in ():",
        "tests/server/test_short_uploads.py -k=on_its_way",
    ),
    Bug(
        "short8", "a mark is removed before the file that it marks", "storage/blobs/disk.py",
        "        for folder in reversed(FOLDERS):",
        "        for folder in FOLDERS:",
        "tests/server/test_short_uploads.py -k=to_the_last",
    ),
    Bug(
        "short9", "the clean-up removes finished files that have a full stop in their name", "storage/blobs/strays.py",
        'return folder == "partial" or bool(_TEMPORARY.fullmatch(name)) or (folder == "records" and "." in name)',
        'return folder == "partial" or "." in name',
        "tests/storage/test_disk.py -k=is_a_stray",
    ),
)  # fmt: skip
