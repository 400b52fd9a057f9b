"""Run the conformance tests and write docs/conformance.md: `python tests/conformance/report.py`."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from conformance import DOCUMENT, FOLDER, check_of, collect, modules, render


class Results:
    """Which checks were run, and which of them passed."""

    def __init__(self) -> None:
        self.passed: dict[int, bool] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take note of one phase of a test."""
        report = yield
        check = check_of(getattr(item, "function", None))
        if check is not None and not report.skipped and (report.when == "call" or report.failed):
            self.passed[check.number] = self.passed.get(check.number, True) and report.passed
        return report


def main() -> int:
    """Write the document; gives 1 where a check failed or was not run."""
    results = Results()
    root = FOLDER.parents[1]
    pytest.main([f"--rootdir={root}", "-c", str(root / "pyproject.toml"), *map(str, modules())], plugins=[results])
    checks = collect()
    DOCUMENT.write_text(render(checks, results.passed), "utf-8")
    return 0 if all(results.passed.get(check.number) for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
