"""`onward backup`: copies the state, then the files, so that no acknowledged byte is missing afterwards.

The state comes first. Bytes are only ever added behind a recorded offset, so those that the copied records name are
there when the files are copied, and longer files do no harm. `partial/` comes before `files/`, so that a file that
is published meanwhile is found at one of its two places. Over Redis, the records are the copies in `records/`.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from onward.server.config import Config, ConfigError
from onward.server.uploads.engine import Engine
from onward.storage.base import Unreachable
from onward.storage.state.sqlite import SqliteState

STATE = "state.sqlite"
SINGLE = ("store", "auth.key")  # the name of the store, and the key of tokens
FOLDERS = ("records", "partial", "files")  # in this order
COMPLETE = "backup-is-complete"  # the file in a backup that says so, yes or no
TEMPORARY = ".onward-backup"  # the end of the name of what is being copied
READINGS = 100  # of a copy of a record that is being written to at the same time


class Target(Struct, frozen=True):
    """The arguments of `backup`: the folder, as an absolute path."""

    folder: str


async def copy_state(engine: Engine, asked: Target) -> AsyncIterator[dict[str, Any]]:
    """Copy the state into a folder; over Redis there is nothing to copy. Raises StorageError."""
    state, target = engine.records.storage.state, Path(asked.folder)
    if isinstance(state, SqliteState):
        new = target / (STATE + TEMPORARY)
        try:
            new.unlink(missing_ok=True)
            await state.copy_to(new)
            new.chmod(0o600)
            await asyncio.to_thread(_sync, new)
            new.replace(target / STATE)
        except OSError as error:
            raise Unreachable(f"{target} can't be written to: {error.strerror}") from error
    yield {"copied": {"state": isinstance(state, SqliteState)}}


def prepare(config: Config, folder: str) -> Path:
    """Make the folder of a backup, and return its absolute path; raises ConfigError and OSError."""
    target = Path(folder).absolute()
    if target.resolve().is_relative_to(Path(config.data).resolve()):
        raise ConfigError("FOLDER", f"{folder!r} is in the data folder")
    if target.is_dir() and any(target.iterdir()) and not (target / COMPLETE).exists():
        raise ConfigError("FOLDER", f"{folder!r} has files that are no backup")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    (target / COMPLETE).write_text("no\n")
    return target


def copy_files(config: Config, target: Path) -> tuple[int, int]:
    """Copy the files of a data folder, and remove what is no longer there; returns their number and bytes.

    A finished file that was copied before, with the same size and time, is not copied again. Raises OSError.
    """
    data = Path(config.data).absolute()
    for name in SINGLE:
        with suppress(FileNotFoundError):
            _copy(data / name, target / name)
    count = size = 0
    for folder in FOLDERS:
        if not (data / folder).is_dir():
            continue
        seen = set()
        for source in _files(data / folder):
            copy = target / source.relative_to(data)
            with suppress(FileNotFoundError):  # it was published or removed meanwhile
                if folder != "files" or not _is_same(source, copy):
                    _make_folder(copy.parent, target)
                    _copy(source, copy, whole=folder == "records")
                size += copy.stat().st_size
                count += 1
                seen.add(copy)
        _make_folder(target / folder, target)
        for old in _files(target / folder):
            if old not in seen:
                old.unlink()
    (target / COMPLETE).write_text("yes\n")
    return count, size


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder; those with a dot are temporary."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            with suppress(FileNotFoundError):
                if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _is_same(source: Path, copy: Path) -> bool:
    try:
        there = copy.stat()
    except FileNotFoundError:
        return False
    here = source.stat()
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def _make_folder(folder: Path, root: Path) -> None:
    if folder != root and not folder.is_dir():
        _make_folder(folder.parent, root)
        folder.mkdir(mode=0o700)


def _copy(source: Path, target: Path, *, whole: bool = False) -> None:
    """Copy a file with its mode and times, and sync it. With `whole`, read it until it stays the same in between."""
    new = target.with_name(f".{target.name}{TEMPORARY}")
    new.unlink(missing_ok=True)
    if whole:
        found = source.read_bytes()
        for _ in range(READINGS):
            before, found = found, source.read_bytes()
            if before == found:
                break
        new.write_bytes(found)
    else:
        shutil.copyfile(source, new, follow_symlinks=False)
    shutil.copystat(source, new)
    _sync(new)
    new.replace(target)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
