"""Node for the clients that run in it: one npm install in tests/interop; without it, tests are skipped with a warning."""

import fcntl
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

INTEROP = Path(__file__).resolve().parents[1] / "interop"
MODULES = INTEROP / "node_modules"
INSTALL = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error")
INSTALL_WITHIN = 300


def node_words(script: str, *packages: str) -> list[str]:
    """Give the words that start a script of tests/interop/clients; skips where Node or its packages can't be had."""
    require(*packages)
    return ["node", str(INTEROP / "clients" / script)]


def require(*packages: str) -> None:
    """Skip, loudly, where Node or these packages can't be had; missing ones are installed."""
    if shutil.which("node") is None:
        pytest.skip("SKIPPED LOUDLY: Node is not installed")
    if _missing(packages):
        if shutil.which("npm") is None:
            pytest.skip("SKIPPED LOUDLY: npm is not installed")
        _install()
    if missing := _missing(packages):
        pytest.skip(f"SKIPPED LOUDLY: npm can't install {', '.join(missing)}")


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [name for name in packages if not (MODULES / name / "package.json").is_file()]


@cache
def _install() -> None:
    """Install all packages, once a session; several test processes take turns."""
    with (INTEROP / "package.json").open() as interrupt, suppress(subprocess.TimeoutExpired):
        fcntl.flock(interrupt, fcntl.LOCK_EX)
        subprocess.run(INSTALL, cwd=INTEROP, check=False, timeout=INSTALL_WITHIN)
