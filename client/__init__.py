"""The client: uploads files and streams to any server of tus 1.0.0, and watches uploads of this one."""

from client.errors import Busy, FileChanged, GivenUp, Mismatch, Refused, Unreachable, UploadError
from client.model import Message, Options, Progress, Uploaded
from client.sending import upload
from client.stream import upload_stream
from client.watching import watch

__all__ = [
    "Busy",
    "FileChanged",
    "GivenUp",
    "Message",
    "Mismatch",
    "Options",
    "Progress",
    "Refused",
    "Unreachable",
    "UploadError",
    "Uploaded",
    "upload",
    "upload_stream",
    "watch",
]
