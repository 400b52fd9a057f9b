"""How an upload begins, and where its last request does."""

from collections.abc import Mapping

from yarl import URL

from onward.client.answers import shown
from onward.client.connection import Created, Line
from onward.client.errors import Gone, Refused, Setback, UploadError
from onward.client.file import BLOCK
from onward.client.model import Options
from onward.client.transfer import Sender
from onward.protocol.headers import build_metadata

UNKNOWN_TYPE = "application/octet-stream"
USUAL = "files"  # where this server, and most others, take uploads
METHOD_NOT_ALLOWED = 405


def describe(name: bytes, type: str | None = None) -> dict[str, str]:
    """Give the header with a file's name and type."""
    return {"Upload-Metadata": build_metadata({"filename": name, "filetype": (type or UNKNOWN_TYPE).encode()})}


async def create(sender: Sender, headers: Mapping[str, str]) -> Created:
    """Create an upload; raises Refused where nothing can be created."""
    try:
        return await sender.persist(lambda: sender.line.create(headers))
    except Gone as gone:
        raise Refused(f"{gone}: {await _advice(sender.line)}") from None
    except Refused as refused:
        if refused.status != METHOD_NOT_ALLOWED:
            raise
        raise Refused(f"{refused}: {await _advice(sender.line)}", refused.status) from None


async def _advice(line: Line) -> str:
    """Say that the target takes no uploads, and which URL does, if there is a usual one."""
    usual = URL(line.target).with_query(None) / USUAL
    try:
        found = bool(await line.extensions(str(usual)))
    except (Setback, UploadError):
        found = False
    return f"this URL takes no uploads{f'; did you mean {shown(usual)}?' if found else ''}"


async def require(sender: Sender, extension: str, why: str) -> None:
    """Ask whether an extension is offered; raises Refused. A server that refuses the question may still offer it."""
    try:
        offered = await sender.persist(sender.line.extensions)
    except (Refused, Gone):
        return
    if extension not in offered:
        raise Refused(f"the server does not offer {extension}, which {why} needs")


def last_request(size: int, options: Options) -> int:
    """Give where the last request begins.

    It alone carries the promised SHA-256, in a header, which is sent before its bytes: so those must have been hashed
    already. Hence it is short, a request of its own that any server takes, and costs one more exchange.
    """
    if options.chunk_size:
        return max(size - 1, 0) // options.chunk_size * options.chunk_size
    return max(size - BLOCK, 0)
