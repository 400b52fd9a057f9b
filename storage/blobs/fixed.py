"""What stores have in common whose places do not move: the local folder, and memory."""

from onward.protocol.model import Place


class FixedPlaces:
    """Bytes are changed in place, and whole files are read again if their verification was interrupted."""

    rereads = True

    async def link(self, _place: Place, _disposition: str, _seconds: int) -> None:
        """Return None: nobody else can read the bytes."""

    async def tidy(self, _stray: Place, _recorded: Place) -> bool:
        """Return False: an upload that has a record has no strays."""
        return False
