"""Measure this server beside the floor and its peers: python tests/benchmarks/run.py [--peer NAME=COMMAND …].

Contestants take turns, round by round, each on a fresh folder; medians and ratios are printed, and written with
`--write` to docs/performance.md and its picture. Peers are given by their commands, with {port} and {data} in them, and
NAME:PATH where uploads are not created at /files:

  --peer '@tus/server=node tests/benchmarks/peers/tus_server.js {port} {data}'
  --peer 'tuspyserver=…/bin/python tests/benchmarks/peers/tuspyserver_app.py {port} {data}'
  --peer 'tusd:/files/=tusd -host 127.0.0.1 -port {port} -upload-dir {data}'
  --peer 'rustus=rustus --host 127.0.0.1 --port {port} --data-dir {data} --info-dir {data}'
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Contestant, floor, onward, peer, running
from report import Result, machine, medians, picture, table
from scenarios import SCENARIOS, Scenario

DOCUMENT, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "pictures" / "performance.svg"
STRIDE = 2**24
MARKS = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end -->)", re.DOTALL)


def measure(scenario: Scenario, contestant: Contestant, folder: Path, scale: float) -> Result:
    """Let a contestant do a scenario once."""
    with running(contestant, folder) as server:
        before = server.cpu()
        seconds = scenario.work(server, scale)
        amount = scenario.amount * scale
        rate = seconds * 1e3 if scenario.worst else amount / seconds
        return Result(scenario.name, contestant.name, rate, (server.cpu() - before) / amount, server.peak())


def lags(scenarios: list[Scenario], folder: Path, scale: float) -> str:
    """Give how late the event loop of this server is in each scenario, by a probe inside of it."""
    probed, lines = onward(program=(str(Path(__file__).with_name("lag.py")),)), list[str]()
    for scenario in scenarios:
        with running(probed, folder) as server:
            time.sleep(1)
            server.lag()  # that of the start
            scenario.work(server, scale)
            lines.append(f"| {scenario.title} | {server.lag()} |")
    return "\n".join(("| scenario | the event loop is late by |", "| --- | --- |", *lines)) + "\n"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=", ".join(each.name for each in SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--peer", action="append", type=peer, default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the data lie")
    parser.add_argument("--option", action="append", default=[], help="one more option of this server")
    parser.add_argument("--sync", action="store_true", help="--durability=full, beside a floor that syncs each stride")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the work")
    parser.add_argument("--write", action="store_true")
    words = parser.parse_args()
    chosen = [each for each in SCENARIOS if not words.scenarios or each.name in words.scenarios]
    ours = onward(*(["--durability=full"] if words.sync else []), *words.option)
    contestants = [floor(STRIDE if words.sync else 0), ours, *words.peer]
    results = list[Result]()
    with tempfile.TemporaryDirectory(dir=words.folder) as place:
        for scenario in chosen:
            for number in range(words.rounds):
                for contestant in contestants:
                    if contestant is contestants[0] and not scenario.floor:
                        continue
                    try:
                        results.append(measure(scenario, contestant, Path(place), words.scale))
                    except AssertionError as fault:
                        if contestant in contestants[:2]:
                            raise
                        print(f"{contestant.name} can't: {scenario.name}: {fault}", file=sys.stderr)
                    else:
                        print(f"round {number + 1}", results[-1], file=sys.stderr)
    names, found = [each.name for each in contestants], medians(results)
    with tempfile.TemporaryDirectory(dir=words.folder) as place:
        late = "" if words.sync else f"\n{lags(chosen, Path(place), words.scale)}"
    text = f"{machine()}, medians of {words.rounds} rounds on {words.folder}.\n\n{table(chosen, names, found)}{late}"
    print(text)
    if words.write:
        DOCUMENT.write_text(MARKS.sub(lambda _: text, DOCUMENT.read_text()))
        PICTURE.write_text(picture(chosen, names, found))


if __name__ == "__main__":
    main()
