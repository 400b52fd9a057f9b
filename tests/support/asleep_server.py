"""The server, which stops itself (SIGSTOP) when it comes to a failpoint: asleep_server.py POINT WORDS…, POINT as NAME:HIT."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from server.cli import main
from storage import failpoints

name, _, hit = sys.argv.pop(1).partition(":")
left = int(hit or 1)


def stop(reached: str) -> None:
    """Fall asleep the first time that the point is reached often enough."""
    global left
    if reached == name:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)


failpoints.armed = stop
main()
