"""What the environment tells the client; nothing else of it reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from onward.client.errors import UploadError

PREFIX = "ONWARD_"


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Give the folder of this user's resume files (XDG Base Directory Specification); raises UploadError."""
    told = environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(told) if told.startswith("/") else Path.home() / ".local" / "state") / "onward"
    except RuntimeError:
        raise UploadError("this user has no home for resume files, and XDG_STATE_HOME names no other place") from None


def told_option(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Give the environment's value of an option, such as `retry-for`; an empty one counts as not set."""
    return environ.get(variable_of(name)) or None


def variable_of(name: str) -> str:
    """Give the environment variable of an option."""
    return PREFIX + name.upper().replace("-", "_")
