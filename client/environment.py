"""The client's environment variables; no other file of the client reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.request import getproxies

from onward.client.errors import UploadError

PREFIX = "ONWARD_"


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of this user's resume files (XDG Base Directory Specification); raises UploadError."""
    configured = environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(configured) if configured.startswith("/") else Path.home() / ".local" / "state") / "onward"
    except RuntimeError:
        raise UploadError("this user has no home folder for resume files: set XDG_STATE_HOME to a folder") from None


def names_proxy_or_login(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether requests may need a proxy, or a login from a .netrc.

    aiohttp looks for both before each request, in threads, which costs more than the request of a small file. So it is
    only told to look if there is something to find.
    """
    try:
        netrc = Path(environ["NETRC"]) if "NETRC" in environ else Path.home() / ".netrc"
        return bool(getproxies().keys() & {"http", "https"}) or os.path.lexists(netrc)
    except RuntimeError:  # no home folder: aiohttp finds no .netrc there either
        return bool(getproxies())


def read_variable(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the environment's value of an option such as `retry-for`; an empty one counts as not set."""
    return environ.get(variable_name(name)) or None


def variable_name(name: str) -> str:
    """Return the environment variable of an option."""
    return PREFIX + name.upper().replace("-", "_")
