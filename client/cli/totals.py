"""What people see while several files are uploaded: in a terminal a line for all of them, and a bar for each large one.

    12 of 200 done · 38 %|███████              | 1.20G/3.10G 41.0MB/s 00:46
    film.mkv  61%|████████████▏      | 612M/1.00G 20.1MB/s 00:19

Elsewhere, only what goes wrong is printed.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

from tqdm import tqdm

from onward.client.cli.bars import SendingBar, bar, fit, say, trouble_of
from onward.client.cli.items import Item
from onward.client.model import OnProgress, Progress

TOTAL = "{desc} · {percentage:.0f} %|{bar}| {n_fmt}/{total_fmt} {rate_fmt} {remaining}"
SCREEN = 20  # files, above which not each gets a line when it is finished


class Totals:
    """The files of one command; `jobs` of them are sent at once."""

    def __init__(self, items: list[Item], jobs: int) -> None:
        self.lists_each = len(items) <= SCREEN
        self._count, self._done = len(items), 0
        self._places = set(range(1, jobs + 1))  # lines below the first one that are free
        self._said: str | None = None
        known = [item.size for item in items if item.size is not None]
        self._bar: tqdm[Never] | None = None
        if fit(sys.stderr):
            self._bar = bar(self._text(), sum(known), TOTAL)

    def _text(self) -> str:
        return f"{self._done} of {self._count} done"

    @contextmanager
    def sending(self, item: Item) -> Iterator[OnProgress]:
        """Show the progress of one file."""
        shown: SendingBar | None = None
        place, counted, size = 0, 0, item.size
        if self._bar is not None and not item.is_small:
            place = min(self._places)
            self._places.remove(place)
            shown = SendingBar(item.short_name, size, place, stays=False)

        def show(progress: Progress) -> None:
            nonlocal counted
            self._add(progress.sent - counted)
            counted = progress.sent
            if shown is not None:
                shown.show(progress)
            elif progress.trouble:
                self._trouble(item.short_name, progress)

        try:
            yield show
        finally:
            if shown is not None:
                shown.close()
                self._places.add(place)

    def end(self, item: Item, *, counted: bool) -> None:
        """Count a file that is done; the bytes of one that was finished before were not `counted` while it was sent."""
        self._done += 1
        self._said = None
        if self._bar is not None:
            self._bar.set_description_str(self._text(), refresh=False)
            self._add(0 if counted else item.size or 0)

    def close(self) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()

    def _add(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def _trouble(self, name: str, progress: Progress) -> None:
        """Print what interrupts a small file; in a terminal, once for all that the same thing interrupts."""
        if self._bar is None or progress.trouble != self._said:
            self._said = progress.trouble
            say(f"{name}: {trouble_of(progress)}")
