"""`onward grant`: prints a signed token, or a link that has it; `server/cli.py` calls this."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from onward.protocol.errors import BadRequest
from onward.protocol.grants import Grant, Scope
from onward.protocol.headers import parse_upload_ids
from onward.protocol.model import UploadId
from onward.protocol.quantities import read_number, read_size, read_time
from onward.server.access.key_file import path_of, read_or_make
from onward.server.access.minting import mint
from onward.server.config import Config, ConfigError
from onward.server.option_kinds import split_words, suggest
from onward.server.uploads.checks.types import read_types

NAME = "grant"
DESCRIPTION = "print a signed token that allows uploads, or a link with one"
METADATA = "metadata"
SERVER_OPTIONS = ("data", "auth_key_file")  # of `serve`, which this command has as well


def _read_scopes(text: str) -> frozenset[Scope]:
    words, known = text.replace(",", " ").split(), list(Scope)
    for word in words:
        if word not in known:
            raise ValueError(f"{word!r} is not a scope{suggest(word, known) or ': ' + ', '.join(known)}")
    return frozenset(map(Scope, words))


def _read_metadata(words: list[str]) -> dict[str, bytes]:
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise ConfigError(f"--{METADATA}", f"{key!r} is not a key and a value such as customer=42")
    return {key: value.encode("utf-8", "surrogateescape") for key, _, value in pairs}


def _read_upload(text: str) -> UploadId:
    try:
        return parse_upload_ids([text], 1)[0]
    except BadRequest:
        raise ValueError(f"{text!r} is not the id of an upload") from None


def _read_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "#" in text or not text.isprintable():
        raise ValueError(f"{text!r} is not the URL of a page such as https://uploads.example/")
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", parts.query, ""))


# Each option with what it takes, how that is read, and its line in --help. Its name in the options of the command has
# a prefix, because `serve` has other options of these names.
OPTIONS: Mapping[str, tuple[str, Any, str]] = {
    "sub": ("NAME", str, "the owner of what is created with it, and of what it sees; a name of its own if not given"),
    "scope": ("WORDS", _read_scopes, f"what it allows: {', '.join(Scope)}; all but list and admin if not given"),
    "expires": ("TIME", lambda text: read_time(text, positive=True), "how long it is valid; 7d if not given"),
    "max-size": ("BYTES", read_size, "maximum size of an upload"),
    "max-uploads": ("N", read_number, "how many of the uploads created with it may exist at a time"),
    "quota": ("BYTES", read_size, "maximum size of all uploads of the owner together"),
    "types": (
        "TYPE",
        lambda text: read_types(split_words(text)),
        "types that files may have, such as image/*,application/pdf",
    ),
    "upload": ("ID", _read_upload, "the one upload that it is for; it can create none"),
    "url": ("URL", _read_url, "print a link to this page, with the token behind a #"),
}


def _name_of(option: str) -> str:
    return f"grant_{option}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    for option, (metavar, _, text) in OPTIONS.items():
        parser.add_argument(f"--{option}", dest=_name_of(option), metavar=metavar, help=text)
    parser.add_argument(
        f"--{METADATA}", dest=_name_of(METADATA), metavar="KEY=VALUE", action="append", default=[],
        help="added to the metadata of each upload, and wins over the client's; may be repeated",
    )  # fmt: skip


def run(config: Config, options: Mapping[str, Any]) -> int:
    """Print a token, or a link; returns the exit status. Raises ConfigError."""
    given = {name: _read(name, options[_name_of(name)]) for name in OPTIONS}
    try:
        grant = Grant(
            owner=given["sub"],
            scopes=given["scope"],
            max_size=given["max-size"],
            max_uploads=given["max-uploads"],
            quota=given["quota"],
            types=given["types"],
            upload=given["upload"],
            added_metadata=_read_metadata(options[_name_of(METADATA)]) or None,
        )
        lifetime = {} if given["expires"] is None else {"lifetime": given["expires"]}
        token = mint(grant, read_or_make(path_of(config)), **lifetime)
    except ConfigError:
        raise
    except (ImportError, ValueError) as error:
        raise ConfigError(NAME, str(error)) from None
    print(f"{given['url']}#token={token}" if given["url"] else token)
    return 0


def _read(name: str, text: str | None) -> Any:
    """Read the value of an option; None if it was not given. Raises ConfigError."""
    if text is None:
        return None
    try:
        return OPTIONS[name][1](text)
    except ValueError as error:
        raise ConfigError(f"--{name}", str(error)) from None
