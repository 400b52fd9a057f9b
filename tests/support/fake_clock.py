"""A clock that a test sets under a real process, by libfaketime."""

import os
from pathlib import Path

import pytest

LIBRARIES = [
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib").glob("faketime/libfaketimeMT.so.1"),
]


class FakeClock:
    """The wall clock of the processes that are started with its environment; their steady clocks stay right."""

    def __init__(self, path: Path) -> None:
        if not LIBRARIES:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up("SKIPPED LOUDLY: libfaketime is not installed")
        self._path = path
        self.set(0)
        self.environment = {
            **os.environ,
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Set it so many seconds ahead of the right time, or behind (below 0)."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{seconds:+d}s")
        new.replace(self._path)
