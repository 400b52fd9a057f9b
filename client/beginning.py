"""How an upload begins, and where its last request does."""

from collections.abc import Mapping

from client.errors import Gone, Refused
from client.file import BLOCK
from client.model import Options
from client.sender import Sender
from client.tus import Created
from protocol.headers import build_metadata

UNKNOWN_TYPE = "application/octet-stream"


def describe(name: bytes, type: str | None = None) -> dict[str, str]:
    """Give the header that tells a file's name and type."""
    return {"Upload-Metadata": build_metadata({"filename": name, "filetype": (type or UNKNOWN_TYPE).encode()})}


async def create(sender: Sender, headers: Mapping[str, str]) -> Created:
    """Create an upload; raises Refused where nothing can be created."""
    try:
        return await sender.persist(lambda: sender.line.create(headers))
    except Gone as gone:
        raise Refused(f"{gone}: {sender.line.target} takes no uploads") from None


async def require(sender: Sender, extension: str, why: str) -> None:
    """Ask whether an extension is offered; raises Refused. A server that isn't to be asked is taken at its deeds."""
    try:
        offered = await sender.persist(sender.line.extensions)
    except (Refused, Gone):
        return
    if extension not in offered:
        raise Refused(f"the server does not offer {extension}, which {why} needs")


def last_request(size: int, options: Options) -> int:
    """Give where the last request begins.

    It alone carries the promised SHA-256, in a header, which goes out before its bytes: so those must have been hashed
    already. Hence it is short, a request of its own that any server takes, and costs one more exchange.
    """
    if options.chunk_size:
        return max(size - 1, 0) // options.chunk_size * options.chunk_size
    return max(size - BLOCK, 0)
