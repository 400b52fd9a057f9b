"""The IETF draft, in the server and in the client."""

from bugs.bug import Bug

BUGS = (
    Bug(
        "i1", "the client takes stored bytes for a finished upload", "client/transfer.py",
        "if stored.offset >= stop and not (ends and stored.finished is False):",
        "if stored.offset >= stop:",
        "tests/client/test_ietf.py -k=not_finished",
    ),
    Bug(
        "i2", "the client resumes an upload of another protocol", "client/resume_file.py",
        "*([] if protocol == TUS else [protocol])",
        "*[]",
        "tests/client/test_resume_file.py -k=protocol",
    ),
    Bug(
        "r1", "a 104 tells an offset before it is recorded", "server/uploads/body_records.py",
        "        self.recorded = self._upload = await self._records.save(received)\n",
        "        await self._body.tell(received)\n"
        "        self.recorded = self._upload = await self._records.save(received)\n",
        "tests/server/test_engine.py -k=told_during",
    ),
    Bug(
        "r2", "an append with ?0 is the last one", "protocol/dialects/ietf.py",
        "        offset=offset,\n        length=parse_count(headers.get(\"upload-length\")),\n"
        "        promised=_digest(headers),\n        body_size=request.body_size,\n        completes=completes,\n",
        "        offset=offset,\n        length=parse_count(headers.get(\"upload-length\")),\n"
        "        promised=_digest(headers),\n        body_size=request.body_size,\n        completes=True,\n",
        "tests/conformance/test_ietf_2_uploads.py -k=r24",
    ),
    Bug(
        "r3", "a body that is cut finishes an upload", "protocol/decisions.py",
        "offset == length and not (cut and (completes or needs_end))",
        "offset == length",
        "tests/conformance/test_ietf_2_uploads.py -k=r32",
    ),
    Bug(
        "r4", "a contradiction of lengths is accepted", "protocol/decisions.py",
        "    if upload.length not in (None, end):\n",
        "    if False:\n",
        "tests/conformance/test_ietf_1_creation.py -k=r14",
    ),
    Bug(
        "r5", "HEAD of tus tells all bytes of an upload that is not finished", "server/uploads/engine.py",
        "            if finish and decisions.is_filled(upload):\n",
        "            if False:\n",
        "tests/conformance/test_ietf_3_both.py -k=rm7",
    ),
    Bug(
        "r6", "a failed check leaves the client free to resume", "protocol/dialects/ietf_replies.py",
        "_flag(over=_is_judged(refusal))",
        "_flag(over=False)",
        "tests/conformance/test_ietf_3_both.py -k=rm5",
    ),
    Bug(
        "r7", "a finished upload is failed by more bytes", "server/uploads/bodies.py",
        "        if asked.excess_fails and not upload.status.final:\n",
        "        if asked.excess_fails:\n",
        "tests/conformance/test_ietf_2_uploads.py -k=r55b",
    ),
)  # fmt: skip
