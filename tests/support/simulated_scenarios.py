"""What clients do in the simulations: a name, the plans, the script, and the durability of the server."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from simulated_client import Client, Plan
from simulated_world import DOWN

from onward.protocol.errors import BodyMismatch, Failed, Unavailable, Unchecked
from onward.storage.base import Durability

PLAN = Plan(name="whole", size=13_000)
PARTS = (Plan(name="left", size=5_300, partial=True), Plan(name="right", size=4_800, partial=True))
JOINED = (*PARTS, Plan(name="joined", parts=("left", "right"), promise="right"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens before the crash, in `script`.

    `apart`: published files are on another file system. `scans`: there is a scanner, which is down at first.
    `layout`: that of published files, if it is not `{id}`. `layout_later`: another one after a power cut.
    `shared`: files are published as they are where several servers share the folder.
    """

    name: str
    plans: tuple[Plan, ...]
    script: Callable[[Client], Awaitable[object]] = field(repr=False)
    policy: Durability = Durability.FULL
    apart: bool = False
    scans: bool = False
    layout: str = ""
    layout_later: str = ""
    shared: bool = False


async def whole(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0)


async def brought(client: Client) -> None:
    await client.bring("whole")
    await client.bring("other")


async def brought_wrong(client: Client) -> None:
    with suppress(Failed):
        await client.bring("whole")


async def short_wrong(client: Client) -> None:
    await client.create("whole")
    with suppress(Failed):
        await client.send("whole", 0)


async def short_refused(client: Client) -> None:
    await client.create("whole")
    with suppress(BodyMismatch):
        await client.send("whole", 0, checksum="wrong")
    await client.send("whole", 0, checksum="right")


async def short_at_last(client: Client) -> None:
    """Leave bytes that no record has, in the way of the short PATCH."""
    await client.create("whole")
    with suppress(BodyMismatch):
        await client.send("whole", 0, 9_000, checksum="wrong", junk=2_000)
    await client.send("whole", 0)


async def short_and_usual(client: Client) -> None:
    """Send one upload by a short PATCH. After a crash, its client sends the rest on the slow path."""
    client.plans["whole"] = replace(client.plans["whole"], short=True)
    await whole(client)


async def pieces(client: Client) -> None:
    await client.create("whole")
    for start, stop in ((0, 700), (700, 4_096), (4_096, 9_000)):
        await client.send("whole", start, stop)
    await client.send("whole", 9_000)


async def wrong(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0, 6_000)
    with suppress(Failed):
        await client.send("whole", 6_000)


async def checked(client: Client) -> None:
    await client.create("whole")
    with suppress(BodyMismatch):
        await client.send("whole", 0, 7_000, checksum="wrong")
    await client.send("whole", 0, 7_000, checksum="right")
    with suppress(BodyMismatch):
        await client.send("whole", 7_000, 9_000, checksum="wrong")
    await client.send("whole", 7_000)


async def longer(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0, 5_000)
    with suppress(BodyMismatch):
        await client.send("whole", 5_000, 9_000, checksum="wrong", junk=9_000)
    await client.send("whole", 5_000)


async def cut(client: Client) -> None:
    await client.create("whole")
    for start, stop in ((0, 5_500), (5_500, 7_000)):
        with suppress(Unavailable):
            await client.send("whole", start, stop, cut=True)
    await client.send("whole", 7_000)


async def terminated(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0, 6_000)
    await client.world.engine.terminate(client.ids["whole"])


async def ended(client: Client) -> None:
    await whole(client)
    await client.world.engine.terminate(client.ids["whole"])


async def expired(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0, 6_000)
    client.world.wait(2_000)
    await client.world.engine.sweep.all()
    client.world.wait(6_000)
    await client.world.engine.sweep.all()


async def joined(client: Client) -> None:
    for name in ("left", "right"):
        await client.create(name)
        await client.send(name, 0)
    await client.create("joined")
    client.world.wait(200)
    await client.world.engine.sweep.all()


async def waiting(client: Client) -> None:
    await client.create("left")
    await client.send("left", 0)
    await client.create("right")
    await client.send("right", 0, 2_000)
    await client.create("joined")
    client.world.wait(6)
    await client.world.engine.sweep.all()
    await client.send("right", 2_000)
    client.world.wait(6)
    await client.world.engine.sweep.all()


async def silent(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0, 6_000)
    client.world.wait(6)
    await client.world.engine.sweep.all()
    client.world.wait(6)
    await client.world.engine.sweep.all()
    await client.send("whole", 6_000)


async def two(client: Client) -> None:
    await client.create("whole")
    await client.create("other")
    await client.send("whole", 0, 6_000)
    await client.send("other", 0, 1_000)
    await client.send("whole", 6_000)
    await client.send("other", 1_000)


async def two_whole(client: Client) -> None:
    await client.create("whole")
    await client.create("other")
    await client.send("whole", 0)
    await client.send("other", 0)


async def held(client: Client) -> None:
    await client.create("whole")
    await client.send("whole", 0, 6_000)
    with suppress(Unchecked):
        await client.send("whole", 6_000)
    await _outlast(client)


async def held_empty(client: Client) -> None:
    for name in ("whole", "other"):
        await client.create(name)
        with suppress(Unchecked):
            await client.send(name, 0)
    await _outlast(client)


async def held_joined(client: Client) -> None:
    for name in ("left", "right"):
        await client.create(name)
        await client.send(name, 0)
    with suppress(Unchecked):
        await client.create("joined")
    if (await client.world.engine.records.load(client.ids["joined"])).sha256:  # unless its sync failed
        for name in ("left", "right"):
            await client.world.engine.terminate(client.ids[name])
    await _outlast(client)


