"""Clients that create, send, ask, watch, join, remove and download at random, until their server is gone."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count

from async_http_connection import Line, Lost, connected
from forking_server import STRIDE
from form_bodies import file, form
from form_bodies import headers as form_headers
from http_connection import OCTETS, Answer, path_of
from upload_history import GONE, Folder, Sent, digest, source

CLIENTS = 4
MOST_OPEN = 10
FAVOURED = 40  # the weight of an act that is done more often
KEPT = 3  # kills after which an upload that is over is still asked for
SMALL = (1, 100, 4095, 4096, 4097, 10_000, 40_000, 65_536)
LARGE = (STRIDE - 1, STRIDE, STRIDE + 1, 2 * STRIDE, 200_000, 400_000, 600_000)
NAMES = ("a.txt", "b.tar.gz", "%C3%A4", "a%20b")
_keys = count(1)


class Fleet:
    """The clients of one data folder; `volatile` tells that uploads may be lost as a whole.

    The dice give the same acts again for the same seed, but not the same moments.
    """

    def __init__(self, folder: Folder, dice: random.Random, *, volatile: bool = False) -> None:
        self.folder, self._dice, self._volatile = folder, dice, volatile
        self.requests = self.lost = 0
        self.favour = ""  # an act that is done more often

    async def work(self, port: int) -> None:
        """Send, until the server is gone."""
        for upload in self.folder.uploads:
            upload.busy, upload.seen = False, upload.seen + 1
        self.folder.uploads = [upload for upload in self.folder.uploads if not self._is_old(upload)]
        await asyncio.gather(*(self._client(port) for _ in range(CLIENTS)), self._watcher(port))

    async def check(self, port: int) -> None:
        """Ask for every upload, and hold the answers against what was told; raises Lost."""
        rest = list(self.folder.uploads)

        async def ask() -> None:
            async with connected(port) as line:
                while rest:
                    await self._head(line, rest.pop())

        ends = await asyncio.gather(ask(), ask(), return_exceptions=True)
        for end in sorted((end for end in ends if end), key=lambda end: isinstance(end, Lost)):
            raise end

    async def finish(self, port: int) -> int:
        """Finish every upload, and check all of its bytes; gives how many were completed."""
        uploads = sorted(self.folder.uploads, key=lambda upload: upload.role == "final")
        async with connected(port) as line:
            for upload in uploads:
                await self._head(line, upload)
                while not upload.completed and not upload.over:
                    await self._advance(line, upload, to_the_end=True)
                if upload.completed and not upload.removing:
                    await self._get(line, upload)
        return sum(upload.completed for upload in uploads)

    @staticmethod
    def _is_old(upload: Sent) -> bool:
        """Tell whether an upload that is over has been asked for after some kills, and needs no more of it."""
        return upload.seen >= KEPT and (upload.removing or (upload.completed and upload.role != "partial"))

    async def _client(self, port: int) -> None:
        with suppress(Lost):
            async with connected(port) as line:
                while True:
                    await self._step(line)

    async def _watcher(self, port: int) -> None:
        with suppress(Lost):
            while True:
                open_ = [upload for upload in self.folder.uploads if not upload.over and not upload.completed]
                if not open_:
                    await asyncio.sleep(0.002)
                upload = self._dice.choice(open_) if open_ else None
                async with connected(port) as line:
                    if upload is None:
                        continue
                    seen = upload.told
                    async for message in line.watch(upload.path):
                        assert message["uploadedBytes"] >= seen, f"{upload}: a watcher was told {message} after {seen}"
                        seen = message["uploadedBytes"]
                        upload.hear(seen, 0)

    async def _step(self, line: Line) -> None:
        free = [upload for upload in self.folder.uploads if not upload.busy and not upload.removing]
        unfinished = [upload for upload in free if not upload.completed and not upload.over]
        if unfinished and (len(unfinished) > MOST_OPEN or self._dice.random() < (0.1 if self.favour else 0.5)):
            await self._with(self._advance, line, self._dice.choice(unfinished))
            return
        completed = [upload for upload in free if upload.completed and upload.role != "partial"]
        often = {self.favour: FAVOURED}
        acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (lambda: self._create(line), 8),
            (lambda: self._create_whole(line), 6),
            (lambda: self._put(line), 2),
            (lambda: self._form(line), 2),
            (lambda: self._join(line), often.get("join", 3)),
        ]
        removable = [upload for upload in free if not upload.role]
        if removable:
            remove = partial(self._with, self._remove, line)
            acts.append((lambda: remove(self._dice.choice(removable)), often.get("remove", 2)))
        if completed:
            acts.append((lambda: self._with(self._get, line, self._dice.choice(completed)), 2))
        act = self._dice.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
        await act()

    @staticmethod
    async def _with(act: Callable[[Line, Sent], Awaitable[None]], line: Line, upload: Sent) -> None:
        upload.busy = True
        await act(line, upload)
        upload.busy = False

    def _bytes(self, *, small: bool = False) -> bytes:
        sizes = SMALL if small or self._dice.random() < 0.7 else LARGE
        return source(next(_keys) * 1_000_003, self._dice.choice(sizes))

    async def _ask(
        self, line: Line, method: str, path: str, headers: Mapping[str, str | None], body: bytes = b""
    ) -> Answer:
        """Send a request and give its answer; raises Lost."""
        self.requests += 1
        return await line.ask(method, path, headers, body)

    async def _post(self, line: Line, upload: Sent, headers: dict[str, str], body: bytes = b"") -> None:
        """Create an upload; it is known once its URL was told."""
        upload.sent = len(body)
        if body:
            headers |= {"Content-Type": OCTETS}
        if not upload.wrong and upload.role != "partial":
            self.folder.allowed.add(upload.sha256)
        answer = await self._ask(line, "POST", "/files", headers, body)
        assert answer.status == 201 or (upload.wrong and answer.status == 460), answer
        upload.path = path_of(answer["Location"])
        upload.volatile = self._volatile
        self.folder.uploads.append(upload)
        if answer.status == 201 and upload.role != "final":
            upload.hear(int(answer["Upload-Offset"]), 0)
        if "repr-digest" in answer:
            upload.finish(answer)

    async def _create(self, line: Line) -> None:
        """Create an upload without its last bytes, or without any."""
        data = self._bytes()
        upload = Sent(path="", data=data, role=self._dice.choices(["", "partial"], [4, 1])[0])
        upload.wrong = not upload.role and len(data) >= 100 and self._dice.random() < 0.1
        deferred = self._dice.random() < 0.2
        headers = {"Upload-Defer-Length": "1"} if deferred else {"Upload-Length": str(len(data))}
        if upload.role:
            headers["Upload-Concat"] = "partial"
        if upload.wrong or self._dice.random() < 0.3:
            headers["Repr-Digest"] = digest(bytes(32) if upload.wrong else upload.sha256)
        body = data[: self._dice.randrange(len(data))] if self._dice.random() < 0.4 else b""
        upload.busy = True
        await self._post(line, upload, headers, body)
        await self._with(self._advance, line, upload)

    async def _create_whole(self, line: Line) -> None:
        """Create an upload with all of its bytes."""
        upload = Sent(path="", data=self._bytes(small=self._dice.random() < 0.7) if self._dice.random() < 0.95 else b"")
        await self._post(line, upload, {"Upload-Length": str(len(upload.data))}, upload.data)

    async def _put(self, line: Line) -> None:
        """Send a file by PUT."""
        upload = self._whole()
        answer = await self._ask(line, "PUT", f"/files/{self._dice.choice(NAMES)}", {}, upload.data)
        assert answer.status == 201, answer
        self._keep(upload, answer["Location"], json.loads(answer.body))

    async def _form(self, line: Line) -> None:
        """Send some files in a form."""
        uploads = [self._whole() for _ in range(self._dice.randint(1, 3))]
        body = form(*(file(self._dice.choice(NAMES), upload.data) for upload in uploads))
        sent = {name: value for name, value in form_headers(len(body)).items() if name != "Content-Length"}
        answer = await self._ask(line, "POST", "/files", sent, body)
        assert answer.status == 201, answer
        told = json.loads(answer.body)["uploads"]
        for upload, progress in zip(uploads, told, strict=True):
            self._keep(upload, progress["location"], progress)

    def _whole(self) -> Sent:
        upload = Sent(path="", data=self._bytes(small=self._dice.random() < 0.7))
        upload.sent = len(upload.data)
        self.folder.allowed.add(upload.sha256)
        return upload

    def _keep(self, upload: Sent, location: str, progress: Mapping[str, object]) -> None:
        """Remember an upload that was made by one request."""
        assert progress["sha256"] == upload.sha256.hex()
        assert (progress["status"], progress["uploadedBytes"]) == ("completed", upload.sent)
        upload.path, upload.volatile = path_of(location), self._volatile
        upload.completed, upload.told = True, upload.sent
        self.folder.uploads.append(upload)

    async def _join(self, line: Line) -> None:
        """Join two parts, of which the second is complete only later, sometimes."""
        parts = (
            Sent(path="", data=self._bytes(small=True), role="partial", busy=True),
            Sent(path="", data=self._bytes(), role="partial", busy=True),
        )
        bodies = [part.data for part in parts]
        if self._dice.random() < 0.3:
            bodies[1] = bodies[1][: len(bodies[1]) // 2]
        for part, body in zip(parts, bodies, strict=True):
            await self._post(line, part, {"Upload-Length": str(len(part.data)), "Upload-Concat": "partial"}, body)
        final = Sent(path="", data=b"".join(part.data for part in parts), role="final", parts=parts, busy=True)
        concat = f"final;{' '.join(part.path for part in parts)}"
        await self._post(line, final, {"Upload-Concat": concat, "Repr-Digest": digest(final.sha256)})
        final.sent = len(final.data)
        for upload in (*parts, final):
            upload.busy = False

    async def _head(self, line: Line, upload: Sent) -> int | None:
        """Ask for an offset; None where there is none to go on from."""
        if upload.role == "final":
            upload.sent = len(upload.data)
        floor, completed = upload.told, upload.completed
        answer = await self._ask(line, "HEAD", upload.path, {})
        upload.check_head(answer, floor, completed)
        if answer.status in GONE:
            self.lost += not upload.over
            upload.removing = True
        return int(answer["Upload-Offset"]) if answer.status == 200 and "upload-offset" in answer else None

    async def _advance(self, line: Line, upload: Sent, *, to_the_end: bool = False) -> None:
        """Send some pieces of what is missing; a final upload is only asked for."""
        at = await self._head(line, upload)
        if upload.role == "final":
            return
        pieces = self._dice.randint(1, 3)
        while at is not None and not upload.completed and (pieces or to_the_end):
            pieces = max(pieces - 1, 0)
            end = self._next(at, len(upload.data))
            at = await self._patch(line, upload, at, end)
            if at is not None and self._dice.random() < 0.2:
                await self._progress(line, upload)

    def _next(self, at: int, length: int) -> int:
        """Choose where a body ends: at a stride, somewhere, or with the last byte."""
        ends = [length, length, self._dice.randint(at, length), min(length, (at // STRIDE + 1) * STRIDE)]
        return self._dice.choice(ends)

    async def _patch(self, line: Line, upload: Sent, at: int, end: int) -> int | None:
        upload.sent = max(upload.sent, end)
        headers = {"Content-Type": OCTETS, "Upload-Offset": str(at)}
        if end == len(upload.data):
            headers |= {"Upload-Length": str(end)}
        answer = await self._ask(line, "PATCH", upload.path, headers, upload.data[at:end])
        if answer.status == 204:
            upload.hear(int(answer["Upload-Offset"]), max(at, end))
            if "repr-digest" in answer:
                upload.finish(answer)
            return end
        if answer.status == 460 and upload.wrong and end == len(upload.data):
            upload.removing = True
            return None
        assert answer.status in GONE, f"{upload}: {answer} for {at}-{end}"
        assert upload.may_be_gone, f"{upload}: {answer} for {at}-{end}"
        self.lost += not upload.over
        upload.removing = True
        return None

    async def _progress(self, line: Line, upload: Sent) -> None:
        floor = upload.told
        answer = await self._ask(line, "GET", f"{upload.path}/progress", {})
        assert answer.status == 200, answer
        upload.hear(int(answer.body.partition(b'"uploadedBytes": ')[2].partition(b",")[0]), floor)

    async def _remove(self, line: Line, upload: Sent) -> None:
        upload.removing = True
        answer = await self._ask(line, "DELETE", upload.path, {})
        assert answer.status == 204 or answer.status in GONE, answer
        upload.removed = True

    async def _get(self, line: Line, upload: Sent) -> None:
        if upload.role == "partial":
            return
        answer = await self._ask(line, "GET", upload.path, {})
        assert answer.status == 200, f"{upload}: {answer.status}"
        assert answer.body == upload.data, f"{upload}: the download differs"
        self.folder.verified += len(answer.body)
