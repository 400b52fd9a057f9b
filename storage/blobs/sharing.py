"""Equal files of the local folder that share their blocks, where the file system can do that (XFS, btrfs, bcachefs).

The kernel is asked by FIDEDUPERANGE. It compares the two files itself, while nobody can write to them, and shares only
what is equal. So a wrong hint or a damaged file can't make another file wrong. Each upload keeps a file of its own:
removing one leaves the other whole. A crash or a power cut in the middle leaves some blocks shared, and both files as
they were. On other file systems nothing happens. A part of disk.py.
"""

import errno
import fcntl
import logging
import os
import struct
from collections.abc import Callable, Sequence

from onward.protocol.model import Place
from onward.storage.base import Missing
from onward.storage.blobs.disk_probe import BLOCK, can_share
from onward.storage.blobs.files import closed, opened
from onward.storage.blobs.reading import DiskReader

FIDEDUPERANGE = 0xC0189436  # Linux: let a range of another file share the blocks of this one, if it is equal
STEP = 2**24  # bytes of one call; btrfs compares no more at once
_REQUEST = struct.Struct("=QQHHI qQQiI")  # file_dedupe_range, then one file_dedupe_range_info
_DIFFERS = 1
_CANT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EPERM, errno.ETXTBSY})
log = logging.getLogger("onward")


class DiskSharing(DiskReader):
    """The bytes of a local folder, as equal ones are shared."""

    _shares: bool | None = None  # whether a copy can share its blocks; None before that was tried
    _is_told = False  # that the file system can't share blocks, which is logged once

    async def joined_size(self, lengths: Sequence[int]) -> int:
        """Return how many bytes a join copies: 0 if it can share blocks and all parts but the last have whole ones."""
        if any(length % BLOCK for length in lengths[:-1]):
            return sum(lengths)
        if self._shares is None:
            with self._mapped():
                self._shares = await self._pool.call(can_share, self._root / "partial")
        return 0 if self._shares else sum(lengths)

    async def share(self, place: Place, equal: Place, length: int, check: Callable[[], None] = lambda: None) -> bool:
        """Let a published file share the blocks of another one; raises Missing if they are not equal."""
        with self._mapped():
            source = await opened(self._pool, self._open_to_read, equal, length)
            with closed(source):
                target = await opened(self._pool, self._open_to_read, place, length)
                with closed(target):
                    at = 0
                    while at < length:
                        try:
                            shared = await self._slow.call(share_some, source, target, at, min(STEP, length - at))
                        except OSError as error:
                            if error.errno not in _CANT:
                                raise
                            self._tell(error)
                            return False
                        if not shared:
                            raise Missing(f"{equal} differs from {place} after the byte {at}")
                        at += shared
                        check()
        return True

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            log.info("equal files are kept apart: this file system can't share their blocks (%s)", error.strerror)


def share_some(source: int, target: int, at: int, count: int) -> int:
    """Share a range of two files; returns how many of its bytes are shared now, and 0 if they differ. Raises OSError.

    The end of a range has to be the end of a block, or of both files.
    """
    request = bytearray(_REQUEST.pack(at, count, 1, 0, 0, target, at, 0, 0, 0))
    fcntl.ioctl(source, FIDEDUPERANGE, request)
    *_, shared, status, _ = _REQUEST.unpack(request)
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    return 0 if status == _DIFFERS else shared
