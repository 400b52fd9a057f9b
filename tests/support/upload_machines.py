"""The machines that are run: over memory, and over a disk with every durability."""

from hypothesis.stateful import precondition, rule
from upload_machine import PICK, UploadMachine

from onward.storage.base import Durability

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


MACHINES = (InMemory, OnDisk, InGroups, InTheSystem, Unsynced)
