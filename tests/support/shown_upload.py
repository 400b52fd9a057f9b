"""What `onward show` says about an upload, also beside a running server."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def shown_upload(data: Path, id: str, *options: str) -> dict[str, Any]:
    """Give the JSON object of an upload as the operator sees it."""
    (shown,) = shown_uploads(data, [id], *options)
    return shown


def shown_uploads(data: Path, ids: Sequence[str], *options: str) -> list[dict[str, Any]]:
    """Give the JSON objects of uploads as the operator sees them."""
    words = [sys.executable, "-m", "onward", "show", "--json", f"--data={data}", *options, *ids]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr
    shown: list[dict[str, Any]] = json.loads(answer.stdout)
    return shown
