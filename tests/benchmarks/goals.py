"""What the figures should be: ratios of rates within the same round, and how late the event loop may be."""

from dataclasses import dataclass
from statistics import median

from contestants import FLOOR, ON_REDIS, ONWARD, TUSD
from report import Result
from scenarios import SCENARIOS


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of the rates of two contestants."""

    scenario: str
    who: str
    beside: str
    wanted: float


GOALS = (
    Goal("creates", ONWARD, FLOOR, 0.6),
    Goal("creates", ON_REDIS, ONWARD, 0.75),
    Goal("posts", ONWARD, TUSD, 0.5),
    Goal("posts", ONWARD, FLOOR, 0.7),
    Goal("heads", ONWARD, FLOOR, 0.6),
    Goal("heads", ON_REDIS, ONWARD, 0.7),
    Goal("chunks", ONWARD, FLOOR, 0.9),
    Goal("chunks", ON_REDIS, ONWARD, 0.85),
    Goal("eight", ONWARD, FLOOR, 0.97),
)


def table(results: list[Result]) -> str:
    """Write which ratios were wanted and which were measured, with those of the worst and the best round."""
    titles = {each.name: each.title for each in SCENARIOS}
    rates = {(each.scenario, each.contestant, each.round): each.rate for each in results}
    lines = []
    for goal in GOALS:
        ratios = sorted(
            rate / rates[beside]
            for (scenario, who, number), rate in rates.items()
            if (scenario, who) == (goal.scenario, goal.who) and (beside := (scenario, goal.beside, number)) in rates
        )
        if ratios:
            told = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {goal.wanted}"
            lines.append(f"| {titles[goal.scenario]} | {goal.who} / {goal.beside} | {told} |")
    head = ("| scenario | ratio of the rates | measured (worst and best round) | wanted |", "| --- | --- | --- | --- |")
    return "\n".join((*head, *lines)) + "\n" if lines else ""
