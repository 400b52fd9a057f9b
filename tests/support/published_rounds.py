"""Rounds of kills of servers that publish to a bucket, and what it may have at any moment, and at the end."""

import hashlib
import random
import re
from pathlib import Path

from crash_rounds import Rounds
from forking_server import Zygote
from published_files import Outside
from random_clients import Fleet
from s3_process import S3Process, url_of
from s3_rounds import LargeFleet, swept_at
from upload_history import Folder

POINTS = (
    "created",
    "recorded",
    "judged",
    "staged",
    "placed",
    "publishing",
    "put",
    "published",
    "dropping",
    "answering",
)


class PublishedFolder(Folder):
    """A data folder and a bucket between two servers."""

    outside: Outside

    def check_at_rest(self) -> None:
        """Check both while no server runs."""
        names = self.outside.keys()
        for name in names - self.checked.keys():
            there = self.outside.object(name)
            self.checked[name] = hashlib.sha256(there.data).digest()
            self.verified += len(there.data)
            assert re.fullmatch("[0-9a-f]{32}", name), f"{name} is no upload"
            assert self.checked[name] in self.allowed, f"{name} is unverified, {len(there.data)} bytes"
            assert there.metadata == {"onward": name, "sha256": self.checked[name].hex()}
        for upload in self.uploads:
            if upload.may_be_gone:
                continue
            if upload.name in names:
                assert self.checked[upload.name] == upload.sha256, f"{upload} was published with other bytes"
            else:
                self._check_bytes(upload, None)


class PublishedRounds(Rounds):
    """Kills of servers that publish to a bucket."""

    points = [*((point, 1) for point in POINTS), *((point, 2) for point in POINTS)]  # noqa: RUF012
    fleet = LargeFleet
    patience = 1.0, 0.6

    def __init__(self, warm: Zygote, folder: Path, dice: random.Random, server: S3Process) -> None:
        self._server = server
        self._outside = Outside(server, server.new_bucket())
        super().__init__(warm, folder, dice, **self._outside.config)

    def folder(self, path: Path) -> Folder:
        """Give a new bucket, and what the servers leave there."""
        self._outside = Outside(self._server, self._server.new_bucket())
        self._config |= self._outside.config
        folder = PublishedFolder(path)
        folder.outside = self._outside
        return folder

    async def _leave(self, path: Path, fleet: Fleet) -> None:
        url = f"publish+{url_of(self._server, self._outside.bucket)}"
        ids = await swept_at(url, path)
        assert self._outside.keys() == ids, "the bucket has not exactly the finished files"
        left = [file.name for name in ("partial", "files") for file in (path / name).iterdir()]
        assert left == [], f"the sweep has left {left}"
