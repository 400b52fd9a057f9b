"""The wheel, as somebody installs it: its packages are typed for those who import them."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITHIN = 300
USE = """
from protocol.errors import AccessDenied
from storage.base import State

from client import Options, Uploaded, upload, watch
from server import Config, create_app


async def use(state: State) -> Uploaded:
    await create_app(Config(data="./data"))
    async for message in watch("http://127.0.0.1:8080/files/1"):
        print(message.status)
    if not state:
        raise AccessDenied
    return await upload("some.bin", "http://127.0.0.1:8080/files", options=Options(parallel=4))
"""
MISUSE = """
from client import upload
from protocol.headers import build_metadata
from server import create_app
from storage.base import State

create_app("data")
upload(1, 2)
build_metadata(3)
State.load(4)
"""


def call(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=WITHIN, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and beside it the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    made = call(*pip, *build, folder=folder)
    assert made.returncode == 0, made.stderr
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    made = call(*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel), folder=folder)
    assert made.returncode == 0, made.stderr
    told = call(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder)
    (Path(told.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def checked(python: Path, source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Check a source as strictly as mypy can, with nothing of this project around but what is installed."""
    (folder / "use.py").write_text(source)
    words = ("--strict", "--config-file", os.devnull, "--python-executable", str(python), "use.py")
    return call(sys.executable, "-m", "mypy", *words, folder=folder)


def test_a_typed_program_that_imports_it_passes_strict_checks(installed: Path, tmp_path: Path) -> None:
    ended = checked(installed, USE, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_wrong_use_of_each_package_is_found(installed: Path, tmp_path: Path) -> None:
    found = checked(installed, MISUSE, tmp_path).stdout
    for line, name in ((7, "create_app"), (8, "upload"), (9, "build_metadata"), (10, "load")):
        assert f'use.py:{line}: error: Argument 1 to "{name}"' in found, found
