"""Config, the frozen value that configures the server: a field is an option, an environment variable and a TOML key.

A field is declared once, with the kind of its values, its group, and the sentence that explains it in `--help` too.
Checks, events and access have a file each. Their classes form one line, because a struct of msgspec has one base:
`CheckOptions`, `EventOptions`, `AccessOptions`, `Config`.
The values are checked whenever a Config is made: by an application (`Config(max_size="5G")`), or by
`config_reader.py` from the command line, the environment and a file.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_type_hints

from msgspec.structs import force_setattr

from onward.protocol.model import Limits
from onward.server.access_options import AccessOptions
from onward.server.http.cors import EVERY
from onward.server.option import (
    FINISHED,
    LIMITS,
    LISTENING,
    PROXIES,
    RUNNING,
    STORAGE,
    TIMES,
    WATCHING,
    Option,
)
from onward.server.option_kinds import (
    ADDRESS,
    BASE,
    FILE_MODE,
    FOLDER,
    FOLDER_MODE,
    HEADERS,
    HOSTS,
    INLINE,
    LAYOUT,
    MEMORY,
    MODE,
    NAME,
    ORIGINS,
    PART_SIZE,
    PATH,
    POSITIVE_TIME,
    PUBLIC_BASE,
    PUBLIC_URL,
    SIZE,
    STATE,
    STORE,
    SWITCH,
    TIME,
    TRUSTED,
    URL,
    WITHOUT,
    choice,
    number,
)  # fmt: skip
from onward.storage import SHARED
from onward.storage.base import Durability

MOST_WORKERS = 1024


class ConfigError(ValueError):
    """A value that can't be used: the name of its field, and a sentence that shows it and says what would be right."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


