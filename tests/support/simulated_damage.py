"""What a power cut does to changes that were not synced: kept, dropped, in any order, torn at sectors and pages."""

import random
from collections.abc import Iterator

SECTOR, PAGE = 512, 4096
PLAIN = ("kept", "dropped", "sizes", "names", "bytes", "records")


class Damage:
    """The choices of one power cut. Numbers below six are plain kinds, the others are drawn from the seed."""

    def __init__(self, number: int, seed: str) -> None:
        self.kind = PLAIN[number] if number < len(PLAIN) else "drawn"
        self._random = random.Random(f"{seed}/{number}")
        self._unit = self._random.choice((SECTOR, PAGE))
        self._share = self._random.choice((0.2, 0.5, 0.8))
        self.fill = self._random.choice((b"\0", b"\xa5"))

    def keeps(self) -> bool:
        """Tell whether one change of bytes is on the disk."""
        return self._random.random() < self._share if self.kind == "drawn" else self.kind in ("kept", "bytes")

    def keeps_size(self) -> bool:
        """Tell whether the file has become as long as a write made it, whatever is in there."""
        return self.keeps() if self.kind == "drawn" else self.kind in ("kept", "sizes", "bytes", "names")

    def choose(self, count: int) -> int:
        """Choose one of the commits since the last durable one."""
        if self.kind == "drawn":
            return self._random.randrange(count)
        return count - 1 if self.kind in ("kept", "records") else 0

    def choose_name(self, count: int) -> int:
        """Choose one of what a name stood for since its folder was synced."""
        if self.kind == "drawn":
            return self._random.randrange(count)
        return count - 1 if self.kind in ("kept", "names", "sizes") else 0

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Give the ranges of a write that are on the disk."""
        if self.kind != "drawn":
            if self.keeps():
                yield start, stop
            return
        whole = self._random.random()
        if whole < 0.5:
            if whole < 0.25:
                yield start, stop
            return
        while start < stop:
            end = min(stop, (start // self._unit + 1) * self._unit)
            if self._random.random() < self._share:
                yield start, end
            start = end
