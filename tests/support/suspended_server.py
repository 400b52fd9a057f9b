"""The server, which suspends itself (SIGSTOP) at a failpoint: suspended_server.py POINT WORDS…, POINT as NAME:HIT."""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.cli import main
from onward.storage import failpoints

name, _, hit = sys.argv.pop(1).partition(":")
hits = iter(range(1, int(hit or 1) + 1))


def stop(reached: str) -> None:
    """Fall asleep the first time that the point is reached often enough."""
    if reached == name and next(hits, 0) == int(hit or 1):
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.2)  # any thread may take the signal, and this one would go on until then


failpoints.armed = stop
main()
