"""The names of all keys and channels in Redis, and the buckets that spread the uploads over a cluster.

A cluster has 16,384 slots, each on one of its masters. The slot of a key follows from the part in braces, its hash tag,
and a script may only use keys of one slot. So each upload belongs to one of 64 buckets, by a hash of its id, and all
keys of a bucket have the same hash tag. Every change of an upload is one script on one slot, and the buckets are spread
over all masters. What concerns all uploads is asked of all buckets in one round (`Commands.of_each`).

    {onward:07}:ID:record    hash    the record of an upload, and what is known about its leases
    {onward:07}:ID:lease     string  the token of the holder, with a time to live
    {onward:07}:due          zset    the ids of the uploads that the sweep has to look at, by their due time
    {onward:07}:open         set     the ids of the unfinished uploads
    {onward:07}:listed       zset    the ids of all uploads, by the time of their creation
    {onward:07}:owned        zset    the uploads that have an owner, in the order of their owners, and for each owner by
                                     the time of their creation (`owned_entry`)
    {onward:07}:promised     hash    the sums over the unfinished uploads
    {onward:07}:store        string  the name of the data folder that the uploads belong to
    {onward:07}:hint:KEY     string  the id of an upload that may have the bytes of a new one; only with
                                     --duplicates=share (hints.py). Its bucket follows from KEY.
    {onward:07}:…            the outbox, which outbox.py describes; only with webhooks

    {onward:open}:reserved   zset    the ids of all unfinished uploads, by the time of their reservation; only with
    {onward:open}:counted    string  --max-open (open_limit.py). While `counted` exists, `reserved` is complete.

    {onward:owner:07}:…      what is reserved for the owners of uploads, which quotas.py describes; only with quotas

    onward:progress:ID, onward:yield   channels (bus.py)

Each bucket has the name of the data folder, because a cluster may lose the keys of one master and keep the others. Then
some buckets have no name any more, and the uploads are adopted from their backups, as if Redis had come back empty.

One Redis has the same buckets. That costs nothing, because nearly all calls concern one upload only.
"""

from functools import lru_cache
from hashlib import sha256
from struct import pack, unpack
from typing import NamedTuple
from zlib import crc32

from onward.protocol.model import UploadId
from onward.storage.base import Cursor

YIELD_CHANNEL = "onward:yield"
PROGRESS_PREFIX = "onward:progress:"
OPEN_TAG = "{onward:open}"
RESERVED, COUNTED = f"{OPEN_TAG}:reserved", f"{OPEN_TAG}:counted"


class Bucket(NamedTuple):
    """The hash tag of a bucket, and the keys that its uploads share."""

    tag: str
    due: str
    open: str
    promised: str
    store: str
    listed: str
    owned: str


class Keys(NamedTuple):
    """The keys that every script on an upload gets, in the order of scripts.py."""

    record: str
    lease: str
    due: str
    open: str
    promised: str
    listed: str
    owned: str


def _bucket(tag: str) -> Bucket:
    return Bucket(tag, *(f"{tag}:{name}" for name in ("due", "open", "promised", "store", "listed", "owned")))


BUCKETS = tuple(_bucket(f"{{onward:{number:02}}}") for number in range(64))
_OPEN_BUCKET = _bucket(OPEN_TAG)


def bucket_of(id: UploadId) -> Bucket:
    """Return the bucket that an upload belongs to, for ever."""
    return BUCKETS[crc32(id.encode()) % len(BUCKETS)]


def hashed(name: str) -> str:
    """Return what stands for the name of an owner or of a token in a key: 32 hexadecimal digits."""
    return sha256(name.encode()).hexdigest()[:32]


def owned_entry(owner: str, place: Cursor) -> str:
    """Return the entry of an upload in the list of uploads that have an owner; `owner` is the hash of the name.

    The text of a time sorts like the time, which is not negative.
    """
    return f"{owner}:{pack('>d', place.created).hex()}:{place.id}"


def owned_place(entry: bytes) -> Cursor:
    """Return the place of an upload in the list of its owner, from its entry."""
    _, created, id_ = entry.decode("ascii", "replace").split(":")
    return Cursor(unpack(">d", bytes.fromhex(created))[0], UploadId(id_))


def hint_key(key: str) -> str:
    """Return the key in Redis of a hint."""
    return f"{BUCKETS[crc32(key.encode()) % len(BUCKETS)].tag}:hint:{key}"


@lru_cache(1024)
def keys_of(id: UploadId) -> Keys:
    """Return the keys of an upload, which are in one slot."""
    return _keys(id, bucket_of(id))


def keys_beside_reservations(id: UploadId) -> Keys:
    """Return keys of the same kinds in the slot of the reservations, so that PROBE can try its commands there too."""
    return _keys(id, _OPEN_BUCKET)


def _keys(id: UploadId, bucket: Bucket) -> Keys:
    own = (f"{bucket.tag}:{id}:record", f"{bucket.tag}:{id}:lease")
    return Keys(*own, bucket.due, bucket.open, bucket.promised, bucket.listed, bucket.owned)
