"""A graceful stop with everything in flight, beside a Redis that doesn't answer, and a rolling restart under load."""

import asyncio
import os
import time
from itertools import count
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from http_connection import Connection, Tus
from midway_wait import stored
from onward_process import OnwardProcess, onward
from ports import free_port
from redis_process import redis_server
from retrying_sender import Sender

DRAIN = 4
LARGE, PAUSE = 2**21, 0.02
UPLOADS = 6


class Leaver(Watcher):
    """A watcher who does not come back."""

    async def leave(self) -> None:
        async with aiohttp.ClientSession() as session:
            await self._follow_once(session)


async def readiness(http: aiohttp.ClientSession, ops: str) -> int:
    """Ask as a load balancer does."""
    async with http.get(f"http://{ops}/readyz") as answer:
        return answer.status


async def test_a_stop_ends_everything_in_time_and_in_order(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    ops = f"127.0.0.1:{free_port()}"
    async with onward(tmp_path / "data", state_url, [f"--drain={DRAIN}", f"--ops-listen={ops}"]) as server:
        download = await tus.create(http, server.url, 2**24)
        assert (await tus.patch(http, download, 0, bytes(2**24))).status == 204
        senders = [Sender(http, [server], os.urandom(LARGE), pause=PAUSE) for _ in range(UPLOADS)]
        for sender in senders:
            await sender.create()
        urls = [sender.url(server) for sender in senders]
        sending = [asyncio.create_task(sender.finish()) for sender in senders]
        watchers = [Leaver(url) for url in urls]
        watching = [asyncio.create_task(watcher.leave()) for watcher in watchers]
        with Connection(server.port) as reader:
            reader.send(Tus(server.port).request("GET", "/files/" + download.rpartition("/")[2]))
            reader.read(1)
            for watcher in watchers:
                await watcher.until(2**17)
            began = time.monotonic()
            stopping = asyncio.create_task(server.stop())
            for _ in range(50):  # the download goes on for longer
                if await readiness(http, ops) == 503:
                    break
                await asyncio.sleep(0.02)
            else:
                raise AssertionError("a server that stops says that it is ready")
            assert await stopping == 0
            assert time.monotonic() - began < DRAIN + 2
        await asyncio.gather(*watching)
        assert {watcher.close_code for watcher in watchers} == {1001}
        told = [watcher.told for watcher in watchers]
        assert all(watcher.last["status"] in ("uploading", "paused") for watcher in watchers)
        await server.start()
        for url, least in zip(urls, told, strict=True):
            assert await stored(http, url) >= least
        await asyncio.wait_for(asyncio.gather(*sending), 20)
        for sender in senders:
            assert (server.data / "files" / sender.id).read_bytes() == sender.data
            assert sender.told == LARGE
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("fault", ["hangs", "is killed"])
async def test_a_stop_ends_in_time_though_redis_does_not_answer(
    durability: str, fault: str, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    options = [f"--drain={DRAIN}", f"--durability={durability}", "--quiet-after=60"]
    with redis_server(tmp_path) as redis:
        async with onward(tmp_path / "data", redis.url, options) as server:
            idle = [await tus.create(http, server.url, LARGE) for _ in range(UPLOADS)]
            for url in idle:
                assert (await tus.patch(http, url, 0, bytes(1000))).status == 204
            senders = [Sender(http, [server], os.urandom(LARGE), pause=PAUSE) for _ in range(UPLOADS)]
            for sender in senders:
                await sender.create()
            sending = [asyncio.create_task(sender.finish()) for sender in senders]
            watcher = Watcher(senders[0].url(server))
            async with watcher.watching():
                await watcher.until(2**17)
                if fault == "hangs":
                    redis.pause()
                else:
                    redis.stop()
                began = time.monotonic()
                assert await server.stop() == 0, server.log()
                print(f"ended {time.monotonic() - began:.1f} s after SIGTERM, with --drain={DRAIN}")
                assert ("could not be settled" in server.log()) == (durability == "process")
                assert "Traceback" not in server.log()
                if fault == "hangs":
                    redis.go_on()
                else:
                    await asyncio.to_thread(redis.start)
                await server.start()
                for url in idle:
                    assert await stored(http, url) == 1000
                await asyncio.wait_for(asyncio.gather(*sending), 20)
        for sender in senders:
            assert (server.data / "files" / sender.id).read_bytes() == sender.data


async def restart(server: OnwardProcess) -> None:
    """Stop a server, and start it again."""
    assert await server.stop() == 0
    await server.start()


async def test_a_rolling_restart_fails_no_upload(http: aiohttp.ClientSession, redis_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        nodes = [a, b]
        senders: list[Sender] = []
        watchers: list[Watcher] = []
        sent = asyncio.Event()

        async def load(interrupt: int) -> None:
            """Upload one file after the other, each to its end, with somebody who watches it."""
            while not sent.is_set():
                sender = Sender(http, [nodes[interrupt], nodes[1 - interrupt]], os.urandom(2**19), pause=PAUSE)
                try:
                    await sender.create()
                except aiohttp.ClientConnectionError:  # this one is being restarted: the next one is asked
                    interrupt = 1 - interrupt
                    continue
                watcher = Watcher(sender.url(nodes[1 - interrupt]))
                senders.append(sender)
                watchers.append(watcher)
                async with watcher.watching():
                    await sender.finish()

        async with asyncio.TaskGroup() as tasks:
            for number in range(UPLOADS):
                tasks.create_task(load(number % 2))
            async with asyncio.timeout(60):
                for number in count():
                    if number >= 4 and any(sender.lost or sender.statuses[503] for sender in senders):
                        break  # otherwise all were between two uploads each time
                    await asyncio.sleep(0.5)
                    await restart(nodes[number % 2])
            sent.set()
        assert len(senders) > 2 * UPLOADS
        for sender, watcher in zip(senders, watchers, strict=True):
            assert (a.data / "files" / sender.id).read_bytes() == sender.data
            assert watcher.last["sha256"] == sender.sha256
        for node in nodes:
            assert "Traceback" not in node.log()
