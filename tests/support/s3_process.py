"""What real S3 servers have in common: where they are, their keys, and an empty bucket for a test."""

import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from onward.storage.base import Durability, Modes, StoredBytes
from onward.storage.blobs.s3.opener import open_blobs

KEY, SECRET, REGION = "AKIATESTTESTTESTTEST", "secretsecretsecret", "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
STOP_WITHIN = 10.0


def missing(what: str) -> None:
    """Skip, loudly; fail where the environment says that all has to run."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"SKIPPED LOUDLY: {what}")


@cache
def client_of(endpoint: str) -> Any:
    """Give a client of botocore, which waits for each answer."""
    if find_spec("botocore") is None:
        missing("aiobotocore is not installed: pip install 'onward[s3]'")
    import botocore.session

    return botocore.session.Session().create_client(
        "s3", REGION, endpoint_url=endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )


@dataclass(frozen=True, slots=True)
class S3Process:
    """A running S3 server on this machine."""

    name: str
    port: int
    pid: int

    @property
    def endpoint(self) -> str:
        """Give the URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """Give a client of botocore, which waits for each answer."""
        return client_of(self.endpoint)

    def new_bucket(self) -> str:
        """Make an empty bucket."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> dict[str, int]:
        """Give the objects of a bucket with their sizes."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def multiparts(self, bucket: str) -> list[str]:
        """Give the keys of the multipart uploads of a bucket."""
        return [each["Key"] for each in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ())]

    def options(self, bucket: str, *, port: int | None = None) -> list[str]:
        """Give the options of a server that keeps its bytes here; `port` is that of a proxy between them."""
        endpoint = f"http://127.0.0.1:{port or self.port}"
        return [f"--blobs=s3://{bucket}/up", f"--s3-endpoint={endpoint}", f"--s3-region={REGION}"]


def url_of(server: S3Process, bucket: str, more: Mapping[str, int] | None = None) -> str:
    """Give the URL of a store in a bucket."""
    query: dict[str, object] = {"endpoint": server.endpoint, "region": REGION, **(more or {})}
    return f"s3://{bucket}/up?{urlencode(query)}"


@asynccontextmanager
async def s3_bytes(
    server: S3Process, bucket: str, data: Path, more: Mapping[str, int] | None = None
) -> AsyncIterator[StoredBytes]:
    """Open a store in a bucket, with further words for its URL."""
    os.environ.update(KEYS)
    stored = await open_blobs(url_of(server, bucket, more), data, Durability.FULL, True, Modes())
    try:
        yield stored
    finally:
        await stored.close()


@contextmanager
def s3_process(
    name: str, port: int, words: Sequence[str], folder: Path, *, ready: str, within: float
) -> Iterator[S3Process]:
    """Run a server until the block ends; it is ready once the path `ready` is answered in any way but 5xx."""
    log = folder / f"{name}.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(words, cwd=folder, stdout=lines, stderr=lines, env=dict(os.environ) | KEYS)
        try:
            until = time.monotonic() + within
            while not _answers(f"http://127.0.0.1:{port}{ready}"):
                assert process.poll() is None, f"{name} has ended:\n{log.read_text()[-2000:]}"
                assert time.monotonic() < until, f"{name} does not start:\n{log.read_text()[-2000:]}"
                time.sleep(0.05)
            yield S3Process(name, port, process.pid)
        finally:
            process.kill()
            process.wait(STOP_WITHIN)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
