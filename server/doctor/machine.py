"""The doctor looks at the data folder, the SQLite state and the limits of this machine."""

import os
import resource
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from onward.server.config import Config
from onward.server.doctor.finding import Finding
from onward.storage.base import StorageError
from onward.storage.blobs.disk_probe import probe_publishing, probe_storing

FOLDER, STATE, LIMITS = "data folder", "SQLite", "limits"
NETWORKS = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "glusterfs", "lustre", "afs")
KNOWN = {
    "partial", "files", "records", "nodes", "lock", "store", "volumes", "control.sock", "auth.key",
    "state.sqlite", "state.sqlite-wal", "state.sqlite-shm", "state.sqlite-journal", "lost+found",
}  # fmt: skip
SLOW_SYNC = 0.1  # seconds
LEAST_DESCRIPTORS = 4096


def look_at_folder(config: Config) -> Iterator[Finding]:
    """Yield what is found of the data folder."""
    data = Path(config.data)
    if not data.is_dir():
        yield Finding(
            "problem",
            FOLDER,
            f"There is no folder {config.data!r}: make it for the user of the server, or name it with --data.",
        )
        return
    found = data.stat()
    if found.st_uid != os.geteuid():
        yield Finding(
            "warning",
            FOLDER,
            f"It belongs to user {found.st_uid}, and this is user {os.geteuid()}: run the doctor as "
            "the user of the server.",
        )
    if found.st_mode & stat.S_IRWXO:
        yield Finding("warning", FOLDER, f"Other users of this machine can read it: chmod o= {config.data}")
    if unknown := sorted({path.name for path in data.iterdir()} - KNOWN):
        yield Finding(
            "warning",
            FOLDER,
            f"Onward does not know {', '.join(unknown[:5])}: move away what is not yours to keep there.",
        )
    yield _file_system(data)
    yield from _writing(data)
    yield from _room(config, data)
    held = _is_locked(data / "lock")
    yield Finding("ok", FOLDER, "A server is using it." if held else "No server is using it.")


def _file_system(data: Path) -> Finding:
    kind = _kind_of(data.resolve())
    if kind.startswith(NETWORKS):
        return Finding(
            "warning", FOLDER, f"It is on a network file system ({kind}): it must sync for real, and SQLite needs a "
                "local disk; "
            "use --state=redis://…, or --blobs=s3://….",
        )  # fmt: skip
    if kind in ("tmpfs", "ramfs", "overlay"):
        return Finding(
            "warning", FOLDER, f"It is on {kind}, which may not outlive the machine or the container: use a volume."
        )
    return Finding("ok", FOLDER, f"It is on a local file system ({kind or 'of an unknown kind'}).")


def _kind_of(path: Path) -> str:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(len(mount[1]), mount[2]) for mount in mounts if path.is_relative_to(mount[1])]
    return max(above, default=(0, ""))[1]


def _writing(data: Path) -> Iterator[Finding]:
    partial, files = data / "partial", data / "files"
    try:
        begin = time.monotonic()
        if partial.is_dir() and files.is_dir():
            probe_publishing(partial, files, synced=True)
        else:
            probe_storing(data, synced=True)
        took = time.monotonic() - begin
    except (StorageError, OSError) as fault:
        yield Finding(
            "problem",
            FOLDER,
            f"No file can be stored: {fault}. Check its permissions, its owner, and whether it is mounted read-only.",
        )
        return
    if took > SLOW_SYNC:
        yield Finding(
            "warning",
            FOLDER,
            f"A small file takes {took * 1000:.0f} ms to be synced: use a faster disk, or --durability=group.",
        )
    else:
        yield Finding("ok", FOLDER, f"A small file was stored, synced and removed in {took * 1000:.1f} ms.")


def _room(config: Config, data: Path) -> Iterator[Finding]:
    there = os.statvfs(data)
    free = there.f_bavail * there.f_frsize
    if free < config.reserve:
        yield Finding(
            "problem",
            FOLDER,
            f"{free:,} bytes are free, less than --reserve: uploads are refused with 507 until there is room.",
        )
    elif config.max_size > free - config.reserve:
        yield Finding(
            "warning",
            FOLDER,
            f"An upload of --max-size does not fit into the {free:,} bytes that are free: make room, or lower it.",
        )
    else:
        yield Finding("ok", FOLDER, f"{free:,} bytes are free.")
    if there.f_favail and there.f_favail < 10_000:
        yield Finding(
            "warning",
            FOLDER,
            f"Only {there.f_favail:,} files can still be made there: the file system is short of inodes.",
        )


def _is_locked(path: Path) -> bool:
    """Return whether a process has locked a file, without locking it."""
    with suppress(OSError):
        wanted = path.stat()
        name = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}:{wanted.st_ino}"
        return any(line.split()[5] == name for line in Path("/proc/locks").read_text().splitlines() if "->" not in line)
    return False


def look_at_sqlite(config: Config) -> Iterator[Finding]:
    """Yield what is found of the state in SQLite; a running server has it for itself, and has checked it."""
    path = Path(config.data, "state.sqlite")
    if not path.exists():
        yield Finding("ok", STATE, "There is no state yet; the first start makes it.")
        return
    if _is_locked(path.with_name("lock")):
        yield Finding("ok", STATE, "The running server has it open, and has checked it when it started.")
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        said = str(error)
    if said == "ok":
        yield Finding("ok", STATE, "Its integrity check passes.")
    else:
        yield Finding(
            "problem", STATE, f"state.sqlite is damaged ({said.splitlines()[0]}): restore a backup (docs/backup.md)."
        )


def look_at_limits() -> Finding:
    """Judge how many files the server may open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < LEAST_DESCRIPTORS:
        return Finding(
            "warning",
            LIMITS,
            f"A process may open {most} files; an upload takes three: raise it (LimitNOFILE=, ulimit -n).",
        )
    return Finding("ok", LIMITS, "A process may open enough files.")
