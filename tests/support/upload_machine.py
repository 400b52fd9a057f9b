"""Any order of requests, sweeps, waits and crashes, to the real engine and to the model beside it."""

import asyncio
import hashlib
import tempfile
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from slow_body import SlowBody
from upload_model import EXPIRE, HOLD, LIMITS, Model, Patch, Scanner
from upload_watch import Watch

from onward.protocol.errors import Failed, Gone, Locked, Refusal, TooLarge, Unavailable, Unchecked
from onward.protocol.model import AppendRequest, Checksum, Concat, CreateRequest, Role, Status, Upload, UploadId
from onward.server.uploads.checks import Content, Later, Rejected
from onward.server.uploads.clock import Clock
from onward.server.uploads.engine import Engine
from onward.storage import failpoints, open_storage
from onward.storage.base import Durability, Missing, Storage, StorageError

SIZES = st.sampled_from([0, 1, 511, 512, 4096, 4097, 9000])
PICK = st.integers(0, 10**6)
DRAFT = st.sampled_from(["", "open", "last"])
CHECKS = st.sampled_from(["none", "none", "right", "wrong"])
POINTS = ("written", "synced", "recorded", "sealing", "renamed", "sealed", "answering")


class Died(BaseException):
    """The process ends here."""


class UploadMachine(RuleBasedStateMachine):
    """Requests to one engine; `steps` counts all that were done, `answers` what came of them."""

    state: ClassVar[str] = "memory:"
    blobs: ClassVar[str] = "memory:"
    durability: ClassVar[Durability] = Durability.FULL
    scanner: ClassVar[Scanner | None] = None
    steps: ClassVar[int] = 0
    answers: ClassVar[Counter[str]]

    def __init_subclass__(cls) -> None:
        cls.answers, cls.steps = Counter(), 0

    def __init__(self) -> None:
        super().__init__()
        if self.scanner is not None:
            self.scanner.down = False
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.now, self.skew, self.boots = 1_000_000.0, 0.0, 0
        self.models: list[Model] = []
        self.watches: list[Watch] = []
        self.storage: Storage | None = None

    def do(self, work: Awaitable[Any]) -> Any:
        """Do something in the loop; gives its result, or the refusal."""

        async def attempt() -> Any:
            try:
                return await work
            except (Refusal, StorageError) as error:
                return error

        return self.runner.run(attempt())

    def pick(self, number: int) -> Model:
        """Choose one of the latest uploads, mostly of those that aren't gone."""
        recent = self.models[-6:]
        alive = [model for model in self.models if not model.refusal(self.now)][-6:]
        chosen = alive if alive and number % 8 else recent
        return chosen[number // 8 % len(chosen)]

    @initialize()
    def start(self) -> None:
        self.runner.run(self._start())

    async def _start(self) -> None:
        if self.storage is not None and self.state != "memory:":
            await self.storage.close()
            self.storage, self.watches = None, []
        if self.storage is None:
            self.storage = await open_storage(
                state=self.state, blobs=self.blobs, data=Path(self.folder.name), durability=self.durability
            )
        clock = Clock(lambda: self.now + self.skew, lambda: self.now)
        checks = [self._scan] if self.scanner else []
        self.engine = Engine(self.storage, LIMITS, lease_wait=5, boot=f"boot {self.boots}", clock=clock, checks=checks)

    async def _scan(self, upload: Upload, content: Content) -> None:
        model = next(model for model in self.models if model.id == upload.id)
        whole = model.whole() if model.parts else model.source(0, content.length)
        assert b"".join([block async for block in content.blocks()]) == whole, "other bytes are checked"
        if self.scanner and self.scanner.down:
            raise Later(HOLD)
        if model.infected:
            raise Rejected("infected", 422, "A virus was found")

    @rule(
        size=SIZES, deferred=st.booleans(), promise=st.sampled_from(["none", "right", "wrong"]), partial=st.booleans()
    )
    def create(self, size: int, deferred: bool, promise: str, partial: bool) -> None:
        model = Model(id=UploadId(""), seed=len(self.models), length=None if deferred else size, partial=partial)
        model.wrong, model.expires = promise == "wrong" and not deferred, self.now + EXPIRE
        model.scanner, model.infected = self.scanner, model.seed % 5 == 4
        promised = hashlib.sha256(model.source(0, size) + b"?" * model.wrong).digest()
        concat = Concat(role=Role.PARTIAL, told="partial") if partial else None
        self._created(model, promised if promise != "none" and not deferred else None, concat)

    @precondition(lambda self: any(model.partial for model in self.models))
    @rule(picks=st.lists(PICK, min_size=1, max_size=3))
    def join(self, picks: list[int]) -> None:
        alive = [model for model in self.models if model.partial and not model.refusal(self.now)][-4:]
        partials = alive or [model for model in self.models if model.partial][-4:]
        parts = [partials[pick % len(partials)] for pick in picks]
        model = Model(id=UploadId(""), seed=-1, length=None, parts=parts, expires=self.now + EXPIRE)
        model.scanner, model.infected = self.scanner, any(part.infected for part in parts)
        expected: Any = None
        for part in parts:
            if part.status in ("completed", "forgotten"):
                expected = part.refusal(self.now)
                if expected:
                    break
                part.expires = self.now + EXPIRE
        expected = expected or next(filter(None, (part.refusal(self.now) for part in parts)), None)
        joined = sum(part.length or part.offset for part in parts)
        if not expected and LIMITS.max_size is not None and joined > LIMITS.max_size:
            expected = TooLarge
        concat = Concat(role=Role.FINAL, told="final;", parts=tuple(part.id for part in parts))
        self._created(model, None, concat, expected)
        if not expected:
            self._look(model)

    def _created(self, model: Model, promised: bytes | None, concat: Concat | None, expected: Any = None) -> None:
        length = None if model.parts else model.length
        request = CreateRequest(
            length=length, metadata=None, promised=promised, body_size=0, has_body=False, concat=concat
        )
        upload = self.do(self.engine.create(request))
        self._check(upload, expected)
        if expected is None:
            model.id = upload.id
            self.models.append(model)
            filled = self.do(self.engine.fill(upload, request, SlowBody([])))  # the parts are joined here
            if model.parts:
                expected = model.advance(self.now)
            elif model.length == 0:
                expected = model.patched(0, None, self.now, cut=False, check="none")
            self._check(filled, expected)

    @precondition(lambda self: self.models)
    @rule(pick=PICK, known=st.booleans(), check=st.sampled_from(["none", "none", "right"]), draft=DRAFT)
    def finish(self, pick: int, known: bool, check: str, draft: Any) -> None:
        self._patch(self.pick(pick), Patch(rest=True, known=known, check=check, draft=draft))

    @precondition(lambda self: self.models)
    @rule(pick=PICK, size=SIZES, known=st.booleans(), check=CHECKS, cut=st.booleans(), draft=DRAFT)
    def patch(self, pick: int, size: int, known: bool, check: str, cut: bool, draft: Any) -> None:
        self._patch(self.pick(pick), Patch(size=size, known=known, check=check, cut=cut, draft=draft))

    @precondition(lambda self: self.models)
    @rule(
        pick=PICK,
        size=SIZES,
        known=st.booleans(),
        wrong=st.sampled_from(["offset", "size", "length", "check"]),
        draft=DRAFT,
    )
    def patch_wrongly(self, pick: int, size: int, known: bool, wrong: str, draft: Any) -> None:
        model = self.pick(pick)
        asked = Patch(size=size, known=known, draft=draft)
        if wrong == "check":
            asked.check, asked.draft = "wrong", ""  # the draft has no checksums
        if wrong == "offset":
            asked.shift = 1
        elif wrong == "size":
            asked.size = (LIMITS.max_size or 0) + 1 - model.offset if model.length is None else model.length + 1
        elif wrong == "length":
            asked.length = model.offset - 1 if model.length is None else model.length + 1
        self._patch(model, asked)

    @precondition(lambda self: self.models)
    @rule(pick=PICK, size=SIZES, rest=st.booleans(), point=st.sampled_from(POINTS), draft=DRAFT)
    def die(self, pick: int, size: int, rest: bool, point: str, draft: Any) -> None:
        self._patch(self.pick(pick), Patch(size=size, rest=rest, point=point, draft=draft))

    def _patch(self, model: Model, asked: Patch) -> None:
        size, length, offset = asked.size, asked.length, model.offset + asked.shift
        if model.parts or (length is not None and length < 0):
            return
        if asked.rest:
            size = size if model.length is None else model.length - model.offset
            length = offset + size if model.length is None and asked.draft != "last" else None
        check = "none" if asked.draft else asked.check
        data = model.source(offset, offset + size)
        by_draft = bool(asked.draft) and not asked.known  # only such a body may be cut after the last byte
        cut = asked.cut and (by_draft or model.length is None or size < model.length - model.offset)
        digest = hashlib.sha1(data + b"?" * (check == "wrong")).digest()
        request = AppendRequest(
            offset=offset,
            length=length,
            promised=None,
            body_size=size + cut if asked.known else None,
            checksum=None if check == "none" else Checksum(algorithm="sha1", digest=digest),
            completes=asked.draft == "last",
            needs_end=bool(asked.draft),
            excess_fails=bool(asked.draft),
        )
        body, before = SlowBody([data], Unavailable("cut") if cut else None), model.offset
        work = self.engine.append(model.id, request, body)
        if asked.point and asked.draft and model.length is not None and size > model.length - model.offset:
            work.close()
            return
        if asked.point and not model.refusal(self.now):
            self._die(model, asked.point, work, before + size)
            return
        answer = self.do(work)
        expected = model.finished(self.now) if model.held_until is not None and not model.refusal(self.now) else None
        announced = request.body_size
        expected = expected or model.judged(offset, announced, length, self.now, asked.draft)
        expected = expected or model.patched(
            size, length, self.now, cut=cut, check=check, draft=asked.draft, size=announced
        )
        self.answers["left open"] += model.filled
        self._check(answer, expected)

    def _die(self, model: Model, point: str, work: Awaitable[Upload], most: int) -> None:
        def die(name: str) -> None:
            if name == point:
                self.answers["died"] += 1
                self.answers[f"died, {point}"] += 1
                raise Died

        failpoints.armed = die
        try:
            with suppress(Died):
                self.do(work)
        finally:
            failpoints.armed = None
        self.start()
        seen = self.do(self.engine.inspect(model.id))
        if isinstance(seen, Unchecked):
            self.do(self.engine.sweep.long.over())
            seen = self.do(self.engine.records.load(model.id))
        if isinstance(seen, Upload):
            model.held_until = seen.held_until
            assert model.offset <= seen.offset <= most, "told bytes were taken back, or more came than were sent"
            model.offset, model.length = seen.offset, seen.length
            model.expires = None if seen.expires is None else seen.expires - self.skew
            model.status = "completed" if seen.status is Status.COMPLETED else model.status
            if seen.status is Status.FAILED:
                model.end(self.now)
        else:
            assert model.wrong or (self.scanner and model.infected), f"{seen!r} after a crash"
            model.offset = most
            model.end(self.now)
        self._look(model)

    @precondition(lambda self: self.models)
    @rule(pick=PICK, draft=st.booleans())
    def head(self, pick: int, draft: bool) -> None:
        self._look(self.pick(pick), draft=draft)

    def _look(self, model: Model, *, draft: bool = False) -> None:
        seen = self.do(self.engine.inspect(model.id, finish=not draft))
        if model.parts:
            model.advance(self.now)
        elif model.filled and not draft and not model.refusal(self.now):
            model.finished(self.now)
        held = Unchecked if model.held_until is not None and not draft else None
        self._check(seen, model.refusal(self.now) or held)
        if isinstance(seen, Upload):
            assert seen.offset == model.offset, f"{seen.offset} is told, and {model.offset} are stored"
            assert (seen.status is Status.COMPLETED) == (model.status == "completed"), seen.status
            if model.status == "completed":
                assert seen.sha256 == hashlib.sha256(model.whole()).digest(), "the SHA-256 is wrong"
                assert self.do(self._bytes(seen)) == model.whole(), "the file is wrong"
                file = Path(self.folder.name) / seen.place
                assert self.blobs != "file:" or model.partial or file.stat().st_size == seen.offset, "it has a tail"
                self.answers["joined" if model.parts else "completed"] += 1

    async def _bytes(self, upload: Upload) -> bytes:
        return b"".join([block async for block in self.engine.read(upload, 0, upload.offset)])

    @precondition(lambda self: self.models)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        model = self.pick(pick)
        record = self.do(self.engine.records.load(model.id))
        ended = isinstance(record, Upload) and record.status in (Status.TERMINATED, Status.EXPIRED)
        ended = ended or model.is_expired(self.now)
        lost = Missing if model.status == "forgotten" else None
        self._check(self.do(self.engine.terminate(model.id)), Gone if ended else lost)
        if not ended and not lost:
            model.end(self.now)

    @precondition(lambda self: self.models)
    @rule(pick=PICK, size=SIZES, rival=st.sampled_from(["head", "patch", "delete"]))
    def rival(self, pick: int, size: int, rival: str) -> None:
        model = self.pick(pick)
        room = None if model.length is None else model.length - model.offset
        if model.parts or model.refusal(self.now) or model.status == "completed" or (room is not None and size >= room):
            return
        data, body = model.source(model.offset, model.offset + size), SlowBody([])
        request = AppendRequest(offset=model.offset, length=None, promised=None, body_size=None)
        body.hang([data])
        first, second = self.runner.run(self._duel(model, request, body, rival))
        model.offset, model.expires = model.offset + size, self.now + EXPIRE
        assert isinstance(first, Locked), first
        self.answers[f"rival {rival}"] += 1
        if rival == "head":
            assert second.offset == model.offset
        elif rival == "delete":
            assert second is None
            model.end(self.now)
        else:
            assert second.offset == model.offset, "the rival goes on where the first has ended"

    async def _duel(self, model: Model, request: AppendRequest, body: SlowBody, rival: str) -> tuple[Any, Any]:
        holder = asyncio.ensure_future(self.engine.append(model.id, request, body))
        await body.hanging.wait()
        if rival == "head":
            other: Any = await self.engine.inspect(model.id)
        elif rival == "delete":
            await self.engine.terminate(model.id)
            other = None
        else:
            offset = request.offset + len(body.given)
            late = AppendRequest(offset=offset, length=None, promised=None, body_size=0)
            other = await self.engine.append(model.id, late, SlowBody([]))
        return (await asyncio.gather(holder, return_exceptions=True))[0], other

    @rule(seconds=st.sampled_from([1, 1, 1, 1, 6, 6, 6, 6, 150, 150, 1001, 3500]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        due = self.runner.run(self._due())
        self.do(self.engine.sweep.all())
        for id_ in due:
            next(model for model in self.models if model.id == id_).swept(self.now)

    async def _due(self) -> list[UploadId]:
        assert self.storage is not None
        return [id_ async for id_ in self.storage.state.due(self.now + self.skew)]

    @rule()
    def crash(self) -> None:
        self.start()

    @precondition(lambda self: self.models and len(self.watches) < 4)
    @rule(pick=PICK)
    def watch(self, pick: int) -> None:
        assert self.storage is not None
        watch = Watch(self.pick(pick), AsyncExitStack())
        if not isinstance(self.do(watch.begin(self.storage.state)), Missing):
            self.watches.append(watch)

    @invariant()
    def watchers_are_told_the_truth(self) -> None:
        type(self).steps += 1
        for watch in self.watches:
            self.runner.run(watch.listen())

    def _check(self, answer: Any, expected: type[Exception] | None) -> None:
        self.answers[expected.__name__ if expected else "as expected"] += 1
        if expected is None:
            assert not isinstance(answer, Exception), f"{answer!r}, and nothing was wrong"
        else:
            assert isinstance(answer, expected), f"{answer!r} instead of {expected.__name__}"

    def teardown(self) -> None:
        if self.scanner is not None:
            self.scanner.down = False
        for model in self.models:
            if not model.parts and not model.wrong and not model.refusal(self.now) and model.status == "open":
                end = model.offset if model.length is None else model.length
                length = end if model.length is None else None
                request = AppendRequest(offset=model.offset, length=length, promised=None, body_size=end - model.offset)
                body = SlowBody([model.source(model.offset, end)])
                bad = self.scanner is not None and model.infected and not model.partial
                self._check(self.do(self.engine.append(model.id, request, body)), Failed if bad else None)
        if self.storage is not None:
            self.runner.run(self.engine.close())
        self.runner.close()
        self.folder.cleanup()
