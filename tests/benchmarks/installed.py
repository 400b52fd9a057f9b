"""Peers that are found installed: tusd and rustus on PATH, @tus/server by Node, tuspyserver by this Python."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from contestants import TUSD, Contestant

PEERS = Path(__file__).with_name("peers")
LARGEST = 2**31  # bytes of one body; rustus takes 256 KiB unless told otherwise


def tusd() -> Contestant | None:
    """Find tusd; it logs each request, as this server does."""
    words = ("tusd", "-host", "127.0.0.1", "-port", "{port}", "-upload-dir", "{data}")
    return Contestant(TUSD, words, "/files/") if shutil.which("tusd") else None


def _rustus() -> Contestant | None:
    words = ("rustus", "--host", "127.0.0.1", "--port", "{port}", "--max-body-size", str(LARGEST))
    folders = ("--data-dir", "{data}", "--info-dir", "{data}")
    return Contestant("rustus", (*words, *folders)) if shutil.which("rustus") else None


def _tus_server() -> Contestant | None:
    """Find @tus/server where Node looks for it: NODE_PATH may name its node_modules."""
    look = ("node", "-e", "require.resolve('@tus/server'), require.resolve('@tus/file-store')")
    if not shutil.which("node") or subprocess.run(look, capture_output=True, check=False).returncode:
        return None
    return Contestant("@tus/server", ("node", str(PEERS / "tus_server.js"), "{port}", "{data}"))


def _tuspyserver() -> Contestant | None:
    words = (sys.executable, str(PEERS / "tuspyserver_app.py"), "{port}", "{data}")
    there = all(importlib.util.find_spec(name) for name in ("tuspyserver", "uvicorn"))
    return Contestant("tuspyserver", words) if there else None


def installed() -> list[Contestant]:
    """Give the peers that can be started."""
    return [peer for find in (tusd, _rustus, _tus_server, _tuspyserver) if (peer := find())]
