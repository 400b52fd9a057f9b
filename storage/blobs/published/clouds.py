"""Finished files in Google Cloud Storage or Azure Blob Storage, by obstore, which finds the credentials itself.

    up to PART    one request, which creates an object or is refused
    larger        parts ──▶ `.publishing/ID`, whole or not at all ──▶ copied to its name, unless there is one already

obstore sends what may not replace another object only from memory, so larger files take the second way. Both clouds
copy inside themselves, metadata included. What a crash leaves is written anew by the next attempt, or removed with the
upload.
"""

import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import timedelta

from obstore import delete_async, sign_async
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore

from onward.protocol.model import UploadId
from onward.storage.base import Missing, Unreachable
from onward.storage.blobs.published.bucket import OWNER, SHA256, Found, Source
from onward.storage.blobs.s3.faults import Taken

PART = 8 * 2**20  # bytes
PARTS_AT_ONCE = 2
READ = 2**20  # bytes
RETRY = timedelta(seconds=15)
CONNECT_WITHIN, ANSWER_WITHIN = timedelta(seconds=5), timedelta(seconds=60)
ARRIVING = ".publishing"
PROBE = ".probe"


@contextmanager
def _faults() -> Iterator[None]:
    """Turn the errors of obstore into those of the seam; their texts, which have URLs, are not passed on."""
    try:
        yield
    except (AlreadyExistsError, PreconditionError) as error:
        raise Taken("there is an object already") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Unreachable("object storage: the credentials are refused") from error
    except FileNotFoundError as error:
        raise Unreachable("object storage: there is no such object, or no such bucket") from error
    except BaseError as error:
        raise Unreachable("object storage does not answer") from error


class CloudBucket:
    """A bucket of Google Cloud Storage, or a container of Azure; raises ValueError and Unreachable."""

    def __init__(self, scheme: str, name: str, prefix: str) -> None:
        kind: type[GCSStore] | type[AzureStore] = GCSStore if scheme == "gs" else AzureStore
        with _faults():
            self._store: GCSStore | AzureStore = kind(
                name,
                prefix=prefix or None,
                client_options={"connect_timeout": CONNECT_WITHIN, "timeout": ANSWER_WITHIN},
                retry_config={"retry_timeout": RETRY},
            )

    async def look(self, name: str) -> Found | None:
        """Return what is at a name, or None."""
        try:
            with _faults():
                found = await self._store.get_async(name, options={"head": True})
        except Unreachable as fault:
            if isinstance(fault.__cause__, FileNotFoundError):
                return None
            raise
        told = {str(key): value for key, value in found.attributes.items()}
        return Found(found.meta["size"], told.get(OWNER, ""), told.get(SHA256, ""))

    async def put(self, name: str, source: Source) -> None:
        """Make an object of a file, unless there is one already; raises Taken."""
        about = {
            "Content-Type": source.content_type,
            "Content-Disposition": source.disposition,
            **source.metadata,
        }
        if source.length <= PART:
            block = await source.block(source.length)
            source.last_look()
            with _faults():
                await self._store.put_async(name, block, mode="create", attributes=about)
            return
        arriving = f"{ARRIVING}/{source.id}"
        with _faults():
            await self._store.put_async(
                arriving,
                source.blocks(PART),
                attributes=about,
                chunk_size=max(PART, -(-source.length // 9000)),
                max_concurrency=PARTS_AT_ONCE,
            )
            source.last_look()
            await self._store.copy_async(arriving, name, overwrite=False)
        await self.remove(arriving)

    async def stream(self, name: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) of an object."""
        if start >= stop:
            return
        try:
            with _faults():
                found = await self._store.get_async(name, options={"range": (start, stop)})
                async for block in found.stream(READ):
                    yield bytes(block)
        except Unreachable as fault:
            if isinstance(fault.__cause__, FileNotFoundError):
                raise Missing(name) from fault
            raise

    async def link(self, name: str, _disposition: str, seconds: int) -> str:
        """Return a signed URL of an object, which has its Content-Disposition itself."""
        with _faults():
            return str(await sign_async(self._store, "GET", name, timedelta(seconds=seconds)))

    async def remove(self, name: str) -> None:
        """Remove an object."""
        try:
            with _faults():
                await delete_async(self._store, name)
        except Unreachable as fault:
            if not isinstance(fault.__cause__, FileNotFoundError):
                raise

    async def drop(self, id: UploadId) -> None:
        """Remove the object that an interrupted `put` has left."""
        await self.remove(f"{ARRIVING}/{id}")

    async def abandon(self, before: float) -> None:
        """Do nothing: Azure drops such blocks after a week, and Google does by a rule of the bucket."""

    async def find(self) -> None:
        """Check that the bucket exists: obstore reads none of its properties, so a small object is stored."""
        await self.probe()

    async def probe(self) -> None:
        """Store and remove a small object; raises Unreachable."""
        name = f"{ARRIVING}/{PROBE}-{secrets.token_hex(8)}"
        with _faults():
            await self._store.put_async(name, b"1", mode="create")
        await self.remove(name)

    async def close(self) -> None:
        """Do nothing: obstore closes its connections itself."""
