"""What people see while it goes on: live bars in a terminal, plain lines elsewhere; all of it on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never, TextIO

from tqdm import tqdm

from client.answers import printable
from client.model import Message, OnProgress, Progress
from client.outputs import while_read

BETWEEN_LINES = 1.0  # seconds
SENDING = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {rate_fmt} {remaining}{postfix}"
WATCHING = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
UNKNOWN = "{desc} {n_fmt} {rate_fmt}{postfix}"  # where the length is


def fit(*streams: TextIO) -> bool:
    """Tell whether bars make sense, where these all go to a terminal."""
    return all(stream.isatty() for stream in streams)


def say(sentence: str) -> None:
    """Print a line for people, above the bars."""
    with while_read(sys.stderr):
        tqdm.write(printable(sentence), file=sys.stderr)


def _bar(name: str, total: int | None, layout: str, place: int = 0) -> "tqdm[Never]":
    return tqdm(
        total=total,
        desc=printable(name),
        position=place,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        dynamic_ncols=True,
        bar_format=UNKNOWN if total is None else layout,
        file=sys.stderr,
    )


@contextmanager
def sending(name: str, size: int | None) -> Iterator[OnProgress]:
    """Show the progress of sending: a bar in a terminal, elsewhere only what goes wrong."""
    if not fit(sys.stderr):
        yield lambda progress: say(f"{name}: {progress.trouble}") if progress.trouble else None
        return
    with _bar(name, size, SENDING) as bar:
        place: str | None = None

        def show(progress: Progress) -> None:
            nonlocal place
            if progress.url != place:
                place = progress.url
                say(f"{name} goes to {place}" if place else f"{name} starts anew")
            bar.set_postfix_str(printable(progress.trouble or ""), refresh=False)
            if bar.n == 0:
                bar.initial = progress.sent  # what was there before says nothing about the rate
            bar.n = progress.sent
            bar.update(0)
            if progress.trouble:
                bar.refresh()

        yield show


class WatchedBar:
    """A watched upload as a bar in a terminal."""

    def __init__(self, url: str, place: int) -> None:
        self._bar = _bar(url, 0, WATCHING, place)

    def show(self, message: Message) -> None:
        """Show a message."""
        bar = self._bar
        bar.bar_format = UNKNOWN if message.file_size is None else WATCHING
        bar.total, bar.n = message.file_size, message.uploaded_bytes
        bar.set_description_str(_name(message), refresh=False)
        bar.set_postfix_str(_state(message), refresh=True)

    def trouble(self, sentence: str) -> None:
        """Show what keeps the messages away."""
        self._bar.set_postfix_str(printable(sentence), refresh=True)

    def close(self) -> None:
        """Leave it as it is."""
        self._bar.close()


class WatchedLines:
    """A watched upload as lines on stdout: one for each change of the status, and else one a second."""

    def __init__(self) -> None:
        self._status = ""
        self._next = 0.0

    def show(self, message: Message) -> None:
        """Print a message, if it is time."""
        now = time.monotonic()
        if message.status == self._status and now < self._next:
            return
        self._status, self._next = message.status, now + BETWEEN_LINES
        size = "?" if message.file_size is None else f"{message.file_size:,}"
        percent = "" if message.progress is None else f"  {message.progress:.1f} %"
        print(f"{_name(message)}  {message.uploaded_bytes:,} of {size} bytes{percent}  {_state(message)}", flush=True)

    def trouble(self, sentence: str) -> None:
        """Print what keeps the messages away."""
        say(sentence)

    def close(self) -> None:
        """Nothing is left to do."""


def _name(message: Message) -> str:
    return printable(message.file_name or message.upload_id)


def _state(message: Message) -> str:
    """Give the status, with what belongs to it."""
    if message.error is not None:
        return f"{message.status}: {printable(message.error.title)}"
    if message.status != "uploading":
        return message.status
    rate = tqdm.format_sizeof(message.bytes_per_second, "B/s", 1024)
    left = "" if message.eta_seconds is None else f", {tqdm.format_interval(int(message.eta_seconds))} left"
    return f"{message.status} {rate}{left}"
