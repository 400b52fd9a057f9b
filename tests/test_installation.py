"""An installation adds one importable name, and an application with folders of our names can use it, typed."""

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BYSTANDERS = {"server/__init__.py": "", "storage/__init__.py": "", "protocol/__init__.py": "", "client.py": ""}
APPLICATION = '''
"""An application that embeds the server, uploads a file to it, and watches the upload."""

import asyncio
import sys
from pathlib import Path

import client
import protocol
import server
import storage
from aiohttp import web

from onward import Config, Uploaded, create_app, create_runner, upload, watch

OWN = (client, protocol, server, storage)


async def main(folder: Path) -> None:
    for module in OWN:
        assert Path(module.__file__ or "").is_relative_to(folder), module
    config = Config(data=str(folder / "data"), port=0)
    runner = create_runner(create_app(config), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        source = folder / "some.bin"
        source.write_bytes(bytes(range(256)) * 1000)
        uploaded: Uploaded = await upload(source, f"http://127.0.0.1:{port}/files")
        statuses: list[str] = [message.status async for message in watch(uploaded.url)]
        print(statuses[-1])
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
'''

MISUSE = """
from onward import create_app, upload, watch
from onward.protocol.headers import build_metadata
from onward.storage.base import State

create_app("data")
upload(1, 2)
watch(3)
build_metadata(4)
State.load(5)
"""


def run(*words: object, cwd: Path) -> str:
    """Run a program to its end, and give what it prints."""
    ended = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution, as an installer would do it."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.is_dir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, and the libraries of this one beside it."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=ROOT)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_every_file_of_the_project_under_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"onward"}
    folders = ("protocol", "storage", "server", "client")
    ours = run("git", "ls-files", *folders, cwd=ROOT).split()
    assert {f"onward/{name}" for name in ours} | {"onward/py.typed"} <= set(names)


def test_an_application_with_folders_of_our_names_embeds_the_server_and_uses_the_client(
    python: Path, tmp_path: Path
) -> None:
    for name, text in BYSTANDERS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "application.py").write_text(APPLICATION)
    assert run(python, "application.py", tmp_path, cwd=tmp_path) == "completed\n"
    run(python, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "application.py", cwd=tmp_path)


def test_the_command_and_the_module_are_the_same(python: Path, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit('the application was imported')")
    command = run(python.parent / "onward", "--help", cwd=tmp_path)
    assert run(python, "-m", "onward", "--help", cwd=tmp_path) == command


def test_a_wrong_use_of_each_package_is_found_by_a_type_checker(python: Path, tmp_path: Path) -> None:
    (tmp_path / "misuse.py").write_text(MISUSE)
    words = [str(python), "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "misuse.py"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False).stdout
    wrong = {line.split(":")[1] for line in found.splitlines() if "[arg-type]" in line or "[call-arg]" in line}
    assert wrong == {str(line) for line in range(6, 11)}, found
