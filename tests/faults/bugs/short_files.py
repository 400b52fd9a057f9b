"""Bugs of short uploads, which are stored and published in one step before they have a record; of the clean-up."""

from bugs.bug import Bug

CRASHES = "tests/faults/test_crashes.py -k=brought"
SHORT = "tests/server/test_short_patches.py"
ORDER = "tests/faults/test_order.py -k=short_patch"
PATCHES = "tests/faults/test_crashes.py -k=short"
BUGS = (
    Bug(
        "short1", "a short file is recorded and not synced", "storage/blobs/short_files.py",
        "            self._publishing.protect(fd)\n",
        "            os.fchmod(fd, 0o440)\n",
        CRASHES,
    ),
    Bug(
        "short2", "a short file gets its name before it is synced", "storage/blobs/short_files.py",
        "            self._write(fd, data)\n            self._sync_folder(self._partial)\n",
        "            os.link(mark, final, follow_symlinks=False)\n"
        "            self._write(fd, data)\n            self._sync_folder(self._partial)\n",
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
        "            self._write(fd, data)\n            self._sync_folder(self._partial)\n",
        "            self._write(fd, data)\n",
        CRASHES,
    ),
    Bug(
        "short6", "the name of a short file is not durable", "storage/blobs/short_files.py",
        '            os.link(mark, final, follow_symlinks=False)\n            reach("renamed")\n'
        "            self._sync_folder(self._files)\n",
        '            os.link(mark, final, follow_symlinks=False)\n            reach("renamed")\n',
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
        "strays1", "the clean-up removes finished files that have a full stop in their name", "storage/blobs/strays.py",
        'return folder == "partial" or bool(_TEMPORARY.fullmatch(name)) or (folder == "records" and "." in name)',
        'return folder == "partial" or "." in name',
        "tests/storage/test_disk.py -k=is_a_stray",
    ),
    Bug(
        "short9", "a short PATCH gives its file the name before it is synced", "storage/blobs/short_files.py",
        '            self._write(fd, data)\n            reach("sealing")\n            unfinished.rename(self._files / id)\n',
        "            unfinished.rename(self._files / id)\n            self._write(fd, data)\n",
        PATCHES,
    ),
    Bug(
        "short10", "the name that a short PATCH gives is not durable", "storage/blobs/short_files.py",
        "            self._sync_folder(self._files)\n            self._sync_folder(self._partial)\n",
        "            self._sync_folder(self._partial)\n",
        ORDER,
    ),
    Bug(
        "short11", "a short PATCH is answered before it is recorded", "server/uploads/short.py",
        "        completed = await self._records.end(completed, last=True)\n",
        '        __import__("asyncio").ensure_future(self._records.end(completed, last=True))\n',
        PATCHES,
    ),
    Bug(
        "short12", "the usual way leaves a file that was published and not recorded", "storage/blobs/disk.py",
        "        self.short.begin(path.name)\n",
        "",
        SHORT,
    ),
    Bug(
        "short13", "a short PATCH writes into the file of an earlier one", "storage/blobs/short_files.py",
        "            path.unlink()\n            return os.open(path, flags, 0o600)\n",
        "            return os.open(path, flags & ~os.O_EXCL, 0o600)\n",
        SHORT,
    ),
    Bug(
        "short14", "servers that share a state publish short bodies at once", "server/uploads/short.py",
        "records.storage.blobs.short if records.storage.state.is_own and not usual else None",
        "records.storage.blobs.short if not usual else None",
        SHORT,
    ),
    Bug(
        "short15", "the beginning of a body removes what another server has published", "storage/blobs/short_files.py",
        "        if self._shared:\n            return\n",
        "",
        SHORT,
    ),
    Bug(
        "short16", "a short part is published", "server/uploads/short.py",
        "        if upload.role is not Role.SINGLE or upload.types:\n            return None\n",
        "        if upload.types:\n            return None\n",
        SHORT,
    ),
    Bug(
        "short17", "what a short PATCH has replaced may come back", "storage/blobs/short_files.py",
        "            self._sync_folder(self._files)\n            self._sync_folder(self._partial)\n",
        "            self._sync_folder(self._files)\n",
        PATCHES,
    ),
)  # fmt: skip
