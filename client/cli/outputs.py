"""Stdout and stderr: each may be closed from the start, or be left by who reads it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def replace_closed() -> None:
    """Write to nowhere where stdout or stderr was closed: a connection could else get its number, and the words."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays until the end


def drop(stream: TextIO) -> None:
    """Have what is written from now on go nowhere, and what could not be: that would fail once more at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def while_read(stream: TextIO) -> Iterator[None]:
    """Write to a stream; it is dropped where its reader has left."""
    try:
        yield
    except BrokenPipeError:
        drop(stream)
