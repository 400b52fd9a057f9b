"""What the faults of the HTTP client mean: asking again may help, or never does."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from client.errors import Interrupted, Refused


@contextmanager
def translated() -> Iterator[None]:
    """Turn the faults of requests into Interrupted or Refused."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise Refused(f"{error} is no URL") from error
    except aiohttp.TooManyRedirects as error:
        raise Refused("the server leads in a circle") from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise Refused(f"no safe connection: {error}") from error
    except TimeoutError as error:
        raise Interrupted("nothing came through in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Interrupted(f"the connection failed ({error or type(error).__name__})") from error
