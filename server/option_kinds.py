"""The kinds of options: how a value is read from the command line, TOML or code, and how `--help` shows it.

`config.py` gives each field of Config one kind. A reader accepts its own result again. For a wrong value it raises
ValueError with a sentence that shows the value and says what would be right; the caller adds which option it was.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from onward.protocol.dialects import DIALECTS
from onward.protocol.events import EventType
from onward.protocol.naming import parse_layout
from onward.protocol.quantities import read_number, read_size, read_time, show_size, show_time
from onward.server.events.signature import read_secret
from onward.server.http.cors import parse_origins
from onward.server.http.proxies import parse_base, parse_trusted
from onward.server.uploads.checks.clamd import read_address
from onward.server.uploads.checks.types import read_inline, read_types
from onward.storage import BLOBS, PUBLISHED, SHARED, STATES

SIMILAR = 0.6  # from 0 to 1: how similar two names must be, so that one is suggested for the other
BASE_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+/?", re.ASCII)
SWITCHED = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
HIGHEST_MODE = 0o777
ASKED_ACTS = ("create", "publish")
EVERY_ADDRESS = ""  # as a host: all IPv4 and IPv6 addresses of the machine
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_MODE = re.compile(r"[0-7]{1,4}", re.ASCII)
_PUBLIC_URL = re.compile(r"https?://[^/?#{}\s]+/[!-~]*", re.ASCII)
_LISTENED = re.compile(r"[A-Za-z0-9._:%-]+", re.ASCII)
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@,]*)(:[0-9]{1,5})?"
_NETWORK = re.compile(rf"[^:]+://(.*@)?{_HOST}(,{_HOST})*(/[^/?]*[^0-9/?][^/?]*)?(/[0-9]*)?/?(\?.*)?", re.ASCII)
_PASSWORD = re.compile(r"(?<=://)([^:@/]*):.*(?=@)|(?<=password=)[^&]*", re.ASCII | re.DOTALL)


class Secret(str):
    """A text that is not shown where its Config is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


class Kind(Struct, frozen=True):
    """How the values of an option are written."""

    metavar: str  # for --help
    read: Callable[[Any], Any]  # raises ValueError
    show: Callable[[Any], str] = str  # how --help writes the default
    repeated: bool = False  # whether the option may be given several times


def nearest(name: str, names: Iterable[str], similar: float = SIMILAR) -> str:
    """Return the known name that was probably meant, or an empty string."""
    return next(iter(get_close_matches(name, list(names), 1, similar)), "")


def suggest(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence that suggests a similar name; empty if there is none."""
    found = nearest(name, names)
    return f"; did you mean {found}?" if found else ""


def hide_password(url: str) -> str:
    """Return a URL without its password, so that it may be shown."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***" if found[1] is not None else "***", url)


def split_words(value: object) -> tuple[str, ...]:
    """Read a list, or words with commas between them, or a list of such strings; raises ValueError."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple | set | frozenset) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{value!r} is not a list of words, nor words with commas between them")
    return tuple(word.strip() for part in parts for word in part.split(",") if word.strip())


def _read_path(value: object, *, needed: bool) -> str:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or "\0" in path or (needed and not path.strip()):
        raise ValueError(f"{value!r} is not a path")
    return path


def _read_switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    switched = SWITCHED.get(str(value).strip().lower())
    if switched is None:
        raise ValueError(f"{value!r} is neither yes nor no: write true, yes, on or 1, or false, no, off or 0")
    return switched


def _read_address(value: object) -> str:
    """Read HOST:PORT; an address of IPv6 is in brackets."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:/@\s]*):([0-9]{1,5})", value if isinstance(value, str) else "?")
    if value and not (found and int(found[2]) <= 65535):
        raise ValueError(f"{value!r} is not an address such as 127.0.0.1:9100 or [::1]:9100")
    return str(value)


def _read_hosts(value: object) -> tuple[str, ...]:
    """Read addresses and names to listen on; an empty one means every address of the machine."""
    given = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(part, str) and not part.strip() for part in given):
        return (EVERY_ADDRESS,)
    hosts = tuple(dict.fromkeys(word.removeprefix("[").removesuffix("]") for word in split_words(value)))
    wrong = [host for host in hosts if not _LISTENED.fullmatch(host)]
    if wrong or not hosts:
        raise ValueError(
            f"{(wrong[0] if wrong else value)!r} is not an address or a host name such as 127.0.0.1, :: or localhost"
        )
    return hosts


