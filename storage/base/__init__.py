"""The seams of the storage: what a store has to offer, and the errors with which every store answers.

The server never names a store. It works with a few kinds of things, each described on a page of its own:

    Storage
      blobs ---- Blobs          the bytes of each upload                 blobs.py
      |          Space          the store of bytes as a whole            blobs.py
      backups -- Backups        copies of records beside the bytes       backups.py
      nodes ---- Nodes          which servers are certainly dead         nodes.py
      |
      state ---- Records        one record for each upload               records.py
                 Leases         one writer for each upload               leases.py
                 Events         progress for those who watch             state.py
                 Outbox         events that wait for delivery            outbox.py
                 Hints          which upload had the same bytes          hints.py
                 CreationKeys   which upload a repeated creation means   creation_keys.py
                 Quotas         how much an owner may have               quotas.py

A state is all six in one store, because a save changes the record, is refused without the lease, reports the progress,
and puts events into the outbox, all in one step. `SharedState` (state.py) adds what a state needs that several servers
use.

The order is always: bytes, then record, then event, then reply. So an acknowledged offset is in a record, and the bytes
of that record are as durable as `Durability` says. A crash can only lose what was never acknowledged.

A new store implements one of these protocols and gets one row in the tables of `onward.storage`. Every method is
required. The contract suites in tests/storage say what each of them means, and run over every implementation.
"""

from onward.storage.base.backups import Backups
from onward.storage.base.blobs import (
    NOTHING_KNOWN,
    NOTHING_SAID,
    USUAL_MODES,
    About,
    Ahead,
    Blobs,
    BlobStore,
    BlobWriter,
    Block,
    Durability,
    Modes,
    Room,
    Space,
    Stride,
    is_staged,
)
from onward.storage.base.creation_keys import Binding, CreationKeys
from onward.storage.base.errors import Crowded, Exceeded, Full, Held, Missing, Stale, StorageError, Unreachable
from onward.storage.base.hints import Hints
from onward.storage.base.leases import ANYONE, Lease, Leases
from onward.storage.base.nodes import Nodes
from onward.storage.base.outbox import Claimed, Outbox, OutboxCounts
from onward.storage.base.quotas import Quotas, Usage, fitting
from onward.storage.base.records import Cursor, Page, Records, SavesHere
from onward.storage.base.short_files import SHORT, ShortFiles
from onward.storage.base.state import Events, SharedState, State, Storage, StoredBytes

__all__ = [
    "ANYONE",
    "NOTHING_KNOWN",
    "NOTHING_SAID",
    "SHORT",
    "USUAL_MODES",
    "About",
    "Ahead",
    "Backups",
    "Binding",
    "BlobStore",
    "BlobWriter",
    "Blobs",
    "Block",
    "Claimed",
    "CreationKeys",
    "Crowded",
    "Cursor",
    "Durability",
    "Events",
    "Exceeded",
    "Full",
    "Held",
    "Hints",
    "Lease",
    "Leases",
    "Missing",
    "Modes",
    "Nodes",
    "Outbox",
    "OutboxCounts",
    "Page",
    "Quotas",
    "Records",
    "Room",
    "SavesHere",
    "SharedState",
    "ShortFiles",
    "Space",
    "Stale",
    "State",
    "Storage",
    "StorageError",
    "StoredBytes",
    "Stride",
    "Unreachable",
    "Usage",
    "fitting",
    "is_staged",
]
