"""Links as `onward grant --url` prints them, `http://host/#token=…`: the URL of the page, and a token.

The part of a URL after # is never sent in a request. It is cut off here, before the URL is used or shown anywhere.
"""

import base64
from dataclasses import dataclass, field, replace

import msgspec
from yarl import URL

from onward.client.errors import Refused
from onward.client.model import Options, read_token
from onward.client.urls import parse_target, parse_url

USUAL_PATH = "files"  # where this server, and most others, take uploads


@dataclass(frozen=True, slots=True)
class Link:
    """A URL, and the token that came with it."""

    url: str  # without the token
    token: str | None = field(default=None, repr=False)


class _Upload(msgspec.Struct, frozen=True):
    """The member of the claim `onward` that names the upload that a token is for."""

    upload: str | None = None


class _Claims(msgspec.Struct, frozen=True):
    """The part of a token that the client reads."""

    onward: _Upload = _Upload()


def read_target(text: str) -> Link:
    """Read where uploads are created: a URL, or a link to the page of a server; raises Refused."""
    parse_target(text, "http", "https")
    words = _words(text)
    if "token" not in words:
        return Link(text)
    return Link(_beside(text), _token(words))


def read_watched(text: str) -> Link:
    """Read which upload to watch: a URL, or a link with a token for one upload; raises Refused."""
    parse_target(text, "http", "https", "ws", "wss")
    words = _words(text)
    if not words.keys() & {"token", "watch"}:
        return Link(text)
    token = _token(words)
    url = _without_fragment(text)
    if not url.endswith("/"):
        return Link(url, token)
    id_ = words.get("watch") or _upload_of(token)
    if id_ is None:
        raise Refused(f"{url!r} is a page, and the link names no upload; watch an upload by its own URL")
    return Link(str(URL(_beside(text)) / id_), token)


def opened_link(url: str, options: Options) -> tuple[str, Options]:
    """Return the URL without a token, and the options with it; raises Refused."""
    link = read_target(url)
    return link.url, options if link.token is None else replace(options, token=link.token)


def _words(text: str) -> dict[str, str]:
    """Read the part of a URL after #."""
    return dict(parse_url(text).with_query(parse_url(text).raw_fragment).query)


def _token(words: dict[str, str]) -> str | None:
    """Return the token of a link; raises Refused if the link was damaged."""
    try:
        return read_token(words["token"]) if "token" in words else None
    except ValueError as error:
        raise Refused(f"the token of the link is damaged: {error}") from None


def _without_fragment(text: str) -> str:
    return text.partition("#")[0]


def _beside(text: str) -> str:
    """Return where uploads are created, from the URL of the page or of uploads."""
    url = _without_fragment(text)
    return url + USUAL_PATH if url.endswith("/") and not url.endswith(f"/{USUAL_PATH}/") else url


def _upload_of(token: str | None) -> str | None:
    """Return the id of the upload that a token is for, if it is for one."""
    payload = (token or "").split(".")[1:2]
    try:
        decoded = base64.urlsafe_b64decode("".join(payload) + "==")
        return msgspec.json.decode(decoded, type=_Claims).onward.upload
    except (ValueError, msgspec.DecodeError):
        return None
