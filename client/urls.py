"""URLs as the user writes them and as sentences show them.

The command line and the code both read their URLs here, so that a wrong one gets the same sentence everywhere.
"""

from yarl import URL

from onward.client.errors import Refused


def parse_url(text: str) -> URL:
    """Read a URL; raises Refused."""
    try:
        url = URL(text)
        (url.raw_host or "").encode("idna")  # the resolver would fail here too, with an error that nothing else raises
    except ValueError as error:
        raise Refused(f"{_shown(text)!r} is not a URL: {error}") from None
    return url


def parse_target(text: str, *schemes: str) -> URL:
    """Read a URL that has one of these schemes and a host; raises Refused."""
    url, shown = parse_url(text), _shown(text)
    if url.scheme not in schemes or not url.host:
        hint = f"; did you mean http://{shown}?" if shown and "://" not in shown else ""
        raise Refused(f"{shown!r} is not an HTTP URL such as http://host/files{hint}")
    return url


def _shown(text: str) -> str:
    """Return what the user wrote for a sentence, without the part after #, which may hold a token."""
    return text.partition("#")[0]


def without_secrets(url: URL) -> str:
    """Return a URL for a sentence, without a user, a password or a query, which may hold a token."""
    return str(url.with_user(None).with_query(None))
