"""A client of the engine that knows what it wants, remembers what it was told, and comes back until it is done."""

import base64
import hashlib
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from bodies import Poured
from simulated_journal import Created, Told
from simulated_world import DOWN, VIRUS, World

from onward.protocol.errors import Failed, Gone, Locked, Refusal, StorageFull, Unavailable, Unchecked
from onward.protocol.model import AppendRequest, Checksum, Concat, CreateRequest, Role, Status, Upload, UploadId
from onward.server.uploads.create_once import create_once
from onward.server.uploads.short_uploads import MemoryBody
from onward.storage.base import Missing, StorageError

BLOCK = 1700
Ending = Literal["completed", "failed", "terminated", "expired"]
AGAIN = (StorageError, Unavailable, StorageFull, Locked)  # answers after which a client tries again


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One upload as its client wants it."""

    name: str
    size: int = 0
    deferred: bool = False
    promise: Literal["none", "right", "wrong"] = "none"
    ending: Ending = "completed"
    partial: bool = False
    infected: bool = False
    brought: bool = False  # by the request that creates it
    short: bool = False  # by one PATCH, whose bytes have all arrived before it is handled
    parts: tuple[str, ...] = ()

    @property
    def source(self) -> bytes:
        """Give the bytes that are to arrive."""
        source = random.Random(self.name).randbytes(self.size)
        return source[: -len(VIRUS)] + VIRUS if self.infected else source


class Blocks(Poured):
    """A body that arrives in blocks, the last of which may be cut off."""

    def __init__(self, data: bytes, cut: Refusal | None = None, block: int = BLOCK) -> None:
        self._blocks = [data[at : at + block] for at in range(0, len(data), block)]
        self._cut, self.cut_by = cut, None if self._blocks else cut
        self.over = not self._blocks

    async def block(self, size: int, until: float) -> bytes:
        """Give the next block."""
        if not self._blocks:
            self.over = True
            return b""
        block = self._blocks.pop(0)
        if not self._blocks:
            self.over, self.cut_by = True, self._cut
        return block

    def cut(self, why: Refusal) -> None:
        """End it now."""
        self.over, self.cut_by, self._blocks = True, self.cut_by or why, []


class Client:
    """Whoever wants the plans to come true; `ids` is what it knows of them."""

    def __init__(self, world: World, plans: tuple[Plan, ...]) -> None:
        self.world = world
        self.plans = {plan.name: plan for plan in plans}
        created = (step for step in world.journal.steps if isinstance(step, Created))
        self.ids: dict[str, UploadId] = {step.name: step.id for step in created}

    def source(self, name: str) -> bytes:
        """Give the bytes that an upload is to have, of a final one those of its parts."""
        plan = self.plans[name]
        return b"".join(map(self.source, plan.parts)) if plan.parts else plan.source

    async def create(self, name: str) -> UploadId:
        """Create an upload, and know its id."""
        plan, concat = self.plans[name], None
        if plan.partial:
            concat = Concat(role=Role.PARTIAL, told="partial")
        elif plan.parts:
            parts = tuple(self.ids[part] for part in plan.parts)
            concat = Concat(role=Role.FINAL, told="final;", parts=parts)
        promise = hashlib.sha256(self.source(name) + b"?" * (plan.promise == "wrong")).digest()
        request = CreateRequest(
            length=None if plan.deferred or plan.parts else plan.size,
            metadata="filename " + base64.b64encode(name.encode()).decode(),
            promised=None if plan.promise == "none" else promise,
            body_size=0,
            has_body=False,
            concat=concat,
        )
        upload = await self.world.engine.create(request)
        self.ids[name] = upload.id
        self.world.journal.steps.append(Created(name, upload.id))
        if concat is not None and plan.parts:
            await self.world.engine.fill(upload, request, Blocks(b""))
        return upload.id

    async def bring(self, name: str) -> None:
        """Create an upload by a request that brings all of it, and know its id only by the answer."""
        data, promised = self.source(name), None
        if self.plans[name].promise != "none":
            promised = hashlib.sha256(data + b"?" * (self.plans[name].promise == "wrong")).digest()
        request = CreateRequest(length=len(data), metadata=None, promised=promised, body_size=len(data), has_body=True)
        created = await create_once(self.world.engine, request, whole=data)
        upload = created.upload
        if created.new:
            self.ids[name] = upload.id
            self.world.journal.steps.append(Created(name, upload.id))  # an error names it as well
            await self.world.engine.fill(upload, request, MemoryBody(data, Blocks(b"")))
            return
        self.world.journal.steps += [Created(name, upload.id), Told(upload.id, upload.offset, upload.status)]
        self.ids[name] = upload.id

    async def send(
        self,
        name: str,
        start: int,
        stop: int | None = None,
        *,
        cut: bool = False,
        checksum: Literal["none", "right", "wrong"] = "none",
        junk: int = 0,
    ) -> Upload:
        """Send the bytes [start, stop), the rest without a stop, and junk; `cut` loses the connection after them."""
        plan, source = self.plans[name], self.source(name)
        body = source[start:stop] + b"!" * junk
        told = source[start:] if cut else body
        digest = hashlib.sha1(body + b"?" * (checksum == "wrong")).digest()
        request = AppendRequest(
            offset=start,
            length=plan.size if plan.deferred and stop is None else None,
            promised=None,
            body_size=len(told),
            checksum=None if checksum == "none" else Checksum(algorithm="sha1", digest=digest),
        )
        lost = Unavailable("The connection was lost.") if cut else None
        arriving = MemoryBody(body, Blocks(b"")) if plan.short and not cut else Blocks(body, lost)
        upload = await self.world.engine.append(self.ids[name], request, arriving)
        self.world.journal.steps.append(Told(upload.id, upload.offset, upload.status))
        return upload

    async def finish(self) -> dict[str, Upload | None]:
        """Bring every plan to its end; gives the uploads, None for those that are gone."""
        return {name: await self._completion(plan) for name, plan in self.plans.items()}

    async def attempt(self) -> None:
        """Try everything twice, and be told no."""
        for plan in (*self.plans.values(), *self.plans.values()):
            with suppress(*AGAIN, Gone, Missing, Failed, Unchecked, KeyError):
                await self._advance(plan)

    async def _completion(self, plan: Plan) -> Upload | None:
        for _ in range(12):
            try:
                upload = await self._advance(plan)
            except (Gone, Missing, Failed):
                return None
            except Unchecked:
                self.world.wait(DOWN)
                self.world.engine.sweep._resting.clear()  # what had a fault rests for a minute, by a real clock
                await self.world.engine.sweep.all()
                continue
            except AGAIN:
                continue
            if upload.status is Status.COMPLETED:
                return upload
        raise AssertionError(f"{plan.name} comes to no end")

    async def _advance(self, plan: Plan) -> Upload:
        engine = self.world.engine
        if plan.name not in self.ids:
            await (self.bring if plan.brought else self.create)(plan.name)
        id_ = self.ids[plan.name]
        if plan.ending == "terminated":
            await engine.terminate(id_)
        elif plan.ending == "expired":
            self.world.wait(2000)
            await engine.sweep.all()
        upload = await engine.inspect(id_)
        if upload.status is Status.COMPLETED or plan.parts:
            return upload
        return await self.send(plan.name, upload.offset)
