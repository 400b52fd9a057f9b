"""The errors of the seams: whatever goes wrong behind a seam is raised as one of these.

A store turns the errors of its own library (OSError, sqlite3.Error, RedisError) into them, so that nothing above the
storage has to know which store it works with. The server turns them into replies in `server/http/problems.py`.
"""


class StorageError(Exception):
    """Something behind a seam went wrong. `reported` says that the log has a line about this failure already."""

    reported = False


class Missing(StorageError):
    """There is no such record, or there are fewer bytes than the record says."""


class Stale(StorageError):
    """The record was changed by another request, or the caller no longer holds the lease."""


class Held(StorageError):
    """Another request holds the lease and did not give it up in time."""


class Full(StorageError):
    """There is no room left."""


class Crowded(StorageError):
    """There are already as many unfinished uploads as are allowed."""


class Exceeded(StorageError):
    """The owner, or with `uploads` the token of an upload, has no room left for what was asked."""

    def __init__(self, *, uploads: bool = False) -> None:
        super().__init__("as many uploads as the token allows" if uploads else "the quota of the owner")
        self.uploads = uploads


class Unreachable(StorageError):
    """The store does not answer, or answers with an internal error. A later attempt may succeed."""
