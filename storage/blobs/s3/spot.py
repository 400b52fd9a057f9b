"""The places of an object store: how they are written, and what each says about the bytes of an upload (`Spot`).

    partial/ID                          nothing is stored yet, or the whole file under its private key (`join`)
    partial/ID?m=…;k=…;p=…;h=…;n=…;t=…  bytes that arrive
    …//ID//PATH                         the same, staged: to be published at PATH
    files/ID                            published under the upload's own name
    files/PATH//ID                      published at a path that a layout has made

    m   the id of the multipart upload
    k   its key: `d` for the final one, `p` for the private one, or any other path below files/, after a slash
    p   the parts that count, as runs of consecutive numbers: first number, count, size
    h   a check sum of their ETags, in order
    n   the first part number that is free
    t   the tail: the name and the size of the object with the bytes after the last part

A record names its parts by runs, so that it hardly grows with their number: an upload of 9,000 parts would otherwise
write its list of ETags 9,000 times. The ETags themselves are asked of S3 once, when the object is completed, and only
those that have the recorded check sum are used. How many bytes there are is never asked: the record knows it.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.model import Place, UploadId

MARK = "//"  # no path has two slashes in a row
CHECK = 16  # hexadecimal digits of the check sum


class Run(NamedTuple):
    """Parts with consecutive numbers and one size."""

    first: int
    many: int
    size: int


class Tail(NamedTuple):
    """The bytes after the last part: an object of their own."""

    name: str
    size: int


class Part(NamedTuple):
    """A part that counts."""

    number: int
    size: int


class Spot(Struct, frozen=True, kw_only=True):
    """A place that was taken apart (`parse`): what it says about the bytes of an upload. `place` builds it again."""

    id: UploadId
    # The id of the multipart upload; empty if there is none.
    multipart: str = ""
    # Whether the multipart upload has the final key.
    direct: bool = False
    runs: tuple[Run, ...] = ()
    # The check sum of the ETags of the parts.
    check: str = ""
    # The path of a copy that a crash has interrupted: the multipart upload is that of the copy, and in no record.
    copy: str | None = None
    # The first part number that no recorded part has.
    number: int = 1
    tail: Tail | None = None
    # Where the file is to be published; None unless it is staged.
    path: str | None = None
    # Where the file is published; None unless it is.
    published: str | None = None

    @property
    def in_parts(self) -> int:
        """Return how many bytes the parts have together."""
        return sum(run.many * run.size for run in self.runs)

    @property
    def size(self) -> int:
        """Return how many bytes the parts and the tail have together."""
        return self.in_parts + (self.tail.size if self.tail else 0)

    @property
    def is_named(self) -> bool:
        """Return whether the place names objects with the bytes, and not only the upload."""
        return bool(self.multipart or self.tail)

    def parts(self) -> Iterator[Part]:
        """Yield the parts in order."""
        for run in self.runs:
            for number in range(run.first, run.first + run.many):
                yield Part(number, run.size)

    def with_part(self, number: int, size: int, etag: str) -> "Spot":
        """Return this with one more part, which has the bytes of the tail as its first ones."""
        *before, last = (*self.runs, Run(number, 0, size))
        if before and before[-1].size == size and before[-1].first + before[-1].many == number:
            last = before.pop()
        runs = (*before, Run(last.first, last.many + 1, size))
        check = chained(self.check, Part(number, size), etag)
        return replace(self, runs=runs, check=check, number=number + 1, tail=None)

    def place(self) -> Place:
        """Build the place."""
        if self.published is not None:
            return Place(f"files/{self.published}" + (f"{MARK}{self.id}" if self.published != self.id else ""))
        fields: dict[str, str] = {}
        if self.multipart:
            fields |= {
                "m": quote(self.multipart, safe=""),
                "k": f"/{quote(self.copy)}" if self.copy is not None else "d" if self.direct else "p",
                "p": ",".join(".".join(map(str, run)) for run in self.runs),
                "h": self.check,
                "n": str(self.number),
            }
        if self.tail:
            fields["t"] = f"{self.tail.name}.{self.tail.size}"
        state = ";".join(f"{name}={value}" for name, value in fields.items())
        arriving = f"partial/{self.id}" + (f"?{state}" if state else "")
        return Place(arriving if self.path is None else MARK.join((arriving, self.id, self.path)))


def chained(check: str, part: Part, etag: str) -> str:
    """Return the check sum of ETags with one more of them."""
    line = f"{check} {part.number} {part.size} {etag}"
    return hashlib.sha256(line.encode()).hexdigest()[:CHECK]


def parse(place: Place) -> Spot:
    """Take a place apart; raises ValueError if it is none of this store."""
    where, *known = place.split(MARK)
    folder, _, name = where.partition("/")
    if folder == "files":
        return Spot(id=UploadId(known[0] if known else name), published=name)
    id_, _, state = name.partition("?")
    fields = dict(field.split("=", 1) for field in state.split(";")) if state else {}
    tail, key = fields.get("t", "").split("."), fields.get("k", "")
    return Spot(
        id=UploadId(id_),
        multipart=unquote(fields.get("m", "")),
        direct=key == "d",
        copy=unquote(key[1:]) if key.startswith("/") else None,
        runs=tuple(Run(*map(int, run.split("."))) for run in fields.get("p", "").split(",") if run),
        check=fields.get("h", ""),
        number=int(fields.get("n", "1")),
        tail=Tail(tail[0], int(tail[1])) if tail[0] else None,
        path=MARK.join(known[1:]) if known else None,
    )
