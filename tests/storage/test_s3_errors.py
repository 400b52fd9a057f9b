"""What the errors of S3 mean for the seams."""

import asyncio
import re
from contextlib import aclosing

import pytest

pytest.importorskip("aiobotocore", reason="SKIPPED LOUDLY: pip install 'onward[s3]'")

from onward.storage.base import Unreachable
from onward.storage.blobs.s3 import client
from onward.storage.blobs.s3.faults import Passing, Taken, fault_of
from onward.storage.blobs.s3.settings import Settings


def test_a_conflict_of_conditional_requests_is_tried_again() -> None:
    """AWS answers so while another request for the key is under way, which may still fail."""
    assert isinstance(fault_of("ConditionalRequestConflict", 409), Passing)
    assert isinstance(fault_of("PreconditionFailed", 412), Taken)


@pytest.mark.parametrize("cut_after", [100, 0])
async def test_a_download_goes_on_as_long_as_each_attempt_brings_bytes(
    monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.001)
    whole = bytes(range(256)) * 4

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = re.search(rb"bytes=(\d+)-(\d+)", await reader.readuntil(b"\r\n\r\n"))
        assert asked is not None
        wanted = whole[int(asked[1]) : int(asked[2]) + 1]
        writer.write(b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n\r\n" % len(wanted) + wanted[:cut_after])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        bucket = await client.open_client(Settings(bucket="bucket", prefix="", endpoint=endpoint, region="us-east-1"))
        got = b""
        try:
            async with aclosing(bucket.stream("object", 0, len(whole))) as blocks:
                async for block in blocks:
                    got += block
        except Unreachable:
            assert not cut_after
        finally:
            await bucket.close()
    assert got == (whole if cut_after else b"")
