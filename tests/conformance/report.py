"""Run the conformance tests and write docs/conformance.md: `python tests/conformance/report.py`."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from conformance import (
    DOCUMENT,
    FOLDER,
    check_of,
    collect,
    collect_rules,
    draft_modules,
    modules,
    render,
    render_rules,
    rule_of,
)


class Results:
    """Which checks were run, and which of them passed."""

    def __init__(self) -> None:
        self.passed: dict[int, bool] = {}
        self.rules: dict[tuple[str, int], bool] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take note of one phase of a test."""
        report = yield
        check = check_of(getattr(item, "function", None))
        if check is not None and not report.skipped and (report.when == "call" or report.failed):
            self.passed[check.number] = self.passed.get(check.number, True) and report.passed
        rule = rule_of(getattr(item, "function", None))
        if rule is not None and isinstance(item, pytest.Function) and (report.when == "call" or report.failed):
            version = item.callspec.params["version"]
            assert isinstance(version, int)
            key = rule.name, version
            self.rules[key] = self.rules.get(key, True) and report.passed
        return report


def main() -> int:
    """Write the document; gives 1 where a check failed or was not run."""
    results = Results()
    root = FOLDER.parents[1]
    files = map(str, (*modules(), *draft_modules()))
    pytest.main([f"--rootdir={root}", "-c", str(root / "pyproject.toml"), *files], plugins=[results])
    checks, rules = collect(), collect_rules()
    DOCUMENT.write_text(render(checks, results.passed) + render_rules(rules, results.rules), "utf-8")
    told = all(results.rules.get((rule.name, version)) for rule in rules for version in rule.versions)
    return 0 if told and all(results.passed.get(check.number) for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
