"""What clients were told of their uploads, and the checker that holds a server to it; it knows nothing of the server.

The bytes of an upload are a function of its key and the position, so nothing has to be kept to compare with.
"""

import hashlib
import random
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from http_connection import Answer

PERIOD = 4093  # a prime, so that a block at a wrong place shows
GONE = (404, 410)


def source(key: int, length: int) -> bytes:
    """Give the bytes of an upload."""
    block = random.Random(key).randbytes(PERIOD)
    return (block * (length // PERIOD + 1))[:length]


def digest(sha256: bytes) -> str:
    """Write a SHA-256 as Repr-Digest."""
    return f"sha-256=:{b64encode(sha256).decode()}:"


@dataclass(kw_only=True)
class Sent:
    """An upload as its client knows it: `told` is the largest offset that it ever heard of, `sent` what it offered."""

    path: str
    data: bytes
    role: str = ""
    wrong: bool = False  # its promise is not that of its bytes
    parts: tuple["Sent", ...] = ()
    told: int = 0
    sent: int = 0
    completed: bool = False
    removing: bool = False
    removed: bool = False
    volatile: bool = False  # what was told may go with the power, as a whole
    busy: bool = False
    seen: int = 0  # kills that it has lived through

    @cached_property
    def sha256(self) -> bytes:
        """Its SHA-256."""
        return hashlib.sha256(self.data).digest()

    @property
    def name(self) -> str:
        """The id in its URL."""
        return self.path.rpartition("/")[2]

    @property
    def over(self) -> bool:
        """Whether nothing can follow: it was given up, or has failed."""
        return self.removing or (self.wrong and self.sent == len(self.data))

    @property
    def may_be_gone(self) -> bool:
        """Whether 404 and 410 are true answers now."""
        lost = not self.completed and any(each.volatile for each in (self, *self.parts))
        return self.over or lost

    def hear(self, offset: int, floor: int) -> None:
        """Take an offset that was told; `floor` is what was told before it was asked for."""
        assert floor <= offset, f"{self}: {offset} was told after {floor}"
        assert offset <= self.sent, f"{self}: {offset} was told, and {self.sent} sent"
        self.told = max(self.told, offset)

    def finish(self, answer: Answer) -> None:
        """Take the answer of a completed upload."""
        assert not self.wrong, f"{self} is completed in spite of its promise"
        assert answer["Repr-Digest"] == digest(self.sha256), f"{self}: another SHA-256"
        assert int(answer["Upload-Offset"]) == len(self.data)
        self.completed, self.told = True, len(self.data)

    def check_head(self, answer: Answer, floor: int, completed: bool) -> None:
        """Hold the answer of a HEAD against what was told before it was asked for."""
        if answer.status in GONE:
            assert self.may_be_gone, f"{self}: {answer.status} after {floor} was told"
            return
        assert answer.status == 200, f"{self}: {answer}"
        assert not self.removed, f"{self} has come back"
        if "upload-offset" in answer:
            self.hear(int(answer["Upload-Offset"]), floor)
        else:
            assert self.role == "final", answer
            assert not completed, f"{self} is not completed any more"
        if "repr-digest" in answer:
            self.finish(answer)
        else:
            assert not completed, f"{self} is not completed any more"

    def __str__(self) -> str:
        """Tell what matters of it."""
        kind = self.role or "upload"
        return f"{kind} {self.name[:6]} of {len(self.data)}, {self.told} told, {self.sent} sent"


@dataclass
class Folder:
    """A data folder between two servers, and what may lie in it."""

    path: Path
    uploads: list[Sent] = field(default_factory=list)
    allowed: set[bytes] = field(default_factory=set)  # the SHA-256 of whole files that a client has sent or asked for
    checked: dict[str, bytes] = field(default_factory=dict)
    verified: int = 0  # bytes that were held against their source

    def check_at_rest(self) -> None:
        """Check what lies in the folder while no server runs."""
        files = {file.name: file for file in (self.path / "files").glob("[!.]*")}
        for name in files.keys() - self.checked.keys():
            data = files[name].read_bytes()
            self.checked[name] = hashlib.sha256(data).digest()
            self.verified += len(data)
            assert re.fullmatch("[0-9a-f]{32}", name), f"files/{name} is no upload"
            assert self.checked[name] in self.allowed, f"files/{name} is unverified, {len(data)} bytes"
            assert files[name].stat().st_mode & 0o777 == 0o440
        for upload in self.uploads:
            if not upload.may_be_gone:
                self._check_bytes(upload, files.get(upload.name))

    def _check_bytes(self, upload: Sent, published: Path | None) -> None:
        if published:
            assert self.checked[upload.name] == upload.sha256, f"{upload} was published with other bytes"
            return
        assert upload.role != "" or not upload.completed, f"{upload} is completed, and not published"
        if upload.told == 0 or upload.role == "final":
            return
        data = (self.path / "partial" / upload.name).read_bytes()
        assert data[: upload.told] == upload.data[: upload.told], f"{upload}: not the bytes that were sent"
        self.verified += upload.told
