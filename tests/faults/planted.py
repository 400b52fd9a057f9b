"""Plants known bugs into a copy of the tree, one at a time, and runs the test that has to catch each.

`python tests/faults/planted.py` prints a table; it fails where a bug is missed, or can't be planted any more.
Signs after the name choose some of them.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "tests" / "interop" / "node_modules"  # of clients in JavaScript; to install them takes long
PATIENCE = 300  # seconds that a test may take
AT_ONCE = 2


def verdict(bug: Bug, tree: Path) -> tuple[str, str]:
    """Plant a bug, run its test, and take the bug away again; gives what came of it, and why."""
    path = tree / bug.file
    source = path.read_text()
    try:
        planted = bug.planted(source)
        if path.suffix == ".py":
            ast.parse(planted)
    except ValueError as fault:
        return "NOT PLANTED", str(fault)
    except SyntaxError as fault:  # any test would fail, for the wrong reason
        return "NOT PLANTED", f"{bug.file} would be no Python: {fault}"
    path.write_text(planted)
    words = [sys.executable, "-B"]
    if "by_hand" not in bug.test:
        words += ["-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
    try:
        run = subprocess.run(
            [*words, *bug.test.split()], cwd=tree, capture_output=True, text=True, check=False, timeout=PATIENCE,
            env=os.environ | {"PYTHONPATH": str(tree)},  # helpers in processes of their own import the copy too
        )  # fmt: skip
    finally:
        path.write_text(source)
    why = re.findall(
        r"^(?:E +)?(\S*(?:Error|Exception|assert|Failed|Violation)\S*.*)$", run.stdout + run.stderr, re.MULTILINE
    )
    last = run.stdout.strip().rpartition("\n")[2]
    if why and why[0].startswith(("NameError", "UnboundLocalError")):  # any test would fail, for the wrong reason
        return "NOT PLANTED", why[0]
    if run.returncode == 1:
        return "caught", why[0] if why else last
    return ("MISSED" if run.returncode == 0 else "BROKEN"), last


def main(signs: list[str]) -> int:
    """Try the bugs and print the table."""
    bugs = [bug for bug in BUGS if not signs or bug.sign in signs]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            tree = Path(folder) / str(number) / "tree"
            shutil.copytree(
                ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules")
            )
            if MODULES.is_dir():
                (tree / MODULES.relative_to(ROOT)).symlink_to(MODULES)
            trees.put(tree)

        def attempt(bug: Bug) -> bool:
            tree, began = trees.get(), time.monotonic()
            try:
                came, why = verdict(bug, tree)
            finally:
                trees.put(tree)
            name = bug.test.partition(" ")[0].rpartition("/")[2]
            print(f"({bug.sign:>2}) {bug.title:46} {came:11} {time.monotonic() - began:5.1f} s  {name}: {why[:90]}")
            return came == "caught"

        caught = sum(pool.map(attempt, bugs))
    print(f"{caught} of {len(bugs)} caught")
    return 0 if caught == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
