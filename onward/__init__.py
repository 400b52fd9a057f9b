"""Onward: resumable uploads that lose no acknowledged byte. Everything public is here, and is loaded when it is used.

The four folders of the project appear below this name: `onward.protocol`, `onward.storage`, `onward.server` and
`onward.client` are links to the folders beside this one, so that an installation adds one importable name only.
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it too: importing typing would delay the command's start
if TYPE_CHECKING:
    from onward.client.errors import Busy, FileChanged, GivenUp, Mismatch, Refused, Unreachable, UploadError
    from onward.client.model import Message, Options, Progress, Uploaded
    from onward.client.upload_file import upload
    from onward.client.upload_stream import upload_stream
    from onward.client.watch_upload import watch
    from onward.protocol.errors import AccessDenied
    from onward.protocol.grants import Act, Grant, Scope
    from onward.server.access.minting import mint
    from onward.server.app import create_app, create_runner
    from onward.server.config import Config, ConfigError
    from onward.server.uploads.checks import Check, Content, Later, Rejected

__all__ = [
    "AccessDenied",
    "Act",
    "Busy",
    "Check",
    "Config",
    "ConfigError",
    "Content",
    "FileChanged",
    "GivenUp",
    "Grant",
    "Later",
    "Message",
    "Mismatch",
    "Options",
    "Progress",
    "Refused",
    "Rejected",
    "Scope",
    "Unreachable",
    "UploadError",
    "Uploaded",
    "create_app",
    "create_runner",
    "mint",
    "upload",
    "upload_stream",
    "watch",
]

_HOMES = {
    "onward.client.errors": ("Busy", "FileChanged", "GivenUp", "Mismatch", "Refused", "Unreachable", "UploadError"),
    "onward.client.model": ("Message", "Options", "Progress", "Uploaded"),
    "onward.client.upload_file": ("upload",),
    "onward.client.upload_stream": ("upload_stream",),
    "onward.client.watch_upload": ("watch",),
    "onward.protocol.errors": ("AccessDenied",),
    "onward.protocol.grants": ("Act", "Grant", "Scope"),
    "onward.server.access.minting": ("mint",),
    "onward.server.app": ("create_app", "create_runner"),
    "onward.server.config": ("Config", "ConfigError"),
    "onward.server.uploads.checks": ("Check", "Content", "Later", "Rejected"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used; raises AttributeError for an unknown one."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
