"""The benchmarks run, and tell what they found; how fast is no matter here."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_small_run_prints_a_table(tmp_path: Path) -> None:
    words = [sys.executable, str(Path(__file__).with_name("run.py")), "one", "watched", "posts"]
    options = ["--rounds=1", "--scale=0.01", "--only-given", f"--folder={tmp_path}", f"--json={tmp_path / 'all.json'}"]
    run = subprocess.run([*words, *options], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    for title in (
        "one PATCH of 1 GiB",
        "with 8 watchers",
        "creation with 4 KiB in one POST",
        "the event loop is late by",
    ):
        assert title in run.stdout
    assert "onward / floor" in run.stdout
    told = json.loads((tmp_path / "all.json").read_text())["folders"][str(tmp_path)]
    assert {each["scenario"] for each in told} == {"one", "watched", "posts"}
