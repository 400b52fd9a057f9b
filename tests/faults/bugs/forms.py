"""Uploads in one request: PUT and forms."""

from bugs.bug import Bug

BUGS = (
    Bug(
        "f1", "a cut form is finished as if it were whole", "server/http/form_reader.py",
        "        return None if self._ended else self._form.fault\n",
        "        return None\n",
        "tests/server/test_forms.py -k=cut_at_any_byte",
    ),
    Bug(
        "f2", "a file of a form is told before it is published", "server/http/forms.py",
        "            self.uploads[-1] = await receive_whole(self._engine, upload, body, size=None, limits=limits)\n",
        "            work = receive_whole(self._engine, upload, body, size=None, limits=limits)\n"
        '            __import__("asyncio").ensure_future(work)\n'
        '            while not body.over:\n                await __import__("asyncio").sleep(0)\n',
        "tests/server/test_forms.py -k=is_an_upload",
    ),
    Bug(
        "f3", "what is left of a cut PUT stays", "server/uploads/single_request.py",
        "            await engine.abandon(upload.id)\n",
        "            pass\n",
        "tests/server/test_put.py -k=is_cut",
    ),
    Bug(
        "f4", "what a crash leaves of a PUT waits like a resumable upload", "protocol/lifecycle.py",
        "    if not in_one_request:\n        return usual\n",
        "    if True:\n        return usual\n",
        "tests/faults/test_cut_requests.py",
    ),
    Bug(
        "f5", "a file that a check holds is abandoned with its request", "server/uploads/engine.py",
        "            if not upload.status.final and upload.status is not Status.VERIFYING:\n                await self._remove",
        "            if not upload.status.final:\n                await self._remove",
        "tests/server/test_forms.py -k=hold",
    ),
    Bug(
        "f6", "the promise of one file counts for all that follow", "protocol/forms.py",
        "self._pairs.pop(PROMISE, b\"\")",
        "self._pairs.get(PROMISE, b\"\")",
        "tests/server/test_forms.py -k=promise",
    ),
    Bug(
        "f7", "any page may send forms", "server/http/forms.py",
        "    check_form_origin(request)\n",
        "",
        "tests/server/test_forms.py -k=origin",
    ),
    Bug(
        "f8", "a form that is cut in a text field is whole", "server/http/form_reader.py",
        "                    self._parser.close()\n",
        "                    pass\n",
        "tests/server/test_forms.py -k=cut_at_any_byte",
    ),
)  # fmt: skip
