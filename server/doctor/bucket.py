"""The doctor tries the bucket: an object that may exist once only, a multipart upload, and the clock."""

import secrets
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

from onward.server.doctor.finding import Finding, judge_clock
from onward.storage.base import StorageError
from onward.storage.blobs.s3.client import S3Client, open_client
from onward.storage.blobs.s3.faults import Taken
from onward.storage.blobs.s3.garbage import remove_keys
from onward.storage.blobs.s3.settings import read_url

ABOUT = "bucket"


async def look_at_bucket(url: str) -> AsyncIterator[Finding]:
    """Yield what is found of a bucket of S3."""
    try:
        client = await open_client(read_url(url))
    except (StorageError, ValueError) as fault:
        yield Finding("problem", ABOUT, f"It can't be opened: {fault}.")
        return
    name = f"partial/.doctor-{secrets.token_hex(8)}"
    try:
        listed = await client.call("list_objects_v2", MaxKeys=1)
        if date := listed["ResponseMetadata"]["HTTPHeaders"].get("date"):
            yield judge_clock("the bucket", time.time() - parsedate_to_datetime(date).timestamp())
        await client.store(name, [b"1"])
        yield Finding("ok", ABOUT, "An object was stored.")
        yield await _once(client, name)
        begun = await client.call("create_multipart_upload", name)
        await client.call("abort_multipart_upload", name, UploadId=begun["UploadId"])
        await remove_keys(client, [name])
        yield Finding("ok", ABOUT, "A multipart upload was begun and aborted, and the object was removed.")
    except StorageError as fault:
        yield Finding(
            "problem",
            ABOUT,
            f"{fault}: check the endpoint, the name of the bucket, the credentials and their policy, and the clock.",
        )
    finally:
        await client.close()


async def _once(client: S3Client, name: str) -> Finding:
    try:
        await client.store(name, [b"2"], absent=True)
    except Taken:
        return Finding("ok", ABOUT, "It honours If-None-Match.")
    return Finding(
        "warning",
        ABOUT,
        "It ignores If-None-Match, so nothing keeps a file from being published over another one: use the layout {id}.",
    )
