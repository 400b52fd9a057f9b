"""Adds up what the parts of one upload have sent, and reports it."""

from onward.client.model import OnProgress, Progress


class Meter:
    """One upload; `moved` counts every byte that went into a connection, repeated ones too."""

    def __init__(self, file_name: str, size: int | None, on_progress: OnProgress | None) -> None:
        self.file_name, self.size = file_name, size
        self._url: str | None = None
        self.moved = 0
        self._on_progress = on_progress
        self._tracks: list[Track] = []
        self._told: Progress | None = None

    def track(self, start: int = 0) -> "Track":
        """Begin to measure a part whose first byte is `start`."""
        self._tracks.append(Track(self, start))
        return self._tracks[-1]

    def at(self, url: str) -> None:
        """Note where the upload is."""
        self._url = url
        self.tell()

    def restart(self) -> None:
        """Forget the parts; the upload starts from the beginning."""
        self._tracks.clear()
        self._url = None

    def tell(self, trouble: str | None = None, retry_in: float | None = None) -> None:
        """Report how far it is, if that is news."""
        if self._on_progress is None:
            return
        progress = Progress(
            file_name=self.file_name,
            url=self._url,
            size=self.size,
            sent=sum(track.sent for track in self._tracks),
            confirmed=sum(track.confirmed for track in self._tracks),
            trouble=trouble,
            retry_in=retry_in,
        )
        if progress != self._told:
            self._told = progress
            self._on_progress(progress)


class Track:
    """One part of an upload, in bytes since its start."""

    def __init__(self, meter: Meter, start: int) -> None:
        self._meter, self._start = meter, start
        self.sent = self.confirmed = 0

    def stands_at(self, offset: int) -> None:
        """Note where the server stands."""
        self.sent = self.confirmed = offset - self._start
        self._meter.tell()

    def moved(self, count: int) -> None:
        """Note bytes that went into the connection."""
        self.sent += count
        self._meter.moved += count
        self._meter.tell()

    def stuck(self, trouble: str, retry_in: float) -> None:
        """Note what interrupts it, and the seconds until the next try."""
        self._meter.tell(trouble, retry_in)
