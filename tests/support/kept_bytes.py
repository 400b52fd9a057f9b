"""Where the bytes of a server are, so that a test can look at them whatever the store: its data folder, or its bucket."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from over_s3 import SERVER, prefix_of
from s3_process import client_of

UNFINISHED = ("partial", "tails", "multipart")


@dataclass(frozen=True, slots=True)
class Piece:
    """A file or an object that belongs to an upload; a multipart upload is one in the folder `multipart`, of size 0."""

    folder: str
    name: str  # below the folder
    size: int

    def belongs_to(self, id_: str) -> bool:
        """Tell whether it is of an upload that is published under its id."""
        return self.name.partition(".")[0] == id_


class KeptBytes:
    """The bytes of the server with a data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._client: Any = None
        if SERVER in os.environ:
            endpoint, self._bucket = os.environ[SERVER].split()[1:]
            self._client, self._prefix = client_of(endpoint), f"{prefix_of(data)}/"

    def pieces(self) -> list[Piece]:
        """Give all that is stored."""
        return list(self._on_disk() if self._client is None else self._in_bucket())

    def of(self, url: str) -> list[Piece]:
        """Give what is stored of an upload, by its URL or path."""
        id_ = url.rpartition("/")[2]
        return [piece for piece in self.pieces() if piece.belongs_to(id_)]

    def unfinished(self) -> set[str]:
        """Give the ids of all uploads with bytes that are not published."""
        return {piece.name.partition(".")[0] for piece in self.pieces() if piece.folder in UNFINISHED}

    def files(self) -> set[str]:
        """Give the names of all published files."""
        return {piece.name for piece in self.pieces() if piece.folder == "files"}

    def read(self, url: str) -> bytes:
        """Give what a completed upload is published as."""
        name = f"files/{url.rpartition('/')[2]}"
        if self._client is None:
            return (self._data / name).read_bytes()
        found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
        with found:
            data: bytes = found.read()
            return data

    def sha256(self, url: str) -> str:
        """Give the SHA-256 of what a completed upload is published as."""
        return hashlib.sha256(self.read(url)).hexdigest()

    def lose(self, url: str) -> None:
        """Remove all that is stored of an upload behind the back of the server."""
        for piece in self.of(url):
            if self._client is None:
                (self._data / piece.folder / piece.name).unlink()
            else:
                self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{piece.folder}/{piece.name}")

    def _on_disk(self) -> Iterator[Piece]:
        for folder in ("partial", "files"):
            for file in (self._data / folder).glob("*"):
                with suppress(FileNotFoundError):  # it has just been moved or removed
                    yield Piece(folder, file.name, file.stat().st_size)

    def _in_bucket(self) -> Iterator[Piece]:
        where = {"Bucket": self._bucket, "Prefix": self._prefix}
        for page in self._client.get_paginator("list_objects_v2").paginate(**where):
            for each in page.get("Contents", ()):
                folder, _, name = each["Key"].removeprefix(self._prefix).partition("/")
                if name:
                    yield Piece(folder, name, each["Size"])
        for each in self._client.list_multipart_uploads(**where).get("Uploads", ()):
            yield Piece("multipart", each["Key"].rpartition("/")[2], 0)
