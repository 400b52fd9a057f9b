"""Small file systems of their own, for tests that fill or break one; skips, loudly, where none may be mounted."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from redis_process import require


def _mount(folder: Path, *words: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run([require("mount"), *words, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"SKIPPED LOUDLY: nothing can be mounted: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    """Unmount, even while somebody has files open there."""
    with suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system in memory."""
    _mount(folder, "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs")
    try:
        yield folder
    finally:
        unmount(folder)


@contextmanager
def elsewhere(link: Path) -> Iterator[Path]:
    """Make a link to a folder on another file system than its own; skips, loudly, if there is none."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == link.parent.stat().st_dev:
        pytest.skip("SKIPPED LOUDLY: /dev/shm is no file system of its own here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        link.symlink_to(folder)
        yield Path(folder)


class LoopDisk:
    """An ext4 in a file, which turns read-only at the first error, as most are set up."""

    def __init__(self, image: Path, folder: Path, size: int) -> None:
        self.folder = folder
        self._image = image
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run([require("mkfs.ext4"), "-q", str(image)], check=True)

    def mount(self) -> None:
        """Mount it."""
        _mount(self.folder, "-o", "loop,errors=remount-ro", str(self._image))

    def fail(self) -> None:
        """Let the kernel find an error on it."""
        source = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.folder)], check=True, capture_output=True, text=True
        )
        Path(f"/sys/fs/ext4/{Path(source.stdout.strip()).name}/trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """Unmount, check and mount it again."""
        unmount(self.folder)
        checked = subprocess.run([require("e2fsck"), "-fp", str(self._image)], check=False, capture_output=True)
        assert checked.returncode in (0, 1), checked
        self.mount()


@contextmanager
def loop_disk(folder: Path, size: int) -> Iterator[LoopDisk]:
    """Make and mount one."""
    disk = LoopDisk(folder.with_suffix(".image"), folder, size)
    try:
        disk.mount()
        yield disk
    finally:
        unmount(folder)


class SharingDisk:
    """An XFS or btrfs in a file, whose files can share blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def used(self) -> int:
        """Return the bytes that are in use, after everything was written."""
        subprocess.run(["sync", "--file-system", str(self.folder)], check=True)
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize


@contextmanager
def sharing_disk(folder: Path, kind: str) -> Iterator[SharingDisk]:
    """Make one of a kind, `xfs` or `btrfs`, and mount it; skips, loudly, where that can't be."""
    image = folder.with_suffix(f".{kind}")
    with image.open("wb") as file:
        file.truncate(400 * 2**20)
    subprocess.run([require(f"mkfs.{kind}"), "-q", str(image)], check=True, capture_output=True)
    _mount(folder, "-o", "loop", str(image))
    try:
        yield SharingDisk(folder)
    finally:
        unmount(folder)
        image.unlink()
