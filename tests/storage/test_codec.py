"""The stored form of a record: what is read back, also from earlier versions, and what counts as damaged."""

import sqlite3
from pathlib import Path
from zlib import crc32

import pytest
from msgspec.structs import replace

from onward.protocol.model import (
    CHECKSUM_MISMATCH,
    LOST,
    PART_GONE,
    TOO_LARGE,
    Failure,
    Place,
    Status,
    Upload,
    UploadId,
)
from onward.storage.base import Durability, Unreachable
from onward.storage.blobs.disk import open_blobs
from onward.storage.codec import decode, encode
from onward.storage.state.sqlite import open_state

ID = UploadId("ab" * 16)
FAILED = Upload(
    id=ID,
    place=Place("ab" * 16),
    status=Status.FAILED,
    length=11,
    offset=11,
    metadata="filename YS50eHQ=",
    promised=bytes(32),
    sha256=bytes(range(32)),
    failure=CHECKSUM_MISMATCH,
    rate=5.5,
    created=1.0,
    updated=2.0,
    due=302.0,
    version=4,
    epoch=2,
)
# Written by the version in which a failure was only its code.
OLD = (
    b'{"id":"abababababababababababababababab","place":"abababababababababababababababab","status":"failed",'
    b'"length":11,"offset":11,"metadata":"filename YS50eHQ=","promised":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",'
    b'"sha256":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","failure":"checksum-mismatch","rate":5.5,"created":1.0,'
    b'"updated":2.0,"expires":null,"due":302.0,"version":4,"epoch":2,"concat":null,"volatile":null,"hashing":null}'
    b"\n5e7f1fd2"
)


def rewritten(old: bytes, new: bytes) -> bytes:
    """Return the old record with other words, and the check sum of them."""
    document = OLD.partition(b"\n")[0].replace(old, new)
    return b"%b\n%08x" % (document, crc32(document))


def test_what_is_written_is_read() -> None:
    odd = replace(FAILED, failure=Failure(code="infected", status=422, title="A virus was found", detail="Eicar"))
    for upload in (FAILED, odd, replace(FAILED, failure=None)):
        assert decode(encode(upload)) == upload
        assert decode(encode(upload).decode()) == upload


@pytest.mark.parametrize("failure", [CHECKSUM_MISMATCH, LOST, PART_GONE, TOO_LARGE])
def test_a_failure_that_is_only_a_code_is_read(failure: Failure) -> None:
    stored = rewritten(b'"checksum-mismatch"', b'"%b"' % failure.code.encode())
    assert decode(stored) == replace(FAILED, failure=failure)
    without_sum = stored.partition(b"\n")[0]
    assert decode(without_sum).failure == failure


@pytest.mark.parametrize("words", [
    (b'"checksum-mismatch"', b'"nonsense"'), (b'"checksum-mismatch"', b"7"), (b'"checksum-mismatch"', b"[]"),
    (b'"length":11', b'"length":"11"'), (b'"status":"failed"', b'"status":"odd"'), (b'"offset":11,', b""),
])  # fmt: skip
def test_what_is_no_record_of_any_version_is_damaged(words: tuple[bytes, bytes]) -> None:
    with pytest.raises(Unreachable, match="a damaged record"):
        decode(rewritten(*words))


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b"7", OLD[:-1] + b"3", OLD.replace(b"11", b"12"), b"\xff"])
def test_what_is_no_record_is_damaged(stored: bytes) -> None:
    with pytest.raises(Unreachable, match="a damaged record"):
        decode(stored)


async def test_old_records_in_an_sqlite_file_are_read_and_saved(tmp_path: Path) -> None:
    state = await open_state("sqlite:", tmp_path)
    await state.insert(FAILED)
    await state.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as database:
        database.execute("UPDATE uploads SET document = ?", (OLD,))
    database.close()
    state = await open_state("sqlite:", tmp_path)
    async with state.hold(ID, wait=0, on_rival=lambda: None) as lease:
        found = lease.record or await state.load(ID)
        assert (found, [id_ async for id_ in state.due(400.0)]) == (FAILED, [ID])
        await state.save(replace(found, epoch=lease.epoch, due=500.0))
    await state.close()
    state = await open_state("sqlite:", tmp_path)
    assert (await state.load(ID)).failure == CHECKSUM_MISMATCH
    await state.close()


async def test_old_records_in_backups_are_read(tmp_path: Path) -> None:
    blobs = await open_blobs("file:", tmp_path, Durability.NONE, True)
    try:
        (tmp_path / "records" / ID).write_bytes(len(OLD).to_bytes(4, "big") + crc32(OLD).to_bytes(4, "big") + OLD)
        assert await blobs.backups.kept(ID) == FAILED
        later = replace(FAILED, version=5)
        await blobs.backups.keep(later, durable=False)
        assert await blobs.backups.kept(ID) == later
    finally:
        await blobs.close()
