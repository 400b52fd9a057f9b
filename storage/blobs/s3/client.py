"""Requests to an S3 server: the calls that carry no bytes by aiobotocore, and the bytes by aiohttp itself.

aiobotocore finds the credentials where AWS tools have them, signs, and reads the replies. Its own way of sending bytes
takes three times the processor time, so it only makes a signed URL for them, and aiohttp sends the blocks to that.

Every method turns what goes wrong into an error of the seam: Missing if there is no such object or multipart upload,
Taken if a key has an object already, Full, and Unreachable for all else. What may pass is tried again a few times, for
some seconds; a body waits meanwhile, and is answered 503 in the end. Nothing but the endpoint is contacted, and where
credentials come from.
"""

import asyncio
import hashlib
import random
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiobotocore.session
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from yarl import URL

from onward.protocol.model import UploadId
from onward.storage.base import NOTHING_SAID, About, Block, Missing, StorageError, Unreachable
from onward.storage.blobs.s3.faults import Passing, fault_of
from onward.storage.blobs.s3.object_headers import header_lines, object_params
from onward.storage.blobs.s3.settings import Settings

BLOCK = 2**20  # bytes that are read or sent at a time
CONNECT_WITHIN, ANSWER_WITHIN = 5.0, 10.0  # seconds
SLOWEST = 2**18  # bytes per second; a part that is sent more slowly is sent again
PATIENCE = 15.0  # seconds after which no further attempt is made
MOST_FAILURES = 5  # of one download, without a byte between them
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 4.0  # seconds between attempts
Sender = Callable[[], AsyncIterator[Block]]
Result = TypeVar("Result")


class Listed(NamedTuple):
    """An object of a list."""

    name: str
    size: int
    changed: float  # when it was stored, in seconds since the epoch


def _md5(blocks: Sequence[bytes]) -> str:
    total = hashlib.md5(usedforsecurity=False)
    for block in blocks:
        total.update(block)
    return b64encode(total.digest()).decode()


def _sender(blocks: Sequence[bytes]) -> Sender:
    """Return a function that yields some blocks."""

    async def send() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    return send


