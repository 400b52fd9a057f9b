"""The server on a system that has no more threads as long as a file exists: few_threads_server.py FILE WORDS…

As long as FILE.hung exists too, its disk hangs.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.cli import main

exhausted = Path(sys.argv.pop(1))
sync = os.fdatasync
start = threading._start_new_thread  # type: ignore[attr-defined]


def start_if_any(*words: Any) -> Any:
    """Start a thread, or refuse in Python's words."""
    if exhausted.exists():
        raise RuntimeError("can't start new thread")
    return start(*words)


def sync_if_it_can(fd: int) -> None:
    """Sync once the disk goes on."""
    while exhausted.with_suffix(".hung").exists():
        time.sleep(0.02)
    sync(fd)


setattr(os, "fdatasync", sync_if_it_can)  # noqa: B010
threading._start_new_thread = start_if_any  # type: ignore[attr-defined]
main()
