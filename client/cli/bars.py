"""What people see while files are uploaded or watched: live bars in a terminal, plain lines elsewhere.

All of it goes to stderr, except the lines of `onward watch`, which are its result.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Never, TextIO

from tqdm import tqdm

from onward.client.cli.outputs import while_read
from onward.client.model import Message, OnProgress, Progress
from onward.client.text import printable

BETWEEN_LINES = 1.0  # seconds
SENDING = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {rate_fmt} {remaining}{postfix}"
WATCHING = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
UNKNOWN = "{desc} {n_fmt} {rate_fmt}{postfix}"  # for an unknown length
UNIT = 1000  # as on the page


def fit(*streams: TextIO) -> bool:
    """Return whether bars make sense: all these streams go to a terminal."""
    return all(stream.isatty() for stream in streams)


def say(sentence: str) -> None:
    """Print a line for people, above the bars."""
    with while_read(sys.stderr):
        tqdm.write(printable(sentence), file=sys.stderr)


def put(line: str) -> None:
    """Print a line of the result to stdout, above the bars if that is a terminal too."""
    with while_read(sys.stdout):
        if fit(sys.stdout):
            tqdm.write(line, file=sys.stdout)
        else:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def bar(name: str, total: int | None, layout: str, place: int = 0, *, stays: bool = True) -> "tqdm[Never]":
    """Open a bar, `place` lines below the first one; one that does not stay is wiped at its end."""
    return tqdm(
        total=total,
        desc=printable(name),
        position=place,
        leave=stays,
        unit="B",
        unit_scale=True,
        unit_divisor=UNIT,
        dynamic_ncols=True,
        bar_format=UNKNOWN if total is None else layout,
        file=sys.stderr,
    )


@contextmanager
def sending(name: str, size: int | None) -> Iterator[OnProgress]:
    """Show the progress of an upload: in a terminal a bar, once the upload exists; elsewhere only what goes wrong."""
    if not fit(sys.stderr):
        yield lambda progress: say(f"{name}: {trouble_of(progress)}") if progress.trouble else None
        return
    shown = SendingBar(name, size)
    try:
        yield shown.show
    finally:
        shown.close()


def trouble_of(progress: Progress) -> str:
    """Return what interrupts an upload, and when the next try is."""
    return f"{progress.trouble}{'' if progress.retry_in is None else f'; trying again in {progress.retry_in:.1f} s'}"


class SendingBar:
    """An upload as a bar. What interrupts it is a line above, because a bar is cut off at the terminal's edge."""

    def __init__(self, name: str, size: int | None, place: int = 0, *, stays: bool = True) -> None:
        self._name, self._size, self._place, self._stays = name, size, place, stays
        self._bar: tqdm[Never] | None = None
        self._url: str | None = None
        self._said: str | None = None

    def show(self, progress: Progress) -> None:
        """Show how far the upload is; a reason that is repeated is printed once."""
        if progress.url not in (self._url, None):
            say(f"{self._name} is uploaded to {progress.url}")
        self._url = progress.url
        if progress.trouble is None:
            self._said = None
        elif progress.trouble != self._said:
            self._said = progress.trouble
            say(f"{self._name}: {trouble_of(progress)}")
        if self._bar is None:
            if progress.url is None and not progress.sent:
                return
            self._bar = bar(self._name, self._size, SENDING, self._place, stays=self._stays)
        shown = self._bar
        shown.set_postfix_str(
            "" if progress.retry_in is None else f"next try in {progress.retry_in:.1f} s", refresh=False
        )
        if shown.n == 0:
            shown.initial = progress.sent  # bytes of an earlier run don't count for the rate
        shown.n = progress.sent
        shown.update(0)
        if progress.trouble:
            shown.refresh()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class WatchedBar:
    """A watched upload as a bar in a terminal, from its first message on."""

    _places = count()  # the bars are one below the other

    def __init__(self) -> None:
        self._bar: tqdm[Never] | None = None
        self._said: str | None = None

    def show(self, message: Message) -> None:
        """Show a message."""
        if self._bar is None:
            self._bar = bar(_name(message), message.file_size, WATCHING, next(self._places))
        self._said = None
        shown = self._bar
        shown.bar_format = UNKNOWN if message.file_size is None else WATCHING
        shown.total, shown.n = message.file_size, max(message.uploaded_bytes, message.received_bytes)
        shown.set_description_str(_name(message), refresh=False)
        shown.set_postfix_str(_state(message), refresh=True)

    def trouble(self, url: str, reason: str, seconds: float) -> None:
        """Print why no messages come; a reason that is repeated is printed once."""
        if reason != self._said:
            self._said = reason
            say(f"{url}: {reason}; trying again in {seconds:.1f} s")
        if self._bar is not None:
            self._bar.set_postfix_str(f"next try in {seconds:.1f} s", refresh=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class WatchedLines:
    """A watched upload as lines on stdout: one for each change of the status, otherwise at most one a second."""

    def __init__(self) -> None:
        self._status = ""
        self._next = 0.0

    def show(self, message: Message) -> None:
        """Print a message, if it is time for a line."""
        now = time.monotonic()
        if message.status == self._status and now < self._next:
            return
        self._status, self._next = message.status, now + BETWEEN_LINES
        size = "?" if message.file_size is None else f"{message.file_size:,}"
        percent = "" if message.progress is None else f"  {message.progress:.1f} %"
        print(f"{_name(message)}  {message.uploaded_bytes:,} of {size} bytes{percent}  {_state(message)}", flush=True)

    def trouble(self, url: str, reason: str, seconds: float) -> None:
        """Print why no messages come."""
        say(f"{url}: {reason}; trying again in {seconds:.1f} s")

    def close(self) -> None:
        """Do nothing: the lines stay as they are."""


def _name(message: Message) -> str:
    return printable(message.file_name or message.upload_id)


def _state(message: Message) -> str:
    """Return the status, with its error, or with the rate and the time left."""
    if message.error is not None:
        return f"{message.status}: {printable(message.error.title)}"
    if message.status != "uploading":
        return message.status
    arrived = _ahead(message.received_bytes - message.uploaded_bytes)
    rate = tqdm.format_sizeof(message.bytes_per_second, "B/s", UNIT)
    left = "" if message.eta_seconds is None else f", {tqdm.format_interval(int(message.eta_seconds))} left"
    return f"{message.status} {rate}{left}{arrived}"


def _ahead(count: int) -> str:
    """Return how much has arrived that is not stored yet."""
    return f", {tqdm.format_sizeof(count, 'B', UNIT)} not stored yet" if count > 0 else ""
