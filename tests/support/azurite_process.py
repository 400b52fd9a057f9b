"""A real Azurite, the emulator of Azure Blob Storage; without it, tests are skipped with a warning.

It is on the PATH, or where `tests/run` installs it: beside the environment.
"""

import base64
import email.utils
import hashlib
import hmac
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_port

ACCOUNT = "devstoreaccount1"  # the account that every Azurite has, with a key that everybody knows
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-08-06"
START_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class AzuriteProcess:
    """A running Azurite on this machine."""

    port: int

    @property
    def keys(self) -> dict[str, str]:
        """Give the environment that leads obstore to it."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{self.port}",
        }

    def new_bucket(self) -> str:
        """Make a container, and give its name."""
        name = f"b{secrets.token_hex(6)}"
        date = email.utils.formatdate(usegmt=True)
        text = (
            f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        )
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        headers = {
            "x-ms-date": date,
            "x-ms-version": VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
            "Content-Length": "0",
        }
        url = f"http://127.0.0.1:{self.port}/{ACCOUNT}/{name}?restype=container"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=10).close()
        return name


@contextmanager
def run_azurite(folder: Path) -> Iterator[AzuriteProcess]:
    """Run an Azurite that keeps everything in memory."""
    there = Path(sys.prefix) / "azurite" / "node_modules" / ".bin"
    program = shutil.which("azurite-blob", path=f"{os.environ.get('PATH', os.defpath)}:{there}")
    if program is None:
        pytest.skip(f"SKIPPED LOUDLY: Azurite is not installed: npm install --prefix {sys.prefix}/azurite azurite")
    port = free_port()
    words = [program, "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]
    words += ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    log = folder / "azurite.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(words, cwd=folder, stdout=lines, stderr=lines)
        try:
            until = time.monotonic() + START_WITHIN
            while not _answers(port):
                assert process.poll() is None, f"Azurite has ended:\n{log.read_text()[-2000:]}"
                assert time.monotonic() < until, f"Azurite does not start:\n{log.read_text()[-2000:]}"
                time.sleep(0.05)
            yield AzuriteProcess(port)
        finally:
            process.kill()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
