"""What one command uploads: the files that it names, and with `--recursive` those of the folders that it names."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onward.client.label import Label, read_label
from onward.client.small_file import SMALL

STDIN = "-"
RELATIVE_PATH = "relativePath"  # the key of metadata that Uppy uses as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to upload."""

    path: str  # as it is written in sentences, and "-" for stdin
    label: Label
    size: int | None  # None for stdin, and for what can't be read

    @property
    def is_small(self) -> bool:
        """Return whether it can be sent in one request."""
        return self.size is not None and self.size <= SMALL

    @property
    def short_name(self) -> str:
        """Return what a bar is called."""
        return Path(self.name).name or self.path

    @property
    def name(self) -> str:
        """Return what it is called in sentences."""
        return "stdin" if self.path == STDIN else self.path


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder that can't be read, or something in it that is no file."""

    path: str
    why: str


def find_items(
    words: Iterable[str], *, recursive: bool, name: str | None, metadata: Mapping[str, str], protocol: str
) -> Iterator[Item | Unreadable]:
    """Yield what the words of a command name, in their order; files of a folder by their names. Raises ValueError."""
    label = read_label(name, metadata, protocol)
    for word in words:
        if recursive and word != STDIN and os.path.isdir(word):
            yield from _files_of(word, label, protocol)
        else:
            yield Item(path=word, label=label, size=None if word == STDIN else _size(word))


def _files_of(folder: str, label: Label, protocol: str) -> Iterator[Item | Unreadable]:
    """Yield the files in a folder and below it. Links to folders are not followed, since they may lead in a circle."""
    wrong: list[OSError] = []
    top = Path(os.path.abspath(folder))
    for place, folders, names in os.walk(folder, onerror=wrong.append):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)
            if not _is_file(path):
                yield Unreadable(path, "it is not a regular file, and is left out")
                continue
            relative = Path(top.name, os.path.relpath(path, folder)).as_posix()
            yield Item(path=path, label=_labelled(label, relative, protocol), size=_size(path))
        yield from (Unreadable(str(error.filename), f"it can't be read: {error.strerror}") for error in wrong)
        wrong.clear()
    yield from (Unreadable(str(error.filename), f"it can't be read: {error.strerror}") for error in wrong)


def _labelled(label: Label, relative: str, protocol: str) -> Label:
    """Return a label with the path below the folder that was named, its own name included, as Uppy has it."""
    return read_label(None, {RELATIVE_PATH: relative, **label.metadata}, protocol)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True  # uploading it says what is wrong


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
