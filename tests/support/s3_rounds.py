"""Rounds of kills of servers whose bytes are in a bucket, and what the bucket may have at any moment, and at the end."""

import hashlib
import random
import re
from pathlib import Path
from typing import Any

from crash_rounds import Rounds
from forking_server import Zygote
from msgspec.structs import replace
from random_clients import Fleet
from s3_process import REGION, S3Process, url_of
from upload_history import Folder, source

import onward.server.uploads.sweep as sweep_module
from onward.protocol.model import Limits, Role, Status
from onward.server.uploads.engine import Engine
from onward.storage import open_storage

MIB = 2**20
COMMON = ("created", "sending", "sent", "sending-tail", "sent-tail", "recorded", "judged", "answering")
RARE = ("completing", "completed", "publishing", "published")
SMALL = (1, 4097, 65_536, MIB)
LARGE = (5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 8 * MIB, 10 * MIB, 11 * MIB + 77)
PREFIX = "up/"


class Bucket(Folder):
    """A bucket between two servers."""

    server: S3Process
    bucket: str

    def check_at_rest(self) -> None:
        """Check the finished files while no server runs."""
        keys = self.server.keys(self.bucket)
        files = {key.removeprefix(f"{PREFIX}files/"): key for key in keys if key.startswith(f"{PREFIX}files/")}
        for name in files.keys() - self.checked.keys():
            data = self.server.client().get_object(Bucket=self.bucket, Key=files[name])["Body"].read()
            self.checked[name] = hashlib.sha256(data).digest()
            self.verified += len(data)
            assert re.fullmatch("[0-9a-f]{32}", name), f"files/{name} is no upload"
            assert self.checked[name] in self.allowed, f"files/{name} is unverified, {len(data)} bytes"
        for upload in self.uploads:
            if upload.completed and upload.role != "partial" and not upload.may_be_gone:
                assert upload.name in files, f"{upload} is completed, and not there"
                assert self.checked[upload.name] == upload.sha256, f"{upload} was published with other bytes"


class LargeFleet(Fleet):
    """Clients whose uploads have several parts, or none."""

    def _bytes(self, *, small: bool = False) -> bytes:
        sizes = SMALL if small or self._dice.random() < 0.5 else LARGE
        return source(self._dice.randrange(10**9), self._dice.choice(sizes))


class S3Rounds(Rounds):
    """Kills of servers that keep their bytes in a bucket."""

    points = [(point, hit) for point in COMMON for hit in (1, 3)] + [(point, 1) for point in RARE]
    fleet = LargeFleet
    patience = 0.6, 0.4

    def __init__(self, warm: Zygote, folder: Path, dice: random.Random, server: S3Process, **config: object) -> None:
        super().__init__(warm, folder, dice, **config)
        self._server = server
        self._config |= {"s3_endpoint": server.endpoint, "s3_region": REGION, "part_size": 5 * MIB}

    def folder(self, path: Path) -> Folder:
        """Make a bucket, and give what the servers leave there."""
        self._bucket = self._server.new_bucket()
        self._config["blobs"] = f"s3://{self._bucket}/{PREFIX}"
        bucket = Bucket(path)
        bucket.server, bucket.bucket = self._server, self._bucket
        return bucket

    async def _leave(self, path: Path, fleet: Fleet) -> None:
        ids = await swept(self._server, self._bucket, path)
        left = set(self._server.keys(self._bucket)) - {f"{PREFIX}store"}
        wanted = {f"{PREFIX}files/{id_}" for id_ in ids}
        assert not left - wanted, f"the sweep has left {left - wanted}"
        assert not wanted - left, f"the sweep has removed {wanted - left}"
        assert self._server.multiparts(self._bucket) == [], "the sweep has left multipart uploads"


async def swept(server: S3Process, bucket: str, data: Path, state: str = "sqlite:", **more: Any) -> set[str]:
    """Expire what is not finished, sweep, and give the ids of finished uploads; no server may run."""
    return await swept_at(url_of(server, bucket).replace("/up?", f"/{PREFIX}?"), data, state, **more)


async def swept_at(url: str, data: Path, state: str = "sqlite:", **more: Any) -> set[str]:
    """Do the same with the store of bytes that a URL names."""
    limits = Limits(keep_completed=None, expire_after=1e-9, release_after=0.0, **more)
    storage = await open_storage(state=state, blobs=url, data=data)
    engine = Engine(storage, limits, lease_wait=10)
    kept, sweep_module.STRAY = sweep_module.STRAY, -3600.0
    try:
        for _ in range(2):  # parts are kept as long as a file is to be made of them
            async for id_ in storage.state.due(1e12):
                async with engine.records.leased(id_, lambda: None) as upload:
                    if upload.status is not Status.COMPLETED or upload.role is Role.PARTIAL:
                        await engine.records.save(replace(upload, expires=1.0, due=1.0))
            await engine.sweep.all()
        await engine.sweep.tidy()
        page = await storage.state.page(after=None, limit=10_000, statuses=(Status.COMPLETED,))
        ids: set[str] = {upload.id for upload in page.uploads}
    finally:
        sweep_module.STRAY = kept
        await engine.close()
    return ids
