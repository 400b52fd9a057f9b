"""The machines that are run: over memory, and over a disk with every durability."""

from itertools import count
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from s3_process import S3Process, url_of
from upload_machine import PICK, SIZES, UploadMachine
from upload_model import Patch, Scanner

from onward.storage.base import Durability

S3_POINTS = ("sending-tail", "sent-tail", "publishing", "published")
FAR = 1e7  # seconds; further than all waits of a run together


class EventfulMachine(UploadMachine):
    """Requests to a server that is stopped and started again, on a machine whose clock is set."""

    @precondition(lambda self: self.models)
    @rule(pick=PICK)
    def set_the_clock(self, pick: int) -> None:
        """Set the clock far forward, or right again: nobody has lived through that time."""
        self.skew = 0.0 if self.skew else FAR
        self.answers["clock set"] += 1
        self._look(self.pick(pick))
        self.do(self.engine.sweep.all())  # corrects the times of all records
        self.do(self.engine.sweep.all())  # does what is due by the corrected times
        for model in self.models:
            if model.is_expired(self.now):
                model.end(self.now)
            elif model.status == "gone":
                model.ended = self.now

    @precondition(lambda self: self.state != "memory:")
    @rule()
    def stop(self) -> None:
        """Stop the server, and the machine with it where what was told has to outlive that."""
        self.runner.run(self.engine.close())
        self.storage, self.watches = None, []
        self.boots += self.durability is not Durability.NONE
        self.answers["stopped"] += 1
        self.start()
        for model in self.models[-6:]:
            self._look(model)


class InMemory(EventfulMachine):
    """Nothing but memory."""


class OnDisk(EventfulMachine):
    """Records in SQLite, bytes in files."""

    state, blobs = "sqlite:", "file:"


class InGroups(OnDisk):
    """Synced together."""

    durability = Durability.GROUP


class InTheSystem(OnDisk):
    """Synced once an upload is silent, and at a stop."""

    durability = Durability.PROCESS


class Unsynced(OnDisk):
    """Never synced."""

    durability = Durability.NONE


class Scanned(UploadMachine):
    """With a scanner that is stopped and started."""

    state, blobs = "sqlite:", "file:"
    scanner = Scanner()

    @rule()
    def stop_or_start_the_scanner(self) -> None:
        """Let it be down, or up again."""
        self.scanner.down = not self.scanner.down

    @precondition(lambda self: self.models)
    @rule(pick=PICK, point=st.sampled_from(["checked", "held"]))
    def die_at_a_check(self, pick: int, point: str) -> None:
        """Let the process end around a check."""
        self._patch(self.pick(pick), Patch(rest=True, point=point))


class InABucket(EventfulMachine):
    """Records in SQLite, bytes in a bucket, where each run has a prefix of its own.

    Files are too small for parts; what they have are tails, copies and joins.
    """

    state = "sqlite:"
    server: ClassVar[S3Process]
    bucket: ClassVar[str]
    runs = count()

    def __init__(self) -> None:
        super().__init__()
        prefix = url_of(self.server, self.bucket).replace("/up?", f"/{next(self.runs)}?")
        type(self).blobs = prefix

    @precondition(lambda self: self.models)
    @rule(pick=PICK, size=SIZES, rest=st.booleans(), point=st.sampled_from(S3_POINTS))
    def die_at_a_tail(self, pick: int, size: int, rest: bool, point: str) -> None:
        """Let the process end around a request to S3."""
        self._patch(self.pick(pick), Patch(size=size, rest=rest, point=point))


MACHINES = (InMemory, OnDisk, InGroups, InTheSystem, Unsynced)
