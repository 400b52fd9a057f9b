"""An ext4 file system in a file, whose power can be cut; needs root and loop devices."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SHUT_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
NO_LOG_FLUSH = (2).to_bytes(4, "little")
SIZE = 2**28


def _run(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


class Disk:
    """A file system on a loop device, mounted at `path`."""

    def __init__(self, device: str, path: Path) -> None:
        self._device, self.path = device, path

    def mount(self) -> None:
        """Switch it on."""
        _run("mount", "-t", "ext4", self._device, self.path)

    def cut(self) -> None:
        """Cut its power: what wasn't synced is gone, and what is asked of it fails."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUT_DOWN, NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Switch it off; nobody may use it any more."""
        _run("umount", self.path)


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Make such a disk; skips loudly where that can't be done."""
    if os.geteuid():
        pytest.skip("SKIPPED LOUDLY: only root can mount a disk to cut its power")
    image, path = folder / "image", folder / "disk"
    path.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,nodiscard", image)
        device = _run("losetup", "--find", "--show", image)
    except (OSError, subprocess.SubprocessError) as error:
        image.unlink(missing_ok=True)
        pytest.skip(f"SKIPPED LOUDLY: no loop device for a disk to cut the power of: {error}")
    try:
        made = Disk(device, path)
        try:
            made.mount()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"SKIPPED LOUDLY: a disk to cut the power of can't be mounted: {error.stderr}")
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            made.unmount()
        _run("losetup", "--detach", device)
        image.unlink()
