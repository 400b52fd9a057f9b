"""What the errors of S3 mean for the seams."""

from onward.storage.base import Full, Missing, StorageError, Unreachable

NOT_FOUND = frozenset({"NoSuchKey", "NoSuchUpload", "404", "NotFound"})
TAKEN = frozenset({"PreconditionFailed", "412"})
# The key can't have an object. The first two come from servers that keep objects as files.
NO_NAME = frozenset({"ObjectParentIsFile", "ExistingObjectIsDirectory", "KeyTooLongError"})
NO_ROOM = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"})
# The request may succeed when it is repeated. The last two mean that another request is changing the same key.
AGAIN = frozenset({"SlowDown", "RequestTimeout", "ConditionalRequestConflict", "409"})
REFUSED = {
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": "the credentials are not allowed to do that",
    "InvalidAccessKeyId": "the credentials are unknown",
    "SignatureDoesNotMatch": "the credentials are wrong",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "403": "the credentials are refused",
    "401": "the credentials are refused",
}


class Taken(StorageError):
    """Another object has the key already."""


class Passing(Exception):
    """A fault that may have passed when the request is repeated; outside of this file it is Unreachable."""


def fault_of(code: str, status: int) -> StorageError | Passing:
    """Return the error of the seam for what S3 has answered."""
    if code in NOT_FOUND:
        return Missing(code)
    if code in TAKEN | NO_NAME:
        return Taken(code)
    if code in NO_ROOM:
        return Full("the object storage has no room left")
    if code in REFUSED:
        return Unreachable(f"object storage: {REFUSED[code]}")
    kind: type[Passing | Unreachable] = Passing if status >= 500 or status == 429 or code in AGAIN else Unreachable
    return kind(f"object storage answers {code} ({status})")
