"""The documentation builds as a site, without network, warnings or broken links; zensical.toml says from what."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.stem for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.skipif(find_spec("zensical") is None, reason="zensical is missing: pip install --editable '.[docs]'")
def test_the_documentation_builds_as_a_site(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert built.returncode == 0, built.stdout + built.stderr
    assert {path.stem for path in (tmp_path / "site").glob("*.html")} == PAGES | {"404"}
