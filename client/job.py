"""All that the sending of one file needs, in one value."""

from dataclasses import dataclass

from onward.client.connection import Line
from onward.client.file import File
from onward.client.model import Options
from onward.client.progress import Meter
from onward.client.resume_file import Memory
from onward.client.transfer import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file on its way to one target."""

    line: Line
    file: File
    memory: Memory
    meter: Meter
    options: Options

    def sender(self, start: int = 0) -> Sender:
        """Give what sends to the upload whose first byte is `start` of the file."""
        return Sender(self.line, self.meter.track(start), self.options)
