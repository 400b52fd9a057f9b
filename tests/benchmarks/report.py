"""The figures of a run as a table and as a picture, each beside the first contestant's."""

import platform
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from scenarios import Scenario

COLOURS = ("#9aa4b2", "#1d5fd6", "#c77700", "#7a4fc0", "#0f766e", "#b42318")
BAR, GAP, LEFT, WIDTH = 16, 14, 330, 860


@dataclass(frozen=True, slots=True)
class Result:
    """What one contestant did in one round of a scenario: amounts a second (or ms), seconds of CPU for one, bytes."""

    scenario: str
    contestant: str
    rate: float
    cpu: float
    peak: int


Medians = dict[tuple[str, str], tuple[float, float, float]]


def medians(results: list[Result]) -> Medians:
    """Give rate, CPU and peak of each contestant in each scenario."""
    rounds = defaultdict(list)
    for each in results:
        rounds[each.scenario, each.contestant].append((each.rate, each.cpu, float(each.peak)))
    return {key: tuple(map(median, zip(*values, strict=True))) for key, values in rounds.items()}


def machine() -> str:
    """Name the machine and the day."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{len(models)} × {models[0]}, Linux {platform.release()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"


def table(scenarios: list[Scenario], names: list[str], found: Medians) -> str:
    """Write the medians as a table; ratios are those to the first contestant that took part."""
    lines = [
        "| scenario | | rate | of the first | CPU | of the first | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for scenario in scenarios:
        first: tuple[float, float, float] | None = None
        for name in names:
            if (scenario.name, name) not in found:
                continue
            rate, cpu, peak = found[scenario.name, name]
            first = first or (rate, cpu, peak)
            told, cost = f"{rate:,.2f} {scenario.unit}/s", f"{cpu:.2f} s/GiB"
            if scenario.worst:
                told, cost = f"{rate:.1f} ms", ""
            elif scenario.unit != "GiB":
                told, cost = f"{rate:,.0f} {scenario.unit}/s", f"{cpu * 1e3:.2f} ms each"
            ratios = (f"{rate / first[0]:.2f}", "" if scenario.worst else f"{cpu / first[1]:.2f}")
            title = scenario.title if first == (rate, cpu, peak) else ""
            lines.append(f"| {title} | {name} | {told} | {ratios[0]} | {cost} | {ratios[1]} | {peak / 2**20:.0f} MiB |")
    return "\n".join(lines) + "\n"


def picture(scenarios: list[Scenario], names: list[str], found: Medians) -> str:
    """Draw the rates, each scenario's fastest as the longest bar."""
    shapes, y = list[str](), 40
    for scenario in (each for each in scenarios if not each.worst):
        rates = {name: found[scenario.name, name][0] for name in names if (scenario.name, name) in found}
        shapes.append(f'<text x="{LEFT - 12}" y="{y + 12}" text-anchor="end">{escape(scenario.title)}</text>')
        for name, rate in rates.items():
            length = (WIDTH - LEFT - 150) * rate / max(rates.values())
            colour = COLOURS[names.index(name) % len(COLOURS)]
            text = f"{rate:,.0f}" if rate >= 100 else f"{rate:.2f}"
            shapes.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{colour}"/>')
            shapes.append(f'<text x="{LEFT + length + 8:.1f}" y="{y + 12}">{text} {escape(scenario.unit)}/s</text>')
            y += BAR + 3
        y += GAP
    x = LEFT
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        shapes.append(
            f'<rect x="{x}" y="12" width="12" height="12" rx="3" fill="{colour}"/><text x="{x + 18}" y="22">{escape(name)}</text>'
        )
        x += 40 + 8 * len(name)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="system-ui, sans-serif" font-size="13">'
    return "\n".join((head, f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>', *shapes, "</svg>")) + "\n"
