"""The numbered checks of tus 1.0.0 and the rules of the IETF draft: how a test names one, and the document about all."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

import pytest

Strength = Literal["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "implied", "convention"]
Test = TypeVar("Test", bound=Callable[..., None])

TOTAL = 119
FOLDER = Path(__file__).resolve().parents[1] / "conformance"
DOCUMENT = FOLDER.parents[1] / "docs" / "conformance.md"
VERSIONS = (6, 8, 9, 10)
DRAFT = """
## The IETF draft, by interop version

Each line is a test in `tests/conformance/test_ietf_*.py`, run for each interop version that it concerns. M is MUST, S is SHOULD, m is MAY, i follows from a MUST,
c is a convention or our choice; `8+` are the versions 8, 9 and 10. The rules RM are about uploads on which both protocols work.

| rule | strength | what is checked | 6 | 8 | 9 | 10 |
| --- | --- | --- | --- | --- | --- | --- |
"""
INTRODUCTION = """# Conformance

## tus 1.0.0

Each line is a test of the same number in `tests/conformance`, against a running server. The strength is that of the protocol's text; `implied` follows from a MUST,
`convention` is what other servers do where the text is silent. This file is written by `python tests/conformance/report.py`, which runs the tests.
"""


@dataclass(frozen=True, slots=True, order=True)
class Check:
    """A numbered check; `not_offered` tells why the server leaves it out."""

    number: int
    strength: Strength
    text: str
    not_offered: str = ""


def check(number: int, strength: Strength, text: str, *, not_offered: str = "") -> Callable[[Test], Test]:
    """Name the check that a test makes; the name of the test begins with its number."""

    def named(test: Test) -> Test:
        assert test.__name__.startswith(f"test_{number:03}_"), test.__name__
        test.__dict__["check"] = Check(number, strength, text, not_offered)
        return test

    return named


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the draft."""

    name: str
    strength: str
    text: str
    versions: tuple[int, ...] = VERSIONS

    @property
    def place(self) -> tuple[str, int, str]:
        """Give what rules are sorted by: R2, R10, R55, R55b, RM1."""
        letters = self.name.rstrip("0123456789b")
        number = self.name[len(letters) :]
        return letters, int(number.rstrip("b")), number


def rule(
    name: str, strength: str, text: str, *, versions: tuple[int, ...] = VERSIONS
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Name the rule that a test checks, and run the test for each version; its name begins with that of the rule."""

    def named(test: Callable[..., None]) -> Callable[..., None]:
        assert test.__name__.startswith(f"test_{name.lower()}_"), test.__name__
        test.__dict__["rule"] = Rule(name, strength, text, versions)
        marked: Callable[..., None] = pytest.mark.parametrize("version", versions)(test)
        return marked

    return named


def rule_of(test: object) -> Rule | None:
    """Give the rule that a test checks, if it checks any."""
    found = getattr(test, "rule", None)
    return found if isinstance(found, Rule) else None


def collect_rules() -> list[Rule]:
    """Give the rules of all files, in order."""
    found = (rule_of(value) for path in draft_modules() for value in vars(_load(path)).values())
    return sorted({rule for rule in found if rule is not None}, key=lambda rule: rule.place)


def draft_modules() -> list[Path]:
    """Give the files that hold the rules of the draft."""
    return sorted(FOLDER.glob("test_ietf_*.py"))


def render_rules(rules: Iterable[Rule], passed: Mapping[tuple[str, int], bool]) -> str:
    """Write the part of the document about the draft, given which rules passed in which version."""
    words = {None: "NOT RUN", False: "FAILED", True: "passed"}
    rows = []
    for each in rules:
        results = [words[passed.get((each.name, version))] if version in each.versions else "–" for version in VERSIONS]
        rows.append(f"| {each.name} | {_cell(each.strength)} | {_cell(each.text)} | {' | '.join(results)} |")
    return DRAFT + "\n".join(rows) + "\n"


def check_of(test: object) -> Check | None:
    """Give the check that a test makes, if it makes any."""
    found = getattr(test, "check", None)
    return found if isinstance(found, Check) else None


def modules() -> list[Path]:
    """Give the files that hold the checks."""
    return sorted(FOLDER.glob("test_[0-9]*.py"))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def collect() -> list[Check]:
    """Give the checks of all files, by number."""
    found = (check_of(value) for path in modules() for value in vars(_load(path)).values())
    return sorted(check for check in found if check is not None)


def _result(check: Check, passed: bool | None) -> str:
    if passed is None:
        return "NOT RUN"
    if not passed:
        return "FAILED"
    return f"not offered: {check.not_offered}" if check.not_offered else "passed"


def render(checks: Iterable[Check], passed: Mapping[int, bool]) -> str:
    """Write the document, given which checks were run and which of them passed."""
    rows = [(check, _result(check, passed.get(check.number))) for check in checks]
    counts = {
        "passed": sum(result == "passed" for _, result in rows),
        "FAILED": sum(result == "FAILED" for _, result in rows),
        "NOT RUN": sum(result == "NOT RUN" for _, result in rows),
        "not offered": sum(result.startswith("not offered") for _, result in rows),
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines = [
        INTRODUCTION,
        f"{told}, of {len(rows)}\n",
        "| number | strength | check | result |",
        "| ---: | --- | --- | --- |",
        *(f"| {check.number} | {check.strength} | {_cell(check.text)} | {_cell(result)} |" for check, result in rows),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
