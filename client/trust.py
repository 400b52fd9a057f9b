"""Which certificates of servers the client trusts: the options `cacert` and `insecure`."""

import ssl
from pathlib import Path


def read_cacert(path: object) -> Path:
    """Read the path of a file with certificates; raises ValueError."""
    if not isinstance(path, str | Path):
        raise ValueError(f"{path!r} is not the path of a file")
    trusting(Path(path), insecure=False)
    return Path(path)


def trusting(cacert: Path | None, *, insecure: bool) -> ssl.SSLContext | bool:
    """Return what aiohttp calls `ssl`; raises ValueError for a file without certificates."""
    if insecure:
        return False
    if cacert is None:
        return True
    try:
        return ssl.create_default_context(cafile=cacert)
    except FileNotFoundError:
        raise ValueError(f"{str(cacert)!r} can't be read: there is no such file") from None
    except (ssl.SSLError, OSError):
        raise ValueError(f"{str(cacert)!r} is not a file of certificates (PEM)") from None
