"""The server: introduces the protocol to the storage. What embedding needs is here, loaded when it is used."""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it too: typing would be loaded before Ctrl-C is heeded
if TYPE_CHECKING:
    from server.access import Act
    from server.app import create_app, create_runner
    from server.config import Config

__all__ = ["Act", "Config", "create_app", "create_runner"]

_HOMES = {
    "Act": "server.access",
    "Config": "server.config",
    "create_app": "server.app",
    "create_runner": "server.app",
}


def __getattr__(name: str) -> object:
    """Load a name at its first use: the command `onward upload` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
