"""Stdout and stderr when nothing reads them: closed from the start (`>&-`), or a pipe whose reader has ended."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def replace_closed() -> None:
    """Open /dev/null for a closed stdout or stderr.

    Otherwise the next connection could get its file descriptor, and with it everything that is printed.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays until the end


def drop(stream: TextIO) -> None:
    """Send a stream to /dev/null, together with what is still in its buffer and would fail again at the exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@contextmanager
def while_read(stream: TextIO) -> Iterator[None]:
    """Write to a stream, and drop it if its reader has ended."""
    try:
        yield
    except BrokenPipeError:
        drop(stream)
