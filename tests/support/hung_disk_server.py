"""The server on a disk that hangs in fdatasync of the uploads that a file names: hung_disk_server.py FILE WORDS…"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.cli import main

hung = Path(sys.argv.pop(1))
real = os.fdatasync


def hung_names() -> str:
    """Give the names; none once the file is gone, also between a look whether it is there and the reading."""
    try:
        return hung.read_text()
    except FileNotFoundError:
        return ""


def hanging(fd: int) -> None:
    """Sync once the file lets it; each that waits is noted beside the file."""
    name, noted = Path(f"/proc/self/fd/{fd}").readlink().name, False
    while name in hung_names():
        if not noted:
            with hung.with_suffix(".waiting").open("ab") as waiting:
                waiting.write(b".")
            noted = True
        time.sleep(0.02)
    real(fd)


setattr(os, "fdatasync", hanging)  # noqa: B010
main()
