"""The figures of a run as a table, as JSON and as a picture, each beside the first contestant's."""

import json
import platform
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from contestants import FLOOR, ON_REDIS, ONWARD
from scenarios import Scenario

COLOURS = ("#9aa4b2", "#ccd3dc", "#1d5fd6", "#c77700", "#7a4fc0", "#0f766e", "#b42318", "#5b8c00")
BAR, GAP, LEFT, WIDTH = 16, 14, 330, 860


@dataclass(frozen=True, slots=True)
class Result:
    """What one contestant did in one round of a scenario: amounts a second (or ms), seconds of CPU for one, bytes."""

    scenario: str
    contestant: str
    round: int
    rate: float
    cpu: float
    peak: int

    @property
    def figures(self) -> tuple[float, float, float]:
        """Give its figures."""
        return self.rate, self.cpu, float(self.peak)


@dataclass(frozen=True, slots=True)
class Row:
    """A contestant in a scenario: medians of its figures, and of their ratios to the first one's in each round."""

    contestant: str
    rate: float
    cpu: float
    peak: float
    ratios: tuple[float, ...]
    beside: float | None = None  # the median ratio of its rate to that of this server


Rows = dict[str, list[Row]]


def rows(results: list[Result], names: list[str]) -> Rows:
    """Give what is told of each scenario, in the order of the names."""
    rounds: dict[str, dict[str, dict[int, Result]]] = defaultdict(lambda: defaultdict(dict))
    for each in results:
        rounds[each.scenario][each.contestant][each.round] = each
    found = defaultdict(list)
    for scenario, by_name in rounds.items():
        there = [name for name in names if name in by_name]
        first, ours = by_name[there[0]], by_name.get(ONWARD, {})
        for name in there:
            own = by_name[name]
            pairs = [(own[number].figures, first[number].figures) for number in own.keys() & first.keys()]
            ratios = _medians(
                [one / other if other else 1.0 for one, other in zip(*pair, strict=True)] for pair in pairs
            )
            rate, cpu, peak = _medians(each.figures for each in own.values())
            beside = [own[number].rate / ours[number].rate for number in own.keys() & ours.keys()]
            found[scenario].append(Row(name, rate, cpu, peak, ratios, median(beside) if beside else None))
    return found


def _medians(figures: Iterable[Iterable[float]]) -> tuple[float, ...]:
    return tuple(map(median, zip(*figures, strict=True)))


def machine() -> str:
    """Name the machine and the day."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{len(models)} × {models[0]}, Linux {platform.release()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"


def table(scenarios: list[Scenario], found: Rows) -> str:
    """Write it as a table; what follows a figure in brackets is its ratio to the first contestant's."""
    lines = ["| scenario | | rate | beside onward | CPU | peak memory |", "| --- | --- | --- | --- | --- | --- |"]
    for scenario in scenarios:
        for number, row in enumerate(found.get(scenario.name, [])):
            told, cost = f"{row.rate:,.2f} {scenario.unit}/s", f"{row.cpu:.2f} s/GiB"
            if scenario.worst:
                told, cost = f"{row.rate:.1f} ms", ""
            elif scenario.unit != "GiB":
                told, cost = f"{row.rate:,.0f} {scenario.unit}/s", f"{row.cpu * 1e3:.2f} ms each"
            cells = [told, cost, f"{row.peak / 2**20:.0f} MiB"]
            if number:
                cells = [f"{cell} ({ratio:.2f})" if cell else "" for cell, ratio in zip(cells, row.ratios, strict=True)]
            cells.insert(1, _beside(row) if not scenario.worst else "")
            lines.append(f"| {'' if number else scenario.title} | {row.contestant} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _beside(row: Row) -> str:
    """Tell how the rate compares with that of this server."""
    if row.beside is None or row.contestant == ONWARD or row.contestant.startswith(FLOOR):
        return ""
    return f"{row.beside:.2f} of it" if row.contestant == ON_REDIS else f"onward has {1 / row.beside:.2f} of this"


def as_json(rounds: int, folders: dict[str, list[Result]], lines: list[str]) -> str:
    """Write all results of each folder, not only their medians, and the lines of further measurements."""
    told = {folder: [asdict(each) for each in results] for folder, results in folders.items()}
    return json.dumps({"machine": machine(), "rounds": rounds, "folders": told, "further": lines}, indent=1) + "\n"


def picture(scenarios: list[Scenario], names: list[str], found: Rows) -> str:
    """Draw the rates, each scenario's fastest as the longest bar."""
    shapes, y = list[str](), 40
    for scenario in (each for each in scenarios if each.name in found and not each.worst):
        shapes.append(f'<text x="{LEFT - 12}" y="{y + 12}" text-anchor="end">{escape(scenario.title)}</text>')
        most = max(row.rate for row in found[scenario.name])
        for row in found[scenario.name]:
            length, colour = (WIDTH - LEFT - 150) * row.rate / most, _colour(names, row.contestant)
            text = f"{row.rate:,.0f}" if row.rate >= 100 else f"{row.rate:.2f}"
            shapes.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{colour}"/>')
            shapes.append(f'<text x="{LEFT + length + 8:.1f}" y="{y + 12}">{text} {escape(scenario.unit)}/s</text>')
            y += BAR + 3
        y += GAP
    x = GAP
    for name in names:
        square = f'<rect x="{x}" y="12" width="12" height="12" rx="3" fill="{_colour(names, name)}"/>'
        shapes.append(f'{square}<text x="{x + 18}" y="22">{escape(name)}</text>')
        x += 36 + 7 * len(name)
    font = 'font-family="system-ui, sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" {font}>'
    return "\n".join((head, f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>', *shapes, "</svg>")) + "\n"


def _colour(names: list[str], name: str) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]