def _read_mode(value: object) -> int:
    """Read permissions: octal digits in a string, or the number itself in code."""
    mode = int(value, 8) if isinstance(value, str) and _MODE.fullmatch(value) else value
    if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= HIGHEST_MODE:
        raise ValueError(f"{value!r} is not a file mode: write octal digits, such as 0660")
    return mode


def _read_mode_with(least: int, value: object) -> int:
    """Read permissions that leave the server itself at least those it needs."""
    mode = _read_mode(value)
    if mode & least != least:
        raise ValueError(f"{mode:04o} would keep the server from its own files: it must include {least:04o}")
    return mode


def _read_choice(values: Mapping[str, Any], value: object) -> object:
    if not isinstance(value, str) or value.lower() not in values:
        near = suggest(str(value).lower(), values)
        raise ValueError(f"{value!r} is not one of {', '.join(values)}{near}")
    return values[value.lower()]


def _read_base_path(value: object) -> str:
    if not isinstance(value, str) or not BASE_PATH.fullmatch(value):
        raise ValueError(f"{value!r} is not / or a path such as /files or /api/files")
    return value


def _read_url(schemes: Iterable[str], value: object) -> str:
    """Read where something is stored. Of a wrong URL only the scheme is shown, because the rest may hold a password."""
    scheme = value.partition(":")[0] if isinstance(value, str) else ""
    if not isinstance(value, str) or scheme not in schemes or "\0" in value:
        known = ", ".join(f"{each}:" for each in schemes)
        raise ValueError(f"{scheme + ':' if isinstance(value, str) else value!r} is not one of {known}")
    if scheme == "s3" and not _BUCKET.fullmatch(value):
        raise ValueError(f"{value!r} is not a bucket such as s3://BUCKET or s3://BUCKET/PREFIX")
    if scheme in SHARED and not _NETWORK.fullmatch(value):
        raise ValueError(f"{hide_password(value)!r} is not a URL such as {scheme}://127.0.0.1:6379/0")
    return value


def _read_bucket(value: object) -> str:
    """Read where finished files are published; empty for nowhere else."""
    if value == "":
        return ""
    url = _read_url(PUBLISHED, value)
    if not _BUCKET.fullmatch(f"s3:{url.partition(':')[2]}"):  # names of buckets have one form everywhere
        raise ValueError(f"{url!r} is not a bucket such as {url.partition(':')[0]}://BUCKET/PREFIX")
    return url


def _read_origins(value: object) -> tuple[str, ...]:
    origins = split_words(value)
    parse_origins(origins)
    return origins


def _read_trusted(value: object) -> tuple[str, ...]:
    trusted = split_words(value)
    for word in trusted:
        try:
            parse_trusted((word,))
        except ValueError:
            raise ValueError(f"{word!r} is not an address, nor a network such as 10.0.0.0/8, nor unix") from None
    return trusted


def _read_extensions(value: object) -> tuple[str, ...]:
    names, known = split_words(value), [name for dialect in DIALECTS for name in dialect.features]
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not an extension of tus{suggest(name, known) or ': ' + ', '.join(known)}")
    return names


def _read_types(value: object) -> tuple[str, ...]:
    return read_types(split_words(value))


def _read_clamd(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an address of clamd such as unix:/run/clamav/clamd.ctl")
    return read_address(value) if value else ""


def _is_url(url: str) -> bool:
    """Return whether requests can be sent to a URL."""
    try:
        parts = urlsplit(url)
        return bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0) and not (
            parts.fragment or " " in url or not url.isprintable()
        )
    except ValueError:  # of the port, or of an IPv6 address
        return False


def _read_urls(value: object) -> tuple[str, ...]:
    """Read URLs that requests are sent to; a comma in one is written %2C."""
    urls = split_words(value)
    for url in urls:
        if not _is_url(url):
            raise ValueError(f"{hide_password(url)!r} is not a URL such as https://app.example/uploads")
    return urls


def _read_events(value: object) -> tuple[str, ...]:
    names, known = split_words(value), list(EventType)
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not an event{suggest(name, known) or ': ' + ', '.join(known)}")
    return names


def _read_one_url(value: object) -> str:
    urls = _read_urls(value)
    if len(urls) > 1:
        raise ValueError(f"{', '.join(map(hide_password, urls))} are several URLs, and only one can be used")
    return "".join(urls)


