"""A bucket for finished files, on S3 or on Azure, as the tests look at it from outside, and servers that publish to it."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from azurite_process import AzuriteProcess
from pytest_aiohttp.plugin import AiohttpServer
from s3_process import KEYS, REGION, S3Process, missing

from onward import Config, create_app

MIB = 2**20
PREFIX = "up/"


class Object(NamedTuple):
    """An object of a bucket."""

    data: bytes
    metadata: dict[str, str]
    content_type: str
    disposition: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A new bucket on a running server; `port` is that of a proxy before it."""

    server: S3Process | AzuriteProcess
    bucket: str
    port: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """Give the fields of a Config that publishes here."""
        if isinstance(self.server, AzuriteProcess):
            return {"publish": f"az://{self.bucket}/{PREFIX}"}
        endpoint = f"http://127.0.0.1:{self.port or self.server.port}"
        return {
            "publish": f"s3://{self.bucket}/{PREFIX}",
            "s3_endpoint": endpoint,
            "s3_region": REGION,
            "part_size": 5 * MIB,
        }

    @property
    def options(self) -> list[str]:
        """Give the same as words of the command line."""
        return [f"--{name.replace('_', '-')}={value}" for name, value in self.config.items()]

    def keys(self) -> set[str]:
        """Give the names of all objects below the prefix."""
        if isinstance(self.server, AzuriteProcess):
            found = [each["path"] for page in self._azure().list() for each in page]
        else:
            found = list(self.server.keys(self.bucket))
        assert all(key.startswith(PREFIX) for key in found), found
        return {key.removeprefix(PREFIX) for key in found}

    def object(self, name: str) -> Object:
        """Give an object."""
        if isinstance(self.server, AzuriteProcess):
            got = self._azure().get(PREFIX + name)
            told = {str(key): value for key, value in got.attributes.items()}
            kind, disposition = told.pop("Content-Type", ""), told.pop("Content-Disposition", "")
            return Object(bytes(got.bytes()), told, kind, disposition)
        found = self.server.client().get_object(Bucket=self.bucket, Key=PREFIX + name)
        return Object(
            found["Body"].read(), found["Metadata"], found["ContentType"], found.get("ContentDisposition", "")
        )

    def put(self, name: str, data: bytes) -> None:
        """Make an object that is not of Onward."""
        if isinstance(self.server, AzuriteProcess):
            self._azure().put(PREFIX + name, data)
        else:
            self.server.client().put_object(Bucket=self.bucket, Key=PREFIX + name, Body=data)

    def remove(self, name: str) -> None:
        """Remove an object."""
        if isinstance(self.server, AzuriteProcess):
            self._azure().delete(PREFIX + name)
        else:
            self.server.client().delete_object(Bucket=self.bucket, Key=PREFIX + name)

    def _azure(self) -> Any:
        from obstore.store import AzureStore

        return AzureStore(self.bucket)


def outside(server: S3Process | AzuriteProcess, port: int = 0) -> Outside:
    """Make a bucket, and let this process have its keys."""
    if isinstance(server, AzuriteProcess):
        if find_spec("obstore") is None:
            pytest.skip("SKIPPED LOUDLY: obstore is not installed: pip install 'onward[publish]'")
        os.environ.update(server.keys)
    elif find_spec("aiobotocore") is None:
        missing("aiobotocore is not installed: pip install 'onward[s3]'")
    os.environ.update(KEYS)
    return Outside(server, server.new_bucket(), port)


class Successors:
    """Servers on one data folder, one after the other."""

    def __init__(self, data: Path, start: AiohttpServer) -> None:
        self._data, self._start = data, start
        self._running: Any = None

    async def __call__(self, bucket: Outside, **config: Any) -> str:
        """Stop the server that runs, start one that publishes to a bucket, and give the URL of its uploads."""
        if self._running is not None:
            await self._running.close()
        app = create_app(Config(data=str(self._data), sweep_every=0.05, **(bucket.config | config)))
        self._running = await self._start(app)
        return str(self._running.make_url("/files"))

    def arrived(self) -> list[Path]:
        """Give all local files of uploads."""
        folders = [self._data / name for name in ("partial", "files")]
        return [file for folder in folders for file in folder.rglob("*") if file.is_file()]
