"""Checks of a file before it is published, uploads that a check holds, and the names of files."""

from bugs.bug import Bug

BUGS = (
    Bug(
        "c1", "published before the check", "server/uploads/completion.py",
        "                content_type = await self._checks.judge(replace(upload, sha256=sha256), interrupt, head)\n",
        "                upload = await self._publishing.seal(\n"
        "                    records, replace(upload, sha256=sha256), interrupt, acknowledged=False, content_type=None\n                )\n"
        "                content_type = await self._checks.judge(replace(upload, sha256=sha256), interrupt, head)\n",
        "tests/faults/test_crashes.py -k=infected",
    ),
    Bug(
        "c2", "a held upload tells an offset that equals its length", "server/uploads/completion.py",
        "                raise kind(KEPT[kind], retry_after=max(ceil(left), 1))\n",
        "                return upload\n",
        "tests/faults/test_crashes.py -k=held",
    ),
    Bug(
        "c3", "an upload that a check can't judge fails", "server/uploads/completion.py",
        "            raise await self._hold(upload, sha256, later) from later\n",
        "            return await records.end(records.failed(upload, LOST, sha256))\n",
        "tests/faults/test_crashes.py -k=held",
    ),
    Bug(
        "c4", "a held upload is published without its check", "server/uploads/completion.py",
        "            if upload.role is not Role.PARTIAL:\n                content_type",
        "            if upload.role is not Role.PARTIAL and not upload.sha256:\n                content_type",
        "tests/faults/test_crashes.py -k=infected",
    ),
    Bug(
        "c5", "a held final upload is not durable", "server/uploads/completion.py",
        "                await self._blobs.sync(upload.place)  # its parts",
        "                pass  # its parts",
        "tests/server/test_held.py -k=synced",
    ),
    Bug(
        "c6", "a held final upload is joined again", "server/uploads/completion.py",
        "            sha256 = upload.sha256 or (await",
        "            sha256 = (await",
        "tests/server/test_checks.py -k=needs_its_parts_no_more",
    ),
    Bug(
        "c10", "the bytes of a held final upload are not fenced", "server/uploads/records.py",
        "joined = upload.role is Role.FINAL and upload.sha256 is None",
        "joined = upload.role is Role.FINAL",
        "tests/server/test_held.py -k=fenced",
    ),
    Bug(
        "c7", "the beginning is judged after a whole stride", "server/uploads/receive.py",
        "        most = head.lacks(body_writer.position) or stride.bytes\n",
        "        most = stride.bytes\n",
        "tests/server/test_checks.py -k=large_body_begins",
    ),
    Bug(
        "c8", "a held upload never expires", "protocol/decisions.py",
        "    if upload.status is Status.VERIFYING and upload.held_until is None:",
        "    if upload.status is Status.VERIFYING:",
        "tests/server/test_checks.py -k=expires",
    ),
    Bug(
        "c9", "a fault of a check lets the file pass", "server/uploads/checks/asking.py",
        '            raise Later(AFTER_FAULT, "a check has failed") from error\n',
        "            return\n",
        "tests/server/test_checks.py -k=breaks",
    ),
    Bug(
        "c11", "a wrong type is refused only at the end", "server/uploads/checks/types.py",
        'name, early = "types", True',
        'name, early = "types", False',
        "tests/server/test_disguised.py -k=disguised_file_is_refused_at_its_beginning",
    ),
    Bug(
        "c12", "what begins like a bitmap is one, even if it is text", "server/uploads/checks/types.py",
        "    if not _is_text(head):\n",
        "    if mime or not _is_text(head):\n",
        "tests/server/test_types.py",
    ),
    Bug(
        "c13", "a page is plain text", "server/uploads/checks/types.py",
        "else _markup(head) or TEXT",
        "else TEXT",
        "tests/server/test_types.py",
    ),
    Bug(
        "c14", "a file that clamd does not look into is clean", "server/uploads/checks/clamd.py",
        "        if content.length > self._limit:\n",
        "        if False:\n",
        "tests/server/test_clamd.py -k=above_the_limit",
    ),
    Bug(
        "c15", "a busy scanner is passed by", "server/uploads/checks/clamd.py",
        '            raise Later(RETRY_AFTER, "clamd is busy with other files") from None',
        '            raise Unanswered("clamd is busy with other files") from None',
        "tests/server/test_clamd.py -k=busy",
    ),
    Bug(
        "c16", "what clamd can't scan is clean", "server/uploads/checks/clamd.py",
        '            raise Unanswered(f"it answers {answer!r}")\n',
        "            return None\n",
        "tests/server/test_clamd.py -k=odd",
    ),
    Bug(
        "c17", "what comes after the end of an upload is scanned", "server/uploads/checks/clamd.py",
        " and os.fstat(descriptor).st_size == content.length",
        "",
        "tests/server/test_clamd.py -k=after_the_end",
    ),
    Bug(
        "c18", "a name is cut inside of its extension", "protocol/naming.py",
        "        stem, extension = split_extension(plain)\n",
        '        stem, extension = plain, ""\n',
        "tests/protocol/test_naming.py",
    ),
    Bug(
        "c19", "a name begins with a dot", "protocol/naming.py",
        'r"^[\\s.]+"',
        'r"^\\s+"',
        "tests/protocol/test_naming.py",
    ),
    Bug(
        "c20", "who lacks a check publishes what waits for it", "server/uploads/completion.py",
        " if name not in self._records.checks)",
        " if not name)",
        "tests/server/test_lacking_checks.py -k=only_who_has_the_scanner",
    ),
    Bug(
        "c21", "a matcher that looks at more than the first byte is not asked", "server/uploads/checks/first_bytes.py",
        "        if index == 0 or (isinstance(index, slice) and index.start in {None, 0} and index.stop and index.stop > 0):\n",
        "        if index is not None:\n",
        "tests/server/test_types.py -k=matcher",
    ),
)  # fmt: skip
