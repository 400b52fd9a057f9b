"""The main job with a large file of your own, as a table: python tests/interop/by_hand.py FILE."""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

import end_to_end_scenario as scenario
from redis_process import redis_server

RATE = 64 * 2**20
FAULTS: tuple[scenario.Fault, ...] = ("cuts", "kill")


def main(file: Path) -> None:
    """Run every client on both states through both faults."""
    print(
        "| client | state | fault | faults | seconds | bytes | bytes sent | messages |\n|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis:
        for client in scenario.CLIENTS:
            for state in ("sqlite:", redis.url):
                for fault in FAULTS:
                    data = Path(folder) / f"{client}-{state[:5]}-{fault}"
                    seen = asyncio.run(scenario.upload(client, state, fault, file, data, rate=RATE))
                    words = (client, state[:6], fault, seen.faults, f"{seen.seconds:.1f}", seen.size, seen.sent)
                    print("|", " | ".join(map(str, (*words, seen.messages))), "|", flush=True)


main(Path(sys.argv[1]))
