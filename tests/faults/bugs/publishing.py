"""Published paths, and files that share their blocks."""

from bugs.bug import Bug

LAID = (
    "tests/faults/test_kill.py::test_a_file_has_one_path_and_its_own_bytes_after_any_kill_9[together]"
    " --cycles=1000 --seed=1"
)

BUGS = (
    Bug(
        "l1", "a file is published over another one", "storage/blobs/staging.py",
        "                os.link(source, self._files / path, follow_symlinks=False)\n",
        "                (self._files / path).unlink(missing_ok=True)\n"
        "                os.link(source, self._files / path, follow_symlinks=False)\n",
        "tests/storage/test_blobs_contract.py -k=never_overwritten",
    ),
    Bug(
        "l2", "the path is chosen again after a crash", "server/uploads/publishing.py",
        "saved = await records.save(replace(upload, place=place, sha256=sha256))",
        "saved = replace(upload, place=place, sha256=sha256)",
        LAID,
    ),
    Bug(
        "l3", "another file at the path is taken for the upload's own", "storage/blobs/places.py",
        "return token(os.stat(file, follow_symlinks=False)) == wanted",
        "return bool(os.stat(file, follow_symlinks=False))",
        "tests/server/test_layout.py -k=moved_away",
    ),
    Bug(
        "l4", "a file that is published already is not found again", "storage/blobs/staging.py",
        "        path = published_at(self._files, staged)\n        if path is None:\n",
        "        path = None\n        if path is None:\n",
        LAID,
    ),
    Bug(
        "l5", "a file gets the name of another upload", "storage/blobs/places.py",
        "yield from (each for each in tried if not re.fullmatch(ID_PATTERN, each))",
        "yield from tried",
        "tests/storage/test_blobs_contract.py -k=name_of_another",
    ),
    Bug(
        "l6", "the name of a published file is not durable", "storage/blobs/staging.py",
        "        self._sync_path(self._files / path)\n",
        "",
        "tests/storage/test_disk.py -k=on_its_way",
    ),
    Bug(
        "l7", "the other name of a published file may come back", "storage/blobs/staging.py",
        "            self._sync_folder(name.parent)  # also",
        "            pass  # also",
        "tests/faults/test_crashes.py -k=laid",
    ),
    Bug(
        "l8", "staged bytes are not durable", "storage/blobs/publishing.py",
        "        found = marked(fd)\n        self.protect(fd)\n",
        "        found = marked(fd)\n",
        "tests/faults/test_crashes.py -k=laid",
    ),
    Bug(
        "d1", "a file of another owner is told", "server/uploads/duplicates.py",
        "(known.owner, known.sha256, known.offset) == (upload.owner, sha256, upload.offset)",
        "(known.sha256, known.offset) == (sha256, upload.offset)",
        "tests/server/test_duplicates.py -k=owner",
    ),
    Bug(
        "d2", "one hint for all owners", "server/uploads/duplicates.py",
        "hashlib.sha256(msgspec.json.encode(owner) + sha256)",
        "hashlib.sha256(sha256)",
        "tests/server/test_duplicates.py -k=owners",
    ),
    Bug(
        "d3", "a file that differs counts as shared", "storage/blobs/sharing.py",
        "    return 0 if status == _DIFFERS else shared\n",
        "    return shared or count\n",
        "tests/storage/test_sharing.py -k=damaged",
    ),
    Bug(
        "d4", "a fault of sharing fails the upload", "server/uploads/duplicates.py",
        "        except StorageError as fault:  # perhaps",
        "        except ZeroDivisionError as fault:  # perhaps",
        "tests/server/test_duplicates.py -k=fault_of_sharing",
    ),
    Bug(
        "d5", "a hint is believed without its record", "server/uploads/duplicates.py",
        "        return known if is_there and is_equal and known.role is not Role.PARTIAL else None\n",
        "        return known\n",
        "tests/server/test_duplicates.py -k=not_believed",
    ),
    Bug(
        "d6", "a second upload never shares", "server/uploads/duplicates.py",
        "                await self._blobs.share(upload.place, equal.place, upload.offset, interrupt.check)\n",
        "                pass\n",
        "tests/faults/test_shared_blocks.py -k=room",
    ),
)  # fmt: skip
