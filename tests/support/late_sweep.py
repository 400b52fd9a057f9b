"""The clean-up of what has no record, as a server does it once all is an hour old."""

from pathlib import Path
from unittest.mock import patch

from onward.protocol.model import Limits
from onward.server.uploads import sweep
from onward.server.uploads.engine import Engine
from onward.storage import open_storage


async def tidied(data: Path, state: str = "sqlite:") -> None:
    """Remove what is left in a data folder without a record, and all marks of published files."""
    storage = await open_storage(state=state, blobs="file:", data=data)
    engine = Engine(storage, Limits(), lease_wait=1.0)
    try:
        with patch.object(sweep, "STRAY", -60.0):
            await engine.sweep.tidy()
    finally:
        await engine.close()
