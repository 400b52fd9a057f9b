"""Measure this server beside the floor and its peers: python tests/benchmarks/run.py [SCENARIO …] [OPTION …].

Contestants take turns, round by round, each on a fresh folder; medians and their ratios to the floor's are printed, and
written with `--write` to docs/performance.md and its picture. Peers that are installed take part (see installed.py),
others are given by their commands, with {port} and {data} in them, NAME:PATH where uploads are not created at /files:

  --peer '@tus/server=node tests/benchmarks/peers/tus_server.js {port} {data}'
  --peer 'tuspyserver=…/bin/python tests/benchmarks/peers/tuspyserver_app.py {port} {data}'
  --peer 'tusd:/files/=…/tusd -host 127.0.0.1 -port {port} -upload-dir {data}'
  --peer 'rustus=…/rustus --host 127.0.0.1 --port {port} -m 2147483648 --data-dir {data} --info-dir {data}'

Where redis-server is on PATH, this server takes part a second time with its state in a Redis of its own.

The further measurements (promise, workers, resume, records, paused) are programs of their own too; `promise` lies on
the disk that --disk names.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

import goals
import many_records
import one_and_two_workers
import paused
import promise
import resuming
from contestants import Contestant, floor, on_redis, onward, peer, running
from installed import installed
from report import Result, as_json, machine, picture, rows, table
from scenarios import SCENARIOS, Scenario
from stored import check_stored

DOCUMENT, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "pictures" / "performance.svg"
STRIDE = 2**24  # bytes
BUSY = 0.5  # processes that run on an idle machine
LATE = re.compile(r"(?:p50|p99|p99\.9|max) ([0-9.]+)")
MARKS = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end -->)", re.DOTALL)
FURTHER: dict[str, Callable[[Path], Iterator[str]]] = {
    "promise": promise.lines,
    "resume": resuming.lines,
    "workers": one_and_two_workers.lines,
    "records": many_records.lines,
    "paused": paused.lines,
}
ON_DISK = ("promise",)
PROBED = (str(Path(__file__).with_name("lag.py")),)
LATE_HEAD = (
    "| the event loop is late by, in ms | | p50 | p99 | p99.9 | most |",
    "| --- | --- | --- | --- | --- | --- |",
)


def with_redis(words: argparse.Namespace) -> bool:
    """Return whether this server takes part a second time, with Redis."""
    return not words.without_redis and shutil.which("redis-server") is not None


def measure(scenario: Scenario, contestant: Contestant, number: int, folder: Path, scale: float) -> Result:
    """Let a contestant do a scenario once."""
    os.sync()  # what others have left to write is not on its account
    with running(contestant, folder) as server:
        before = server.cpu()
        seconds = scenario.work(server, scale)
        amount = scenario.amount * scale
        rate = seconds * 1e3 if scenario.worst else amount / seconds
        cpu, peak = (server.cpu() - before) / amount, server.peak()
        check_stored(scenario, server, scale)
        return Result(scenario.name, contestant.name, number, rate, cpu, peak)


def turns(
    scenario: Scenario, contestants: list[Contestant], folder: Path, words: argparse.Namespace
) -> Iterator[Result]:
    """Let contestants do a scenario in turn; the floors and this server come first, then peers, which may fail."""
    able = [each for each in contestants if scenario.floor or not each.bare]
    for number in range(words.rounds):
        for contestant in able:
            try:
                result = measure(scenario, contestant, number, folder, words.scale)
            except (AssertionError, OSError) as fault:
                if contestant.own:
                    raise
                print(f"{contestant.name} can't: {scenario.name}: {fault}", file=sys.stderr)
            else:
                print(f"round {number + 1}", result, file=sys.stderr)
                yield result


def lags(scenarios: list[Scenario], probed: Contestant, folder: Path, rounds: int, scale: float) -> Iterator[str]:
    """Yield how late the event loop of a server is in each scenario, by a probe inside of it: medians of rounds."""
    for scenario in scenarios:
        found = list[str]()
        for _ in range(rounds):
            with running(probed, folder) as server:
                time.sleep(0.5)
                server.lag()  # that of the start
                scenario.work(server, scale)
                found.append(server.lag())
        late = [median(map(float, figures)) for figures in zip(*map(LATE.findall, found), strict=True)]
        yield f"| {scenario.title} | {probed.name} | {' | '.join(f'{each:.1f}' for each in late)} |"


def command_line() -> argparse.Namespace:
    """Read what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [each.name for each in SCENARIOS] + list(FURTHER)
    parser.add_argument("scenarios", nargs="*", help=f"all unless named: {', '.join(known)}", metavar="SCENARIO")
    parser.add_argument("--peer", action="append", type=peer, default=[])
    parser.add_argument("--only-given", action="store_true", help="no peers but those given")
    parser.add_argument("--without-redis", action="store_true", help="even if there is a redis-server")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="a folder on a disk, for `promise`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", action="append", type=Path, help="where the data lie, repeatable; /dev/shm")
    parser.add_argument("--option", action="append", default=[], help="one more option of this server")
    parser.add_argument("--sync", action="store_true", help="--durability=full, beside a floor that syncs each stride")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the work")
    parser.add_argument("--json", type=Path, help="where all results are written to")
    parser.add_argument("--write", action="store_true")
    words = parser.parse_args()
    words.scenarios = words.scenarios or known
    if unknown := set(words.scenarios) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    words.folder = words.folder or [Path("/dev/shm")]
    return words


def main() -> None:
    """Run what the command line asks for."""
    words = command_line()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that no server stays
    if (load := os.getloadavg()[0]) > BUSY:
        print(f"The machine is busy (load {load:.1f}): do not trust the figures.", file=sys.stderr)
    chosen = [each for each in SCENARIOS if each.name in words.scenarios]
    own = [*(["--durability=full"] if words.sync else []), *words.option]
    makers = (onward, on_redis) if with_redis(words) else (onward,)
    ours, probed = [make(*own) for make in makers], [make(*own, program=PROBED) for make in makers]
    given = {each.name for each in words.peer}
    found = [] if words.only_given else [each for each in installed() if each.name not in given]
    stride = STRIDE if words.sync else 0
    contestants = [floor(stride), floor(stride, plain=True), *ours, *words.peer, *found]
    names, results, texts = [each.name for each in contestants], dict[str, list[Result]](), list[str]()
    for folder in words.folder:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            place = Path(name)
            measured = [each for scenario in chosen for each in turns(scenario, contestants, place, words)]
            results[str(folder)] = measured
            texts.append(f"{machine()}, medians of {words.rounds} rounds on {folder}, scale {words.scale:g}.\n")
            texts.append(table(chosen, rows(measured, names)))
            texts.append(goals.table(measured))
            if chosen and not words.sync:
                late = (line for each in probed for line in lags(chosen, each, place, words.rounds, words.scale))
                texts.append("\n".join((*LATE_HEAD, *late)) + "\n")
    places = {name: words.disk if name in ON_DISK else words.folder[0] for name in FURTHER}
    lines = [line for name, more in FURTHER.items() if name in words.scenarios for line in more(places[name])]
    text = "\n".join((*filter(None, texts), "".join(f"- {line}\n" for line in lines)))
    print(text)
    if words.json:
        words.json.write_text(as_json(words.rounds, results, lines))
    if words.write:
        DOCUMENT.write_text(MARKS.sub(lambda _: text, DOCUMENT.read_text()))
        PICTURE.write_text(picture(chosen, names, rows(results[str(words.folder[0])], names)))


if __name__ == "__main__":
    main()
