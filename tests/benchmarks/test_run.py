"""The benchmarks run, and print what they found; how fast is no matter here."""

import subprocess
import sys
from pathlib import Path


def test_a_small_run_prints_a_table(tmp_path: Path) -> None:
    words = [sys.executable, str(Path(__file__).with_name("run.py")), "one", "heads", "creates", "download"]
    options = ["--rounds=1", "--scale=0.01", f"--folder={tmp_path}"]
    run = subprocess.run([*words, *options], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    for title in ("one PATCH of 1 GiB", "HEAD, 8 connections", "creation and PATCH of 4 KiB", "download of 1 GiB"):
        assert title in run.stdout
