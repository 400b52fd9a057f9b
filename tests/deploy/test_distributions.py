"""The wheel and the source distribution: the same source gives the same bytes, and their metadata is what an index takes."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from onward_process import ROOT

VERSION = version("onward")
pytestmark = pytest.mark.slow


def copy_of_the_source(folder: Path) -> Path:
    """Copy the files that are in version control, with other times and other permissions."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target, follow_symlinks=False)
        if not target.is_symlink():
            target.chmod(0o600)
            os.utime(target, (time.time() - 1e6,) * 2)
    return folder


def build(source: Path, target: Path) -> dict[str, str]:
    """Build both, the wheel from the source distribution; gives the digest of each."""
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)]
    built = subprocess.run(words, cwd=target.parent, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()}


def test_two_builds_of_the_same_source_are_equal_and_have_good_metadata(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        here = build(ROOT, tmp_path / "here")
        elsewhere = build(copy_of_the_source(tmp_path / "source"), tmp_path / "elsewhere")
        assert here == elsewhere
        assert [name.partition("-")[2] for name in sorted(here)] == [f"{VERSION}-py3-none-any.whl", f"{VERSION}.tar.gz"]
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        assert not build(ROOT, tmp_path / "dated").items() & here.items()  # the time is in both, so it was obeyed
    words = [sys.executable, "-m", "twine", "check", "--strict", *map(str, (tmp_path / "here").iterdir())]
    checked = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 2
