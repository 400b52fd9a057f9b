"""The places of the local folder: how they are written, and which file each of them stands for.

    partial/ID                       bytes that arrive
    files/ID                         published under the upload's own name, which no other upload can have
    partial/ID//TOKEN//PATH          staged: whole and durable, to be published at PATH
    files/.ID//TOKEN//PATH           the same, if files/ is on another file system: the copy is made first
    files/PATH//TOKEN                published at a path that a layout has made

Several uploads may want one PATH, and a published file may be moved away by hand, after which another upload gets its
path. So a file counts as an upload's own only if it has the TOKEN of the record: its length, and a time of change that
was given to it when it was staged and that no other file has. A copy of the data folder has to keep these times.

Where PATH is taken, the next of its `candidates` is tried; the last one is the upload's own name. Called by disk.py,
reading.py, publishing.py and staging.py.
"""

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from onward.protocol.model import ID_PATTERN, Place, UploadId
from onward.protocol.naming import with_suffix

MARK = "//"  # no path has two slashes in a row
# The errors of a name that is not there, or that this file system can't have: the next candidate is tried.
UNUSABLE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP})
LONG = 32  # digits of a whole id, which no other upload's suffix can have


class Parts(NamedTuple):
    """The parts of a place: where its file is, the token of that file, and the path that it shall get."""

    where: str
    token: str = ""
    path: str = ""

    @property
    def id(self) -> UploadId:
        """Return the upload that an arriving, staged, or own place belongs to."""
        return UploadId(self.where.rpartition("/")[2].removeprefix("."))

    def place(self) -> Place:
        """Build the place."""
        return Place(MARK.join(part for part in self if part))


def parts(place: Place) -> Parts:
    """Take a place apart."""
    return Parts(*place.split(MARK))


def candidates(path: str, id: UploadId) -> Iterator[str]:
    """Yield the paths below files/ to try, in order, without those that look like the id of another upload."""
    tried = (path, with_suffix(path, id), with_suffix(path, id, LONG))
    yield from (each for each in tried if not re.fullmatch(ID_PATTERN, each))
    yield id


def marked(fd: int) -> str:
    """Give a file a time of change that no other file has, and return its token. Only a sync makes it durable."""
    now = time.time_ns() // 10**9 * 10**9 + secrets.randbelow(10**9)
    os.utime(fd, ns=(now, now))
    return token(os.fstat(fd))


def token(found: os.stat_result) -> str:
    """Return the token of a file, which no other file that gets its name has."""
    return f"{found.st_size:x}-{found.st_mtime_ns:x}"


def is_own(file: Path, wanted: str) -> bool:
    """Return whether the file at a path is the one with a token; raises OSError if it can't be looked at."""
    try:
        return token(os.stat(file, follow_symlinks=False)) == wanted
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        return False


def published_at(files: Path, staged: Parts) -> str | None:
    """Return the path below `files` at which a staged file is published already, or None."""
    names = candidates(staged.path, staged.id)
    return next((each for each in names if is_own(files / each, staged.token)), None)
