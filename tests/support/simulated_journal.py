"""Everything that changed on a simulated disk, in order, and what a crash after any of it leaves behind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from simulated_damage import PLAIN, Damage

from onward.protocol.model import Upload, UploadId

FOLDER = -1  # the node of every folder
Records = Mapping[UploadId, Upload]


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at a position of a file."""

    node: int
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file gets a length."""

    node: int
    length: int


@dataclass(frozen=True, slots=True)
class Timed:
    """A file gets a time of change, in nanoseconds."""

    node: int
    at: int


@dataclass(frozen=True, slots=True)
class Named:
    """Names come to stand for a node, None for nothing: one for a creation or removal, two for a rename."""

    names: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Synced:
    """The bytes of a file are durable; None for those of all files, and for all names."""

    node: int | None


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """The names in a folder are durable."""

    folder: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A sync failed, and with it went what it should have made durable: the file has these bytes now."""

    node: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """All records, as they are after a commit."""

    records: Records
    durable: bool


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody outside knows this of an upload."""

    id: UploadId
    offset: int
    status: str


@dataclass(frozen=True, slots=True)
class Created:
    """The client knows the id of what it asked for."""

    name: str
    id: UploadId


@dataclass(frozen=True, slots=True)
class Time:
    """The clock was set."""

    now: float


Step = Write | Truncate | Timed | Named | Synced | FolderSynced | Dropped | Recorded | Told | Created | Time


def folder_of(path: str) -> str:
    """Give the folder of a path."""
    return path.rpartition("/")[0]


@dataclass(slots=True)
class Journal:
    """The steps since a moment when all was durable, and how it stood then."""

    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def before(self, index: int) -> "Journal":
        """Give the journal of a process that was killed after some steps: the system has all of them."""
        return Journal(self.names, self.contents, self.records, self.times, self.steps[:index])

    def after_cut(self, index: int, damage: Damage) -> "Journal":
        """Give the journal of a machine that lost its power after some steps: what is there now is durable."""
        steps = self.steps[:index]
        names = self._names(steps, damage)
        kept: dict[str, int] = {}
        for path in sorted(names):  # a folder comes before what is in it
            if folder_of(path) in kept or not folder_of(path):
                kept[path] = names[path]
        contents = {node: self._content(node, steps, damage) for node in set(kept.values()) if node != FOLDER}
        knowledge: list[Step] = [step for step in steps if isinstance(step, Told | Created | Time)]
        return Journal(kept, contents, self._recorded(steps, damage), self._times(steps), knowledge)

    def new_node(self) -> int:
        """Give a number that no file has had."""
        used = [node for step in self.steps if isinstance(step, Named) for _, node in step.names if node is not None]
        return max([0, *self.contents, *used]) + 1

    def told(self, id: UploadId) -> Iterator[Told]:
        """Give what is known of an upload."""
        return (step for step in self.steps if isinstance(step, Told) and step.id == id)

    def latest(self) -> Records:
        """Give the records as they are, durable or not."""
        return next((step.records for step in reversed(self.steps) if isinstance(step, Recorded)), self.records)

    def durable(self, node: int) -> bytes:
        """Give the bytes of a file that were made durable."""
        return self._content(node, self.steps, Damage(PLAIN.index("dropped"), ""))

    def _recorded(self, steps: list[Step], damage: Damage) -> Records:
        choices = [self.records]
        for step in steps:
            if isinstance(step, Recorded):
                choices = [step.records] if step.durable else [*choices, step.records]
        return choices[damage.choose(len(choices))]

    def _times(self, steps: list[Step]) -> dict[int, int]:
        """Give the times that were made durable."""
        times, waiting = dict(self.times), dict[int, int]()
        for step in steps:
            if isinstance(step, Timed):
                waiting[step.node] = step.at
            elif isinstance(step, Synced):
                times |= {node: at for node, at in waiting.items() if step.node in (node, None)}
        return times

    def _names(self, steps: list[Step], damage: Damage) -> dict[str, int]:
        """Choose for each name one of what it stood for since its folder was synced; a rename loses no file."""
        histories: dict[str, list[tuple[int, int | None]]] = {path: [(-1, node)] for path, node in self.names.items()}
        for number, step in enumerate(steps):
            if isinstance(step, Named):
                for path, value in step.names:
                    histories.setdefault(path, [(-1, None)]).append((number, value))
            elif isinstance(step, FolderSynced) or (isinstance(step, Synced) and step.node is None):
                for path, history in histories.items():
                    if isinstance(step, Synced) or folder_of(path) == step.folder:
                        del history[:-1]
        chosen = {path: history[damage.choose_name(len(history))] for path, history in histories.items()}
        for number, step in enumerate(steps):
            if isinstance(step, Named) and len(step.names) == 2:
                (old, _), (new, node) = step.names
                if chosen[old][0] >= number > chosen[new][0]:
                    chosen[new] = (number, node)
        return {path: node for path, (_, node) in chosen.items() if node is not None}

    def _content(self, node: int, steps: list[Step], damage: Damage) -> bytes:
        content = bytearray(self.contents.get(node, b""))
        waiting: list[Write | Truncate] = []
        for step in steps:
            if isinstance(step, Synced) and step.node in (node, None):
                for change in waiting:
                    apply(content, change)
                waiting.clear()
            elif isinstance(step, Dropped) and step.node == node:
                content[:] = step.data
                waiting.clear()
            elif isinstance(step, Write | Truncate) and step.node == node:
                waiting.append(step)
        for change in waiting:
            for survivor in _surviving(change, damage):
                apply(content, survivor, damage.fill)
        return bytes(content)


def _surviving(change: Write | Truncate, damage: Damage) -> Iterator[Write | Truncate]:
    """Give what is left of a change that was not synced."""
    if isinstance(change, Truncate):
        if damage.keeps():
            yield change
        return
    for start, stop in damage.pieces(change.at, change.at + len(change.data)):
        yield Write(change.node, start, change.data[start - change.at : stop - change.at])
    if damage.keeps_size():
        yield Write(change.node, change.at + len(change.data), b"")


def apply(content: bytearray, change: Write | Truncate, fill: bytes = b"\0") -> None:
    """Change the bytes of a file; what nobody wrote is filled."""
    end = change.length if isinstance(change, Truncate) else change.at + len(change.data)
    content.extend(fill * (end - len(content)))
    if isinstance(change, Truncate):
        del content[end:]
    else:
        content[change.at : end] = change.data