class S3Client:
    """One bucket. Keys are relative to the prefix."""

    def __init__(self, settings: Settings, control: Any, http: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self._settings, self._control, self._http, self._stack = settings, control, http, stack

    def key(self, name: str) -> str:
        """Return the whole key of an object."""
        return self._settings.prefix + name

    async def close(self) -> None:
        """Close all connections."""
        await self._stack.aclose()

    async def call(self, operation: str, name: str | None = None, **params: Any) -> dict[str, Any]:
        """Call an operation of S3, on the object `name` if there is one."""
        if name is not None:
            params["Key"] = self.key(name)

        async def once() -> dict[str, Any]:
            try:
                found: dict[str, Any] = await getattr(self._control, operation)(Bucket=self._settings.bucket, **params)
            except ClientError as error:
                told = error.response
                raise fault_of(
                    str(told.get("Error", {}).get("Code", "")), told["ResponseMetadata"]["HTTPStatusCode"]
                ) from error
            except HTTPClientError as error:
                raise Passing("object storage does not answer") from error
            except BotoCoreError as error:
                raise Unreachable(f"object storage: {error}") from error
            return found

        return await _repeated(once)

    async def copy_part(self, source: str, name: str, multipart: str, number: int, where: str | None = None) -> str:
        """Copy an object, or the bytes `where` of it, into a part; returns its ETag."""
        only = {} if where is None else {"CopySourceRange": where}
        origin = {"Bucket": self._settings.bucket, "Key": self.key(source)}
        copied = await self.call(
            "upload_part_copy", name, UploadId=multipart, PartNumber=number, CopySource=origin, **only
        )
        etag: str = copied["CopyPartResult"]["ETag"].strip('"')
        return etag

    async def upload_part(self, name: str, multipart: str, number: int, send: Sender, size: int) -> str:
        """Send a part; returns its ETag. `send` begins anew with each attempt."""
        return await self._put("upload_part", name, send, size, {}, PATIENCE, UploadId=multipart, PartNumber=number)

    async def store_part(self, name: str, multipart: str, number: int, block: bytes) -> str:
        """Send a part that is in memory; returns its ETag."""
        return await self.upload_part(name, multipart, number, _sender([block]), len(block))

    async def send(self, operation: str, name: str, block: bytes, headers: Mapping[str, str], **params: Any) -> str:
        """Send a part or an object that is in memory; returns its ETag. `params` are signed, as `headers` say them."""
        return await self._put(operation, name, _sender([block]), len(block), headers, PATIENCE, **params)

    async def put(self, name: str, send: Sender, size: int) -> str:
        """Send an object under a new name; returns its ETag. `send` begins anew with each attempt.

        If this process dies meanwhile, some servers take the bytes that have arrived for the whole object.
        """
        return await self._put("put_object", name, send, size, {}, PATIENCE)

    async def store(
        self,
        name: str,
        blocks: Sequence[bytes],
        *,
        owner: UploadId | None = None,
        about: About = NOTHING_SAID,
        absent: bool = False,
        etag: str = "",
        patience: float = PATIENCE,
    ) -> str:
        """Store an object as a whole or not at all, whatever dies meanwhile; returns its ETag.

        With `absent` only if there is none at that key yet, and with `etag` only if it still has that: otherwise raises
        Taken. A repeated attempt may find its own object: the caller has to look whose it is.
        """
        md5 = await asyncio.to_thread(_md5, blocks)  # the server refuses a body that was cut
        headers, params = {"Content-MD5": md5}, dict[str, Any](ContentMD5=md5)
        if owner is not None:
            told = object_params(owner, about)
            params |= told
            headers |= header_lines(told)
        if absent:
            params["IfNoneMatch"] = headers["If-None-Match"] = "*"
        if etag:
            params["IfMatch"] = headers["If-Match"] = f'"{etag}"'
        size = sum(map(len, blocks))
        return await self._put("put_object", name, _sender(blocks), size, headers, patience, **params)

    async def _put(  # noqa: PLR0917
        self,
        operation: str,
        name: str,
        send: Sender,
        size: int,
        headers: Mapping[str, str],
        patience: float,
        **params: Any,
    ) -> str:
        wanted = {"Content-Length": str(size), "Content-Type": "application/octet-stream", **headers}

        async def once() -> str:
            url = await self._signed(operation, name, **params)
            async with (
                asyncio.timeout(ANSWER_WITHIN + size / SLOWEST),
                self._http.put(url, data=send() if size else b"", headers=wanted) as answer,
            ):
                await _check(answer)
                return answer.headers["ETag"].strip('"')

        return await _repeated(once, patience)

    async def stream(self, name: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) of an object, or as many of them as there are."""
        at, failures = start, 0
        while at < stop:
            try:
                async with self.get(name, at, stop) as answer:
                    async for block in answer.content.iter_chunked(BLOCK):
                        at, failures = at + len(block), 0
                        yield block
                return
            except Passing as fault:
                failures += 1
                if failures > MOST_FAILURES:
                    raise Unreachable(str(fault)) from fault
                await asyncio.sleep(FIRST_PAUSE * failures)

    async def fetch(self, name: str) -> tuple[bytes, str]:
        """Return a small object and its ETag; raises Missing."""

        async def once() -> tuple[bytes, str]:
            url = await self._signed("get_object", name)
            async with self._http.get(url) as answer:
                await _check(answer)
                return await answer.read(), answer.headers["ETag"].strip('"')

        return await _repeated(once)

    @asynccontextmanager
    async def get(self, name: str, start: int, stop: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for the bytes [start, stop) of an object, which are not empty. Raises Passing as well."""
        url = await self._signed("get_object", name, Range=f"bytes={start}-{stop - 1}")
        try:
            async with self._http.get(url, headers={"Range": f"bytes={start}-{stop - 1}"}) as answer:
                if answer.status == 416:
                    raise Missing(name)
                await _check(answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Passing("object storage does not answer") from error

    async def listed(self, prefix: str) -> AsyncIterator[Listed]:
        """Yield the objects whose keys begin with `prefix`."""
        more: dict[str, str] = {}
        while True:
            page = await self.call("list_objects_v2", Prefix=self.key(prefix), **more)
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(self._settings.prefix)
                yield Listed(name, entry["Size"], entry["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def find_bucket(self) -> None:
        """Raise Unreachable if there is no bucket: HEAD does not tell that from an object that is missing."""
        await self.call("list_objects_v2", Prefix=self.key(""), MaxKeys=1)

    async def multiparts(self, prefix: str) -> AsyncIterator[tuple[str, str, float]]:
        """Yield the key, the id and the time of the beginning of each multipart upload below `prefix`."""
        more: dict[str, str] = {}
        while True:
            page = await self.call("list_multipart_uploads", Prefix=self.key(prefix), **more)
            for entry in page.get("Uploads", ()):
                name = entry["Key"].removeprefix(self._settings.prefix)
                yield name, entry["UploadId"], entry["Initiated"].timestamp()
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def link(self, name: str, disposition: str, seconds: int) -> str:
        """Return a URL under which anybody can get an object for a while."""
        return str(await self._signed("get_object", name, seconds, ResponseContentDisposition=disposition))

    async def _signed(self, operation: str, name: str, seconds: int = 3600, **params: Any) -> URL:
        told = {"Bucket": self._settings.bucket, "Key": self.key(name), **params}
        try:
            url = await self._control.generate_presigned_url(operation, Params=told, ExpiresIn=seconds)
        except BotoCoreError as error:
            raise Unreachable(f"object storage: {error}") from error
        return URL(url, encoded=True)


async def _check(answer: aiohttp.ClientResponse) -> None:
    """Raise the error that S3 has answered, if it is one."""
    if answer.status < 300:
        return
    text = await answer.text()
    code = text.partition("<Code>")[2].partition("</Code>")[0] or str(answer.status)
    raise fault_of(code, answer.status)


async def _repeated(once: Callable[[], Awaitable[Result]], patience: float = PATIENCE) -> Result:
    """Try a request again while it fails in a way that may pass, for `patience` seconds."""
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
    until = loop.time() + patience
    while True:
        try:
            try:
                return await once()
            except (aiohttp.ClientError, TimeoutError) as error:
                if isinstance(error.__cause__, StorageError):  # what gives the bytes of a body has failed
                    raise error.__cause__ from error
                raise Passing("object storage does not answer") from error
        except Passing as fault:
            if loop.time() + pause > until:
                raise Unreachable(str(fault)) from fault
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE)


@cache
def _session() -> Any:
    """Return what knows the configuration of AWS tools, and keeps the descriptions of the calls that it has read."""
    return aiobotocore.session.get_session()


async def load_descriptions() -> None:
    """Read the descriptions of the calls, which takes a while, before they are needed."""
    await _session().get_service_model("s3")


def _proxy(endpoint: str) -> str | None:
    """Return the proxy that the environment names for an endpoint. aiohttp would look at each request, in a thread."""
    where = urlsplit(endpoint)
    if where.hostname is None or proxy_bypass(where.hostname):
        return None
    return getproxies().get(where.scheme)


async def open_client(settings: Settings) -> S3Client:
    """Connect to a bucket; nothing is asked of it yet. Raises Unreachable."""
    session = _session()
    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=CONNECT_WITHIN,
        read_timeout=ANSWER_WITHIN,
        request_checksum_calculation="when_required",  # some servers refuse the trailing checksums that are the default
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1},
        max_pool_connections=64,
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
    )
    stack = AsyncExitStack()
    region = settings.region or session.get_config_variable("region") or "us-east-1"
    bundle = session.get_config_variable("ca_bundle")
    try:
        tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=bundle) if bundle else True
        control = await stack.enter_async_context(
            session.create_client("s3", endpoint_url=settings.endpoint, region_name=region, config=config)
        )
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=tls),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN, sock_read=ANSWER_WITHIN),
                auto_decompress=False,
                proxy=_proxy(control.meta.endpoint_url),
            )
        )
    except (BotoCoreError, ValueError, OSError) as error:
        await stack.aclose()
        raise Unreachable(f"object storage: {error}") from error
    return S3Client(settings, control, http, stack)
