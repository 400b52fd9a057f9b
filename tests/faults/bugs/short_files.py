"""Bugs of short uploads, which are stored and published in one step before they have a record; of the clean-up."""

from bugs.bug import Bug

CRASHES = "tests/faults/test_crashes.py -k=brought"
SHORT = "tests/server/test_short_patches.py"
ORDER = "tests/faults/test_order.py -k=short_patch"
PATCHES = "tests/faults/test_crashes.py -k=short"
REDIS = "tests/faults/test_order.py -k=on_redis"
NODES = "tests/faults/test_short_on_nodes.py"
SHARED = "tests/faults/test_crashes.py -k=shared"
BUGS = (
    Bug(
        "short1", "a short file is recorded and not synced", "storage/blobs/short_files.py",
        "            self._publishing.protect(fd)\n",
        "            os.fchmod(fd, 0o440)\n",
        CRASHES,
    ),
    Bug(
        "short2", "a short file gets its name before it is synced", "storage/blobs/short_files.py",
        "0o600)\n        try:\n            self._write(fd, data)\n            self._sync_folder(self._partial)\n",
        "0o600)\n        try:\n            os.link(mark, final, follow_symlinks=False)\n"
        "            self._write(fd, data)\n            self._sync_folder(self._partial)\n",
        CRASHES,
        more=(('            reach("sealing")\n            os.link(mark, final, follow_symlinks=False)\n', ""),),
    ),
    Bug(
        "short3", "a short upload is answered before it is recorded", "server/uploads/short_uploads.py",
        "                await self._records.insert_completed(upload, completed)\n",
        '                __import__("asyncio").ensure_future(self._records.insert_completed(upload, completed))\n',
        CRASHES,
    ),
    Bug(
        "short4", "a short file with the wrong SHA-256 is published", "server/uploads/short_uploads.py",
        "            decisions.judge(upload, sha256)\n",
        "",
        CRASHES,
    ),
    Bug(
        "short5", "the mark of a short file is not durable", "storage/blobs/short_files.py",
        "0o600)\n        try:\n            self._write(fd, data)\n            self._sync_folder(self._partial)\n",
        "0o600)\n        try:\n            self._write(fd, data)\n",
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
        "short11", "a short PATCH is answered before it is recorded", "server/uploads/short_uploads.py",
        "        completed = await self._records.end(completed, last=True)\n",
        '        __import__("asyncio").ensure_future(self._records.end(completed, last=True))\n',
        PATCHES,
    ),
    Bug(
        "short12", "the slow path leaves a file that was published and not recorded", "storage/blobs/disk.py",
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
        "short14", "servers that share a state publish new uploads before they have a record", "server/uploads/short_uploads.py",
        "self._files if self._is_own and 0 < len(data)",
        "self._files if 0 < len(data)",
        SHORT,
    ),
    Bug(
        "short15", "the beginning of a body removes what another server has published", "storage/blobs/short_files.py",
        "        if self._shared:\n            return\n",
        "",
        SHORT,
    ),
    Bug(
        "short16", "a short part is published", "server/uploads/short_uploads.py",
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
    Bug(
        "short18", "a short PATCH replaces what the next holder of the lease has published",
        "storage/blobs/short_files.py",
        "            os.link(mark, self._files / id, follow_symlinks=False)\n            linked = True\n",
        "            os.link(mark, mark.with_suffix('.2'))\n            mark.with_suffix('.2').rename(self._files / id)\n"
        "            linked = True\n",
        NODES,
    ),
    Bug(
        "short19", "a short PATCH publishes its file although its lease is over", "storage/blobs/short_files.py",
        "            if not holds():\n                raise Stale(id)\n            reach(\"linking\")\n",
        "            reach(\"linking\")\n",
        NODES,
    ),
    Bug(
        "short20", "who shuts out another brings back a file that nobody has recorded", "storage/blobs/disk.py",
        "            if not length:  # what is there",
        "            if not length and not exists(path):  # what is there",
        NODES,
    ),
    Bug(
        "short21", "a file that nobody has recorded counts as the copy", "storage/blobs/publishing.py",
        " and found.st_size == length and found.st_nlink == 1",
        " and found.st_size == length",
        NODES,
    ),
    Bug(
        "short22", "who woke up too late removes the file of the next holder", "storage/blobs/short_files.py",
        "        except FileExistsError:\n            return False\n        except OSError",
        "        except FileExistsError:\n            (self._files / id).unlink()\n            return False\n        except OSError",
        NODES,
    ),
    Bug(
        "short23", "the file of who woke up too late stays for ever", "storage/blobs/short_files.py",
        "            published.unlink()\n            self._sync_folder(published.parent)\n",
        "            pass\n",
        NODES,
    ),
    Bug(
        "short24", "the clean-up removes a marked file of which it knows no more than its mark",
        "storage/blobs/short_files.py",
        "if exists(published) and exists(mark) and mark.samefile(published):",
        "if exists(published):",
        NODES,
    ),
    Bug(
        "short25", "the clean-up removes the file of an upload with its mark", "storage/blobs/strays.py",
        "            mark.unlink(missing_ok=True)\n        else:",
        "            self.short.remove_marked(mark)\n        else:",
        NODES,
    ),
    Bug(
        "short26", "the mark of a short PATCH is not durable", "storage/blobs/short_files.py",
        "            self._sync_folder(self._partial)\n            reach(\"sealing\")\n            if not holds():",
        "            reach(\"sealing\")\n            if not holds():",
        REDIS,
    ),
    Bug(
        "short27", "the name that a short PATCH gives beside others is not durable", "storage/blobs/short_files.py",
        "            linked = True\n            reach(\"renamed\")\n            self._sync_folder(self._files)\n",
        "            linked = True\n            reach(\"renamed\")\n",
        SHARED,
    ),
    Bug(
        "short28", "a short PATCH leaves the unfinished bytes of an earlier body", "storage/blobs/short_files.py",
        "        if exists(self._partial / id):\n            return False\n",
        "",
        SHARED,
    ),
    Bug(
        "short29", "beside others, a short file is recorded before it has its name", "storage/blobs/short_files.py",
        "                filled = await self._pool.call(self._fill_beside_others, id, data, check, holds)\n",
        "                check(data)\n"
        "                filled = bool(self._pool.call(self._fill_beside_others, id, data, check, holds))\n",
        "tests/faults/test_kill_short.py --cycles=6000",
    ),
    Bug(
        "short30", "a file that comes after the end of its upload stays for a week", "server/uploads/sweep.py",
        "                if recorded is not None and recorded.status not in GONE:\n",
        "                if recorded is not None:\n",
        f"{NODES} -k=too_late_is_removed",
    ),
)  # fmt: skip
