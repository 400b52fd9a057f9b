"""What the environment tells the client; nothing else of it reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "ONWARD_"


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Give the folder of this user's resume files (XDG Base Directory Specification)."""
    told = environ.get("XDG_STATE_HOME", "")
    return (Path(told) if told.startswith("/") else Path.home() / ".local" / "state") / "onward"


def told_option(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Give the environment's value of an option, such as `retry-for`."""
    return environ.get(PREFIX + name.upper().replace("-", "_"))
