"""Everything that can keep an upload from completing.

An UploadError ends the call, and is public. A Setback is private: the loop in `transfer.py` or the caller of a
transfer gets over it.

    UploadError                                Setback
    ├─ Refused      the server says no         ├─ Interrupted   ask for the offset, and resume
    │  └─ Rejected     to this very content    │  └─ Unreached   no connection could be made yet
    ├─ GivenUp      no progress for too long   └─ UploadMissing  start again from the beginning
    │  └─ Unreachable  no connection at all
    ├─ Mismatch     the server has other bytes
    ├─ FileChanged  the file is another one now
    └─ Busy         another process sends it
"""

from typing import ClassVar


class UploadError(Exception):
    """An upload can't be completed; the message is a sentence for people."""

    discards_upload: ClassVar[bool] = False  # whether the bytes that the server has stored are useless now


class Refused(UploadError):
    """The server refuses, and would refuse again. `status` is that of its answer, if there was one."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class Rejected(Refused):
    """The server refuses the content of the file, and has given the upload up."""

    discards_upload = True


class GivenUp(UploadError):
    """There was no progress for as long as the options allow; a later call can resume."""


class Unreachable(GivenUp):
    """No connection to the server could be made, not even once."""


class Mismatch(UploadError):
    """The server's bytes have another SHA-256 than the file."""

    discards_upload = True


class FileChanged(UploadError):
    """The file was changed while it was sent."""

    discards_upload = True


class Busy(UploadError):
    """Another process is uploading the same file to the same place."""


class Setback(Exception):
    """A request failed in a way that the client can get over by itself."""


class Interrupted(Setback):
    """The outcome of a request is unknown; `retry_after` is how many seconds the server asks to wait."""

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Unreached(Interrupted):
    """No connection could be made to a server that has not answered before; `lasted` is how long this attempt took."""

    def __init__(self, sentence: str, lasted: float = 0.0) -> None:
        super().__init__(sentence)
        self.lasted = lasted


class UploadMissing(Setback):
    """The server does not have the upload, or no longer has it."""
