"""What every state promises about quotas: nobody gets more than is allowed, and what is removed is given back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_state_contract import UPLOAD, ignore, url_of

from onward.protocol.model import GONE, Allowance, Status, Upload, UploadId
from onward.protocol.promises import charge
from onward.storage import open_storage
from onward.storage.base import Exceeded, State, Usage

QUOTA = Allowance(quota=100)
LINK = Allowance(token="link", max_uploads=3)


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    storage = await open_storage(state=url_of(request.param, request), blobs="memory:", data=tmp_path)
    yield storage.state
    await storage.close()


def made(number: int, length: int | None = 10, allowance: Allowance | None = QUOTA, owner: str = "ann") -> Upload:
    """Make a record of an owner."""
    return replace(UPLOAD, id=UploadId(f"{number:032x}"), length=length, allowance=allowance, owner=owner)


async def insert(state: State, upload: Upload) -> bool:
    with suppress(Exceeded):
        await state.insert(upload)
        return True
    return False


async def change(state: State, upload: Upload, **changes: object) -> Upload:
    """Save a record under its lease."""
    async with state.hold(upload.id, wait=1, on_rival=ignore) as lease:
        return await state.save(replace(await state.load(upload.id), epoch=lease.epoch, **changes))


@pytest.mark.parametrize("allowance", [Allowance(quota=100), Allowance(token="link", max_uploads=10)])
async def test_of_many_at_the_same_time_exactly_as_many_are_created_as_are_allowed(
    state: State, allowance: Allowance
) -> None:
    created = await asyncio.gather(*(insert(state, made(number, allowance=allowance)) for number in range(40)))
    assert sum(created) == 10
    assert await state.quotas.usage("ann") == Usage(100, 10)


async def test_bytes_count_to_the_last_one_and_nothing_is_left_of_a_refusal(state: State) -> None:
    assert await insert(state, made(1, 60))
    assert not await insert(state, made(2, 41))
    assert await insert(state, made(3, 40))
    assert not await insert(state, made(4, 1))
    assert await insert(state, made(5, 0))
    assert await insert(state, made(6, None))
    assert await state.quotas.usage("ann") == Usage(100, 4)
    assert [upload.length async for upload in everything(state)] == [60, 40, 0, None]


async def everything(state: State) -> AsyncIterator[Upload]:
    for number in range(20):
        with suppress(Exception):
            yield await state.load(UploadId(f"{number:032x}"))


async def test_each_owner_and_each_token_has_limits_of_its_own(state: State) -> None:
    for owner in ("ann", "bob", "{x}:y z", "ä"):
        assert await insert(state, made(hash(owner) % 2**60, 100, owner=owner))
        assert not await insert(state, made(1, 1, owner=owner))
        for number in range(3):
            assert await insert(state, made(hash((owner, number)) % 2**60, 0, LINK, owner))
        assert not await insert(state, made(2, 0, LINK, owner))
        other = replace(LINK, token="another link")
        assert await insert(state, made(hash((owner, "other")) % 2**60, 0, other, owner))
        assert await state.quotas.usage(owner) == Usage(100, 5)
    assert await state.quotas.usage("nobody") == Usage(0, 0)


@pytest.mark.parametrize("status", sorted(GONE))
async def test_what_ends_is_given_back_once(state: State, status: Status) -> None:
    both = replace(LINK, quota=100)
    for number in range(3):
        assert await insert(state, made(number, 30, both))
    assert not await insert(state, made(3, 30, both))
    await change(state, made(0), status=status)
    assert await state.quotas.usage("ann") == Usage(60, 2)
    await change(state, made(0), due=5.0)  # it is saved again when its bytes are removed
    await state.forget(made(0).id)
    assert await state.quotas.usage("ann") == Usage(60, 2)
    assert await insert(state, made(4, 30, both))
    assert not await insert(state, made(5, 0, both))


async def test_a_completed_upload_counts_until_it_is_removed(state: State) -> None:
    assert await insert(state, made(1, 100, replace(LINK, quota=100)))
    await change(state, made(1), status=Status.COMPLETED, offset=100)
    assert await state.quotas.usage("ann") == Usage(100, 1)
    assert not await insert(state, made(2, 1))
    await change(state, made(1), status=Status.TERMINATED)
    assert await insert(state, made(3, 100))


async def test_a_forgotten_upload_is_given_back(state: State) -> None:
    assert await insert(state, made(1, 100, replace(LINK, quota=100)))
    await state.forget(made(1).id)
    await state.forget(made(1).id)
    assert await state.quotas.usage("ann") == Usage(0, 0)


async def test_a_claim_gets_what_fits_and_no_less_than_is_needed(state: State) -> None:
    grown = made(1, None)
    assert await insert(state, grown)
    assert await insert(state, made(2, 50))
    async with state.hold(grown.id, wait=1, on_rival=ignore):
        assert await state.quotas.claim(grown, 30, least=30) == 30
        assert await state.quotas.claim(grown, 30, least=30) == 30  # an answer was lost
        assert await state.quotas.claim(grown, 10, least=10) == 30
        assert await insert(state, made(3, 20))
        assert await state.quotas.claim(grown, 40, least=30) == 30
        with pytest.raises(Exceeded):
            await state.quotas.claim(grown, 40, least=31)
        assert await state.quotas.usage("ann") == Usage(100, 3)
        assert not await insert(state, made(4, 1))


async def test_bytes_that_arrive_use_up_what_was_claimed_for_them(state: State) -> None:
    grown = made(1, None)
    assert await insert(state, grown)
    async with state.hold(grown.id, wait=1, on_rival=ignore) as lease:
        assert await state.quotas.claim(grown, 40, least=1) == 40
        saved = await state.save(replace(grown, epoch=lease.epoch, offset=30))
        assert (await state.quotas.usage("ann")).bytes == 40
        assert await state.quotas.claim(saved, 60, least=31) == 60
        saved = await state.save(replace(saved, offset=45))
        assert (await state.quotas.usage("ann")).bytes == 60
        for _ in range(2):
            await state.quotas.settle(saved)
            assert await state.quotas.usage("ann") == Usage(45, 1)
        assert await insert(state, made(2, 55))
        with pytest.raises(Exceeded):
            await state.quotas.claim(saved, 46, least=46)


async def test_an_upload_that_ended_is_not_settled_again(state: State) -> None:
    grown = made(1, None)
    assert await insert(state, grown)
    async with state.hold(grown.id, wait=1, on_rival=ignore) as lease:
        await state.quotas.claim(grown, 40, least=1)
        ended = await state.save(replace(grown, epoch=lease.epoch, offset=30, status=Status.FAILED))
        await state.quotas.settle(ended)
    assert await state.quotas.usage("ann") == Usage(0, 0)
    assert await insert(state, made(2, 100))


async def test_a_quota_that_was_lowered_refuses_more_and_takes_nothing_away(state: State) -> None:
    assert await insert(state, made(1, 90))
    low = Allowance(quota=50)
    assert not await insert(state, made(2, 1, low))
    assert await insert(state, made(3, 0, low))
    assert await state.quotas.usage("ann") == Usage(90, 2)


async def test_uploads_that_were_created_without_a_quota_count(state: State) -> None:
    for number in range(3):
        assert await insert(state, made(number, 30, None))
    assert not await insert(state, made(3, 11))
    assert await insert(state, made(4, 10))


async def test_what_the_records_say_is_what_is_reserved(state: State) -> None:
    """Many uploads come, grow and go at the same time; after that nothing is wrong by a byte."""
    allowance = Allowance(quota=500, token="link", max_uploads=20)

    async def live(number: int) -> None:
        upload = made(number, None if number % 3 else 50, allowance)
        if not await insert(state, upload):
            return
        async with state.hold(upload.id, wait=5, on_rival=ignore) as lease:
            upload = replace(upload, epoch=lease.epoch)
            if upload.length is None:
                with suppress(Exceeded):
                    await state.quotas.claim(upload, number, least=number)
                    upload = await state.save(replace(upload, offset=number // 2))
                await state.quotas.settle(upload)
            if number % 4 == 0:
                await state.save(replace(upload, status=Status.EXPIRED))
        used = await state.quotas.usage("ann")
        assert used.bytes <= 500
        assert used.uploads <= 20

    await asyncio.gather(*(live(number) for number in range(19)))
    live_ones = [upload async for upload in everything(state) if upload.status not in GONE]
    assert await state.quotas.usage("ann") == Usage(sum(map(charge, live_ones)), len(live_ones))
