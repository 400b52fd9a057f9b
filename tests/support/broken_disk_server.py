"""The server on a disk whose calls fail with EIO as long as a file exists: broken_disk_server.py FILE WORDS…"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.cli import main

broken = Path(sys.argv.pop(1))


def failing(call: Callable[..., Any]) -> Callable[..., Any]:
    """Give a call that fails while the disk is broken."""

    def or_fail(*words: Any, **more: Any) -> Any:
        if broken.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(*words, **more)

    return or_fail


for name in ("pwrite", "fsync", "fdatasync"):
    setattr(os, name, failing(getattr(os, name)))
main()