async def held_terminated(client: Client) -> None:
    await client.create("whole")
    with suppress(Unchecked):
        await client.send("whole", 0)
    await client.world.engine.terminate(client.ids["whole"])


async def _outlast(client: Client) -> None:
    """Let the sweep ask the scanner once in vain, and again when it is up."""
    for seconds in (12, DOWN):
        client.world.wait(seconds)
        await client.world.engine.sweep.all()


SHORT = Plan(name="whole", size=13_000, short=True)
TERMINATED = Plan(name="whole", size=13_000, ending="terminated")
INFECTED = Plan(name="whole", size=13_000, ending="failed", infected=True)
OTHER = Plan(name="other", size=4_200, promise="right")
BROUGHT = tuple(
    Plan(name=name, size=size, promise="right", brought=True) for name, size in (("whole", 13_000), ("other", 4_200))
)
BROUGHT_WRONG = (Plan(name="whole", size=4_200, promise="wrong", ending="failed", brought=True),)
SCENARIOS = (
    Scenario("whole", (PLAN,), whole),
    Scenario("pieces", (PLAN,), pieces),
    Scenario("brought", BROUGHT, brought),
    Scenario("brought, promise wrong", BROUGHT_WRONG, brought_wrong),
    Scenario("brought, process", BROUGHT, brought, Durability.PROCESS),
    Scenario("brought, apart", BROUGHT, brought, apart=True),
    Scenario("short", (SHORT, replace(SHORT, name="other", size=4_200, promise="right")), two_whole),
    Scenario("short, then usual", (PLAN,), short_and_usual),
    Scenario("short, then laid", (SHORT,), whole, layout_later="a/{name}"),
    Scenario("short, promise wrong", (replace(SHORT, promise="wrong", ending="failed"),), short_wrong),
    Scenario("short, checksums", (SHORT,), short_refused),
    Scenario("short, over other bytes", (SHORT,), short_at_last),
    Scenario("short, completed and terminated", (replace(SHORT, ending="terminated"),), ended),
    Scenario("short, process", (SHORT,), whole, Durability.PROCESS),
    Scenario("short, apart", (SHORT,), whole, apart=True),
    Scenario(
        "short, shared", (SHORT, replace(SHORT, name="other", size=4_200, promise="right")), two_whole, shared=True
    ),
    Scenario("short, shared, then usual", (PLAN,), short_and_usual, shared=True),
    Scenario("short, shared, then laid", (SHORT,), whole, layout_later="a/{name}", shared=True),
    Scenario("short, shared, over other bytes", (SHORT,), short_at_last, shared=True),
    Scenario("short, shared, process", (SHORT,), whole, Durability.PROCESS, shared=True),
    Scenario("empty", (Plan(name="whole"),), whole),
    Scenario("promise right", (Plan(name="whole", size=13_000, promise="right"),), pieces),
    Scenario("promise wrong", (Plan(name="whole", size=13_000, promise="wrong", ending="failed"),), wrong),
    Scenario("deferred", (Plan(name="whole", size=13_000, deferred=True),), pieces),
    Scenario("checksums", (PLAN,), checked),
    Scenario("longer at first", (Plan(name="whole", size=13_000, deferred=True),), longer),
    Scenario("cut", (PLAN,), cut),
    Scenario("terminated", (TERMINATED,), terminated),
    Scenario("completed and terminated", (TERMINATED,), ended),
    Scenario("expired", (Plan(name="whole", size=13_000, ending="expired"),), expired),
    Scenario("joined", JOINED, joined),
    Scenario("joined once complete", JOINED, waiting),
    Scenario("group", (PLAN, OTHER), two, Durability.GROUP),
    Scenario("process", (PLAN, OTHER), two, Durability.PROCESS),
    Scenario("process, silent", (PLAN,), silent, Durability.PROCESS),
    Scenario("process, joined", JOINED, waiting, Durability.PROCESS),
    Scenario("laid", (PLAN, OTHER), two, layout="{name}"),
    Scenario("laid, joined", JOINED, joined, layout="{sha256:1}/{name}"),
    Scenario("laid, empty", (Plan(name="whole"),), whole, layout="a/b/{name}"),
    Scenario("laid, completed and terminated", (TERMINATED,), ended, layout="{date:%Y}/{name}"),
    Scenario("laid, group", (PLAN, OTHER), two, Durability.GROUP, layout="{name}"),
    Scenario("laid, apart", (PLAN, OTHER), two, apart=True, layout="x/{name}"),
    Scenario("held", (PLAN,), held, scans=True),
    Scenario("held, empty", (Plan(name="whole"), OTHER), held_empty, scans=True),
    Scenario("held, infected", (INFECTED,), held, scans=True),
    Scenario("held, joined", JOINED, held_joined, scans=True),
    Scenario("held, terminated", (TERMINATED,), held_terminated, scans=True),
    Scenario("held, process", (PLAN,), held, Durability.PROCESS, scans=True),
    Scenario("held, apart", (PLAN,), held, apart=True, scans=True),
    Scenario("apart", (PLAN, OTHER), two, apart=True),
    Scenario("apart, empty", (Plan(name="whole"),), whole, apart=True),
    Scenario(
        "apart, promise wrong", (Plan(name="whole", size=13_000, promise="wrong", ending="failed"),), wrong, apart=True
    ),
    Scenario("apart, completed and terminated", (TERMINATED,), ended, apart=True),
    Scenario("apart, joined", JOINED, joined, apart=True),
    Scenario("apart, group", (PLAN, OTHER), two, Durability.GROUP, apart=True),
    Scenario("apart, process", (PLAN,), silent, Durability.PROCESS, apart=True),
)
