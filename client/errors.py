"""Everything that keeps an upload from its end.

UploadError: it ends here                  Setback: it does not
├─ Refused      the server says no         ├─ Interrupted  ask for the offset, and resume
├─ GivenUp      no progress for too long   │  └─ Unreached  no connection could be made yet
│  └─ Unreachable  no connection at all    └─ Gone         start from the beginning
├─ Mismatch     the server has other bytes
├─ FileChanged  the file is another one now
└─ Busy         another process sends it
"""

from typing import ClassVar


class UploadError(Exception):
    """An upload can't be brought to its end; the message is a sentence for people."""

    dead: ClassVar[bool] = False  # whether nothing can be done any more with what the server has


class Refused(UploadError):
    """The server refuses, and would again."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class GivenUp(UploadError):
    """There was no progress for as long as was to be waited; a later call can resume."""


class Unreachable(GivenUp):
    """No connection to the server could be made, not even once."""


class Mismatch(UploadError):
    """The server's bytes have another SHA-256 than the file."""

    dead = True


class FileChanged(UploadError):
    """The file was changed while it was sent."""

    dead = True


class Busy(UploadError):
    """Another process sends the same file to the same place."""


class Setback(Exception):
    """A request failed in a way that can be got over."""


class Interrupted(Setback):
    """A request led to nothing known; `retry_after` are the seconds that the server asks to wait."""

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Unreached(Interrupted):
    """No connection could be made to a server that has not answered before; `lasted` are the seconds of this try."""

    def __init__(self, sentence: str, lasted: float = 0.0) -> None:
        super().__init__(sentence)
        self.lasted = lasted


class Gone(Setback):
    """The server doesn't have the upload, or not any more."""
