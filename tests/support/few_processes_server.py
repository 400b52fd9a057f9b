"""The server on a system that has no more processes as long as a file exists: few_processes_server.py FILE WORDS…"""

import errno
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.cli import main

exhausted = Path(sys.argv.pop(1))
real = os.fork


def fork_if_any() -> int:
    """Fork, or refuse as the system does; each refusal is noted beside the file."""
    if exhausted.exists():
        with exhausted.with_suffix(".refused").open("ab") as refused:
            refused.write(b".")
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real()


setattr(os, "fork", fork_if_any)  # noqa: B010
main()
