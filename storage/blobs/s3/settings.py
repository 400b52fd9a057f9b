"""What the URL of an object store says: `s3://BUCKET/PREFIX?endpoint=…&region=…&part-size=…&memory=…`.

The server builds this URL from its options (`server/lifespan.py`), so that the seam of the stores needs none for S3.
"""

from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

MIB = 2**20
LEAST_PART = 5 * MIB  # bytes; S3 takes no smaller part but the last one
PART = 8 * MIB
MEMORY = 256 * MIB


class Settings(Struct, frozen=True, kw_only=True):
    """Where the objects are, and how bytes are sent there. Sizes are in bytes."""

    bucket: str
    # What all keys begin with; empty, or with a slash at its end.
    prefix: str = ""
    # None for AWS itself.
    endpoint: str | None = None
    # None for what AWS tools are configured for.
    region: str | None = None
    part_size: int = PART
    # What all bodies together may keep in memory.
    memory: int = MEMORY


def read_url(url: str) -> Settings:
    """Read the URL of an object store; raises ValueError."""
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.netloc or "//" in prefix:
        raise ValueError(f"{url!r} is not a URL such as s3://BUCKET/PREFIX")
    query = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    return Settings(
        bucket=parts.netloc,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=query.get("endpoint"),
        region=query.get("region"),
        part_size=max(int(query.get("part-size", PART)), LEAST_PART),
        memory=int(query.get("memory", MEMORY)),
    )
