"""Adds up what the parts of one upload have sent, and reports the sum to the application's `on_progress`."""

from onward.client.model import OnProgress, Progress


class Meter:
    """One upload; `sent_bytes` counts every byte that went into a connection, repeated ones too."""

    def __init__(self, file_name: str, size: int | None, on_progress: OnProgress | None) -> None:
        self.file_name, self.size = file_name, size
        self.sent_bytes = 0
        self._url: str | None = None
        self._on_progress = on_progress
        self._parts: list[PartMeter] = []
        self._reported: Progress | None = None

    def add_part(self, start: int = 0) -> "PartMeter":
        """Begin to measure a part whose first byte is at position `start` of the file."""
        self._parts.append(PartMeter(self, start))
        return self._parts[-1]

    def set_url(self, url: str) -> None:
        """Report where the upload can be watched."""
        self._url = url
        self.report()

    def restart(self) -> None:
        """Forget the parts: the upload starts again from the beginning."""
        self._parts.clear()
        self._url = None

    def report(self, trouble: str | None = None, retry_in: float | None = None) -> None:
        """Call `on_progress`, unless nothing has changed."""
        if self._on_progress is None:
            return
        progress = Progress(
            file_name=self.file_name,
            url=self._url,
            size=self.size,
            sent=sum(part.sent for part in self._parts),
            confirmed=sum(part.confirmed for part in self._parts),
            trouble=trouble,
            retry_in=retry_in,
        )
        if progress != self._reported:
            self._reported = progress
            self._on_progress(progress)


class PartMeter:
    """One part of an upload, in bytes since the start of the part."""

    def __init__(self, meter: Meter, start: int) -> None:
        self._meter, self._start = meter, start
        self.sent = self.confirmed = 0

    def confirm(self, position: int) -> None:
        """Record that the server has stored the bytes up to a position of the file."""
        self.sent = self.confirmed = position - self._start
        self._meter.report()

    def add_sent(self, count: int) -> None:
        """Record bytes that went into the connection."""
        self.sent += count
        self._meter.sent_bytes += count
        self._meter.report()

    def report_trouble(self, trouble: str, retry_in: float) -> None:
        """Report what interrupts the upload, and the seconds until the next try."""
        self._meter.report(trouble, retry_in)
