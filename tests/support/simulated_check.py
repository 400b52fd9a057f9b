"""What must hold after any crash: told bytes are there and right, ends are final, what is published is whole."""

import hashlib
import os
from dataclasses import dataclass
from math import inf
from unittest.mock import patch

from simulated_client import Client
from simulated_journal import Journal

from onward.protocol import decisions
from onward.protocol.errors import Gone, Unchecked
from onward.protocol.model import FINAL, Role, Status, Upload, UploadId
from onward.server.uploads import sweep
from onward.storage.base import Missing

ENDED = {Status.FAILED.value, Status.TERMINATED.value, Status.EXPIRED.value}


@dataclass(frozen=True, slots=True)
class Crash:
    """How the machine went down: what was on its way when it did, and whether power was cut."""

    before: Journal
    power: bool


class Check:
    """Holds a server that came back against what was told before it went down."""

    def __init__(self, client: Client, crash: Crash) -> None:
        self.client, self.world, self.crash = client, client.world, crash
        self.lossy = crash.power and client.world.policy.relaxed

    def published(self) -> None:
        """Check that files/ has nothing but whole and verified files."""
        names = {id_: name for name, id_ in self.client.ids.items()}
        known = {str(upload.id): upload for upload in self.crash.before.latest().values()}
        for path, file in self.world.published():
            data = self.world.disk.content(f"machine/data/files/{path}")
            name = names.get(file)
            if name is not None:
                assert self.client.plans[name].promise != "wrong", "I5: published though it is wrong"
                assert not self.client.plans[name].infected, "I14: published though it is infected"
                assert data == self.client.source(name), f"I5: {name} is published, and is not what was sent"
            elif any(plan.brought for plan in self.client.plans.values()):  # before its record, and whole already
                assert data in map(self.client.source, self.client.plans), "I5: published, and nobody has sent it"
            elif file in known and known[file].promised:
                assert hashlib.sha256(data).digest() == known[file].promised, "I5: published though it is wrong"

    async def recovered(self) -> None:
        """Check that each upload is as told."""
        for name, id_ in list(self.client.ids.items()):
            told = list(self.crash.before.told(id_))
            offset = max((step.offset for step in told), default=0)
            ends = {step.status for step in told} & {status.value for status in FINAL}
            completed = Status.COMPLETED.value in ends and not ends & ENDED
            try:
                upload = await self.world.engine.inspect(id_)
            except (Gone, Missing) as error:
                self._may_be_gone(name, id_, completed, error)
                continue
            except Unchecked:
                assert not ends, f"I6: {name} had ended, and is held"
                await self._is_held(name, id_)
                await self.world.engine.sweep.long.over()
                continue
            assert not self.world.scans or upload.status is not Status.VERIFYING, f"I14: {name} is told and not checked"
            assert not ends & ENDED, f"I6: {name} had ended, and is {upload.status}"
            assert not completed or upload.status is Status.COMPLETED, f"I6: {name} is {upload.status}"
            assert upload.offset >= offset, f"I1, I2: {name} was told at {offset}, and is at {upload.offset}"
            self._holds(name, upload)

    async def _is_held(self, name: str, id: UploadId) -> None:
        """Check that a whole upload waits for a check, and that the bytes of which the hash is known are there."""
        if self.client.plans[name].ending == "terminated":
            return  # on a full disk, what a client gives up makes room before that is recorded
        record = self.world.journal.latest()[id]
        assert record.status is Status.VERIFYING, f"I14: {name} is said to be unchecked, and is {record.status}"
        if self.lossy and decisions.is_lost(record, self.world.boot):
            return
        if record.role is not Role.FINAL or record.sha256 is not None:
            data = b""
            if record.offset:
                async with self.world.engine.file(record, record.offset) as descriptor:
                    data = os.pread(descriptor or 0, record.offset, 0)
            assert data == self.client.source(name), f"I14: {name} is held with wrong bytes"

    def _may_be_gone(self, name: str, id: UploadId, completed: bool, error: Exception) -> None:
        record = self.crash.before.latest().get(id)
        plan = self.client.plans[name]
        if record is None:
            known = {step.status for step in self.crash.before.told(id)}
            assert self.lossy or known & ENDED or plan.ending != "completed", f"I1: {name} is forgotten"
            return
        if record.status in (Status.TERMINATED, Status.EXPIRED, Status.FAILED):
            return
        if (plan.promise == "wrong" or plan.infected) and record.status is Status.VERIFYING:
            return
        if record.expires is not None and record.expires <= self.world.now:
            return
        parts_lost = self.lossy and plan.parts
        assert self.lossy, f"I1: {name} is lost: {error!r}"
        assert not completed or parts_lost, f"I1: {name} was completed, and is lost: {error!r}"

    def _holds(self, name: str, upload: Upload) -> None:
        source = self.client.source(name)
        if upload.role is Role.FINAL and upload.status is not Status.COMPLETED:
            return
        plan = self.client.plans[name]
        given_up = plan.ending == "terminated" or (plan.partial and self.world.scans)
        if given_up and not self._has(upload):
            return  # on a full disk, what a client gives up makes room before that is recorded
        if upload.offset or upload.status is Status.COMPLETED:
            data = self.world.disk.content(f"machine/data/{upload.place.partition('//')[0]}")
            assert data[: upload.offset] == source[: upload.offset], f"I3: {name} has wrong bytes"
        if upload.status is Status.COMPLETED:
            assert upload.sha256 == hashlib.sha256(source).digest(), f"I5: {name} has the wrong SHA-256"
            assert upload.offset == len(source) == upload.length, f"I5: {name} is not whole"
            assert upload.role is Role.PARTIAL or len(data) == len(source), f"I5: {name} has a tail"

    def _has(self, upload: Upload) -> bool:
        return upload.id in (*self.world.files("partial"), *(id_ for _, id_ in self.world.published()))

    async def ended(self) -> None:
        """Bring every plan to its end, and check that it is the right one."""
        before = {id_: max((t.offset for t in self.world.journal.told(id_)), default=0) for id_ in self._ids()}
        ends = await self.client.finish()
        used = {part for name, plan in self.client.plans.items() if ends[name] for part in plan.parts}
        for name, upload in ends.items():
            plan = self.client.plans[name]
            if upload is None:
                told_gone = plan.ending != "completed" or self.lossy or name in used
                assert told_gone, f"I8: {name} ends as gone"
            else:
                assert plan.ending == "completed", f"I6: {name} is completed"
                assert upload.offset >= before.get(upload.id, 0)
                self._holds(name, upload)
        self.published()
        await self._tidy()
        if not self.world.policy.relaxed:
            records = self.world.journal.latest()
            orphans = {file for file in self.world.files("partial") if UploadId(file) not in records}
            orphans |= {path for path, id_ in self.world.published() if id_ not in records}
            if self.world.shared:  # the next holder may have published another file of the same upload
                orphans |= {path for path, id_ in self.world.published() if records[id_].path != path}
            assert not orphans, f"I12: there are files without a record: {orphans}"
            published = {id_ for id_, record in records.items() if record.place.startswith("files/")}
            assert not published & set(self.world.files("partial")), "I12: partial/ has files that are published"

    async def _tidy(self) -> None:
        """Remove what steps that were cut short have left, as the clean-up does once it is an hour old."""
        if self.world.shared or any(
            plan.brought for plan in self.client.plans.values()
        ):  # such bytes may have no record, and still an id
            with patch.object(sweep, "STRAY", -60.0):
                await self.world.engine.sweep.tidy()
        blobs = self.world.engine.records.storage.blobs
        async for place, id_ in blobs.strays(inf):
            if id_ is None:
                await blobs.remove(place)

    def _ids(self) -> set[UploadId]:
        return set(self.client.ids.values())