class Config(AccessOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of a server; times in seconds, sizes in bytes. Raises ConfigError, which is a ValueError.

    Code may write values as the command line does (`"5G"`, `"7d"`), and lists as lists or as words with commas.
    """

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Option(RUNNING, choice(("debug", "info", "warning", "error")), "log nothing below this level", sweep=True),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"],
        Option(RUNNING, choice(("text", "json")), "lines for people, or JSON for programs", sweep=True),
    ] = "text"
    ops_listen: Annotated[
        str, Option(LISTENING, ADDRESS, "listen here for /metrics, /healthz and /readyz, and nowhere else for them")
    ] = ""
    workers: Annotated[
        int,
        Option(RUNNING, number(1, MOST_WORKERS), "worker processes; more than one need --state=redis://…"),
    ] = 1
    drain: Annotated[float, Option(RUNNING, POSITIVE_TIME, "how long a graceful stop may take")] = 10.0
    host: Annotated[
        Sequence[str],
        Option(LISTENING, HOSTS, "address or name to listen on; may be repeated; :: or '' for all of IPv4 and IPv6"),
    ] = ("127.0.0.1",)
    port: Annotated[int, Option(LISTENING, number(0, 65535), "port to listen on; 0 picks a free one")] = 8080
    unix_socket: Annotated[str, Option(LISTENING, PATH, "listen on this Unix socket instead")] = ""
    socket_mode: Annotated[
        int, Option(LISTENING, MODE, "permissions of the Unix socket; connecting to it needs write permission")
    ] = 0o666
    base_path: Annotated[str, Option(LISTENING, BASE, "path of the uploads; / for the root")] = "/files"
    page: Annotated[bool, Option(LISTENING, SWITCH, "serve the web page at /")] = True
    data: Annotated[str, Option(STORAGE, FOLDER, "folder for uploads and their records", sweep=True)] = "./data"
    state: Annotated[
        str, Option(STORAGE, STATE, "where upload records are kept: sqlite:, redis://HOST:PORT/DB, memory:", sweep=True)
    ] = "sqlite:"
    blobs: Annotated[
        str,
        Option(
            STORAGE, STORE, "where bytes are kept: file: (the data folder), s3://BUCKET/PREFIX, memory:", sweep=True
        ),
    ] = "file:"
    s3_endpoint: Annotated[
        str, Option(STORAGE, URL, "URL of an object store other than AWS, such as http://127.0.0.1:8333", sweep=True)
    ] = ""
    s3_region: Annotated[
        str, Option(STORAGE, NAME, "region of the bucket; by default that of the AWS configuration", sweep=True)
    ] = ""
    part_size: Annotated[
        int, Option(STORAGE, PART_SIZE, "size of the parts that are sent to an object store; 5MiB or more", sweep=True)
    ] = 2**23
    upload_memory: Annotated[
        int, Option(STORAGE, MEMORY, "memory for all bytes that wait to be sent to an object store")
    ] = 2**28
    durability: Annotated[
        Durability,
        Option(
            STORAGE,
            choice(Durability),
            "what an acknowledged byte survives: a power cut (full, group) or a killed server (process, none)",
            sweep=True,
        ),
    ] = Durability.FULL
    layout: Annotated[
        str,
        Option(FINISHED, LAYOUT, "path of a finished file below files/, such as {date:%Y/%m/%d}/{name}", sweep=True),
    ] = "{id}"
    file_mode: Annotated[int, Option(FINISHED, FILE_MODE, "permissions of finished files", sweep=True)] = 0o440
    dir_mode: Annotated[
        int, Option(FINISHED, FOLDER_MODE, "permissions of the folders that a layout needs", sweep=True)
    ] = 0o700
    keep_completed: Annotated[
        float,
        Option(FINISHED, TIME, "remove a finished file after this long; 0 for never", sweep=True),
    ] = 0.0
    public_url: Annotated[
        str, Option(FINISHED, PUBLIC_URL, "where others find finished files, with {path} for their path", sweep=True)
    ] = ""
    download: Annotated[
        Literal["proxy", "redirect"],
        Option(FINISHED, choice(("proxy", "redirect")), "send finished files, or redirect to --public-url or a bucket"),
    ] = "proxy"
    inline: Annotated[
        Sequence[str],
        Option(FINISHED, INLINE, "let browsers show downloads of this type, such as image/*; may be repeated"),
    ] = ()
    duplicates: Annotated[
        Literal["keep", "share"],
        Option(
            FINISHED,
            choice(("keep", "share")),
            "let equal files of one owner share their blocks, where the file system can",
            sweep=True,
        ),
    ] = "keep"
    max_size: Annotated[int, Option(LIMITS, SIZE, "maximum size of an upload; 0 for no limit")] = 0
    max_request: Annotated[
        int, Option(LIMITS, SIZE, "maximum size of the body of one request, for a CDN that cuts more; 0 for no limit")
    ] = 0
    max_open: Annotated[int, Option(LIMITS, number(), "maximum number of unfinished uploads; 0 for no limit")] = 0
    quota: Annotated[
        int, Option(LIMITS, SIZE, "maximum size of all uploads of one owner together; 0 for no limit", sweep=True)
    ] = 0
    reserve: Annotated[
        int,
        Option(LIMITS, SIZE, "keep this much disk space free: refuse uploads that would use it; 0 disables the check"),
    ] = 2**26
    connections: Annotated[
        int, Option(LIMITS, number(), "maximum number of connections from one address; 0 for no limit")
    ] = 0
    without: Annotated[
        Sequence[str], Option(LIMITS, WITHOUT, "switch off an extension of tus; may be repeated", sweep=True)
    ] = ()
    expire_after: Annotated[
        float,
        Option(TIMES, TIME, "remove an unfinished upload this long after its last bytes; 0 for never", sweep=True),
    ] = 604800.0
    forget_after: Annotated[
        float, Option(TIMES, TIME, "how long a failed, removed or expired upload answers 410", sweep=True)
    ] = 604800.0
    release_after: Annotated[
        float, Option(TIMES, TIME, "how long parts are kept after they were concatenated", sweep=True)
    ] = 300.0
    sweep_every: Annotated[float, Option(TIMES, POSITIVE_TIME, "time between two clean-ups")] = 2.0
    lease_wait: Annotated[
        float,
        Option(TIMES, POSITIVE_TIME, "how long a request waits until another one releases the upload", sweep=True),
    ] = 8.0
    body_idle: Annotated[
        float, Option(TIMES, POSITIVE_TIME, "end a request body that brings no byte for this long")
    ] = 30.0
    body_rate: Annotated[
        int, Option(TIMES, SIZE, "end a request body that is slower than this, in bytes per second; 0 for no limit")
    ] = 1024
    header_wait: Annotated[
        float,
        Option(TIMES, POSITIVE_TIME, "how long a new connection may take to send the head of a request"),
    ] = 15.0
    keep_alive: Annotated[
        float, Option(TIMES, POSITIVE_TIME, "close a connection that is idle between two requests after this long")
    ] = 75.0
    trusted_proxies: Annotated[
        Sequence[str],
        Option(PROXIES, TRUSTED, "proxy whose forwarding headers are trusted: an address, a network, or unix; may be "
                                 "repeated"),
    ] = ()  # fmt: skip
    proxy_headers: Annotated[
        Literal["x-forwarded", "forwarded"],
        Option(PROXIES, choice(("x-forwarded", "forwarded")), "which forwarding headers those proxies write"),
    ] = "x-forwarded"
    public_base: Annotated[
        str, Option(PROXIES, PUBLIC_BASE, "where clients reach the server, such as https://app.example/api")
    ] = ""
    cors_origins: Annotated[
        Sequence[str],
        Option(PROXIES, ORIGINS, "origin whose pages may upload from a browser, or * for all; may be repeated"),
    ] = ()
    cors_credentials: Annotated[bool, Option(PROXIES, SWITCH, "let those pages send cookies")] = False
    cors_headers: Annotated[
        Sequence[str],
        Option(PROXIES, HEADERS, "further header that those pages may send; may be repeated"),
    ] = ()
    quiet_after: Annotated[
        float,
        Option(WATCHING, POSITIVE_TIME, "report an upload as paused after this long without a request", sweep=True),
    ] = 2.5
    watchers_per_upload: Annotated[
        int, Option(WATCHING, number(), "maximum number of watchers of one upload on this server; 0 for no limit")
    ] = 0
    watchers_per_address: Annotated[
        int, Option(WATCHING, number(), "maximum number of watchers from one address; 0 for no limit")
    ] = 0

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            try:
                force_setattr(self, name, option.kind.read(getattr(self, name)))
            except ValueError as error:
                raise ConfigError(name, str(error)) from None
        if self.workers > 1 and not self.is_shared:
            raise ConfigError("workers", f"{self.workers} need a state that processes share, such as --state=redis://…")
        if EVERY in self.cors_origins and self.cors_credentials:
            raise ConfigError("cors_credentials", "it needs the names of origins, and can't be used with *")
        if self.download == "redirect" and not (self.public_url or self.blobs.startswith("s3:")):
            raise ConfigError("download", "'redirect' needs --public-url, which says where to, or --blobs=s3://…")
        if wrong := self.wrong_events() or self.wrong_access():
            raise ConfigError(*wrong)

    @property
    def is_shared(self) -> bool:
        """Return whether several processes may use the state at once."""
        return self.state.partition(":")[0] in SHARED

    @property
    def prefix(self) -> str:
        """Return the base path without a slash at its end."""
        return self.base_path.rstrip("/")

    @property
    def limits(self) -> Limits:
        """Return the limits that the decisions in `protocol/` need."""
        without = frozenset(self.without)
        return Limits(
            max_size=self.max_size or None,
            expire_after=None if "expiration" in without else self.expire_after or None,
            forget_after=self.forget_after,
            release_after=self.release_after,
            keep_completed=self.keep_completed or None,
            without=without,
            quiet_after=self.quiet_after,
            max_open=self.max_open or None,
            reserve=self.reserve,
            max_request=self.max_request or None,
            quota=self.quota or None,
        )


def _options() -> dict[str, Option]:
    hints: dict[str, Any] = get_type_hints(Config, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


OPTIONS: Mapping[str, Option] = _options()