def _read_acts(value: object) -> tuple[str, ...]:
    acts = split_words(value)
    for act in acts:
        if act not in ASKED_ACTS:
            raise ValueError(f"{act!r} is not one of {', '.join(ASKED_ACTS)}{suggest(act, ASKED_ACTS)}")
    return acts


def _read_headers(value: object) -> tuple[str, ...]:
    names = split_words(value)
    for name in names:
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header, such as Authorization")
    return names


def _read_secret(value: object) -> Secret:
    """Read the secret of signatures, or nothing. What is wrong with it is said without showing it."""
    if not isinstance(value, str):
        raise ValueError("the secret is not a text")
    if value:
        read_secret(value)
    return Secret(value)


def number(least: int = 0, most: int | None = None) -> Kind:
    """Return the kind of whole numbers in a range."""
    bounds = {"least": least} if most is None else {"least": least, "most": most}
    return Kind("N", partial(read_number, **bounds))


def choice(values: type[StrEnum] | tuple[str, ...]) -> Kind:
    """Return the kind of one word out of several."""
    named = {str(value): value for value in values}
    return Kind("|".join(named), partial(_read_choice, named))


def _read_name(value: object) -> str:
    text = str(value)
    if text and not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name such as eu-central-1")
    return text


def _read_layout(value: object) -> str:
    return parse_layout(str(value)).text


def _read_public_url(value: object) -> str:
    text = str(value)
    if text and not (_PUBLIC_URL.fullmatch(text) and text.count("{path}") == 1):
        raise ValueError(f"{text!r} is not a URL with {{path}} in it, such as https://cdn.example/{{path}}")
    return text


def _read_public_base(value: object) -> str:
    text = str(value)
    if text:
        parse_base(text)
    return text


def _read_inline(value: object) -> tuple[str, ...]:
    return read_inline(split_words(value))


SIZE = Kind("BYTES", read_size, show_size)
POSITIVE_SIZE = Kind("BYTES", partial(read_size, least=1), show_size)
PART_SIZE = Kind("BYTES", partial(read_size, least=5 * 2**20), show_size)
MEMORY = Kind("BYTES", partial(read_size, least=2**24), show_size)
TIME = Kind("TIME", read_time, show_time)
POSITIVE_TIME = Kind("TIME", partial(read_time, positive=True), show_time)
SWITCH = Kind("", _read_switch, lambda on: "yes" if on else "no")
PATH = Kind("PATH", partial(_read_path, needed=False))
NAME = Kind("NAME", _read_name)
FOLDER = Kind("DIR", partial(_read_path, needed=True))
BASE = Kind("PATH", _read_base_path)
MODE = Kind("MODE", _read_mode, "{:04o}".format)
ADDRESS = Kind("HOST:PORT", _read_address)
FILE_MODE = Kind("MODE", partial(_read_mode_with, 0o400), "{:04o}".format)
FOLDER_MODE = Kind("MODE", partial(_read_mode_with, 0o700), "{:04o}".format)
HOSTS = Kind("HOST", _read_hosts, ", ".join, repeated=True)
ORIGINS = Kind("ORIGIN", _read_origins, ", ".join, repeated=True)
TRUSTED = Kind("ADDRESS", _read_trusted, ", ".join, repeated=True)
WITHOUT = Kind("EXTENSION", _read_extensions, ", ".join, repeated=True)
TYPES = Kind("TYPE", _read_types, ", ".join, repeated=True)
CLAMD = Kind("ADDRESS", _read_clamd)
URL = Kind("URL", _read_one_url, hide_password)
ACTS = Kind("ACT", _read_acts, ", ".join, repeated=True)
HEADERS = Kind("HEADER", _read_headers, ", ".join, repeated=True)
URLS = Kind("URL", _read_urls, ", ".join, repeated=True)
EVENT_TYPES = Kind("EVENT", _read_events, ", ".join, repeated=True)
SECRET = Kind("SECRET", _read_secret)
LAYOUT = Kind("TEMPLATE", _read_layout)
PUBLIC_BASE = Kind("URL", _read_public_base)
INLINE = Kind("TYPE", _read_inline, ", ".join, repeated=True)
PUBLIC_URL = Kind("URL", _read_public_url)
STATE = Kind("URL", partial(_read_url, STATES), hide_password)
STORE = Kind("URL", partial(_read_url, BLOBS), hide_password)
PUBLISHED_TO = Kind("URL", _read_bucket)
