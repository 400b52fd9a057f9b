"""One frozen value that configures the server; each field is an option, an environment variable and a TOML key.

Options come before the environment, that before the file (`--config`), and that before the defaults. Nothing else reads
the environment.
"""

import argparse
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from protocol.model import Limits
from protocol.tus1 import EXTENSIONS
from server.cors import EVERY, parse_origins
from server.proxies import parse_trusted
from storage import SHARED
from storage.base import Durability

PREFIX = "ONWARD_"
BASE_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+/?", re.ASCII)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `onward serve` is told; times in seconds, sizes in bytes."""

    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0 picks a free one")] = 8080
    unix_socket: Annotated[str, Meta(description="path of a Unix socket to listen on instead")] = ""
    base_path: Annotated[str, Meta(description="path of the uploads; / for the root")] = "/files"
    page: Annotated[bool, Meta(description="serve the page to upload and to watch at /")] = True
    trusted_proxies: Annotated[str, Meta(description="addresses and networks of proxies to believe, or unix")] = ""
    proxy_headers: Annotated[
        Literal["x-forwarded", "forwarded"], Meta(description="the headers that proxies tell it in")
    ] = "x-forwarded"
    cors_origins: Annotated[str, Meta(description="origins of pages that may upload, comma-separated, or *")] = ""
    cors_credentials: Annotated[bool, Meta(description="let those pages send cookies along")] = False
    data: Annotated[str, Meta(description="the data folder")] = "./data"
    state: Annotated[str, Meta(description="where records live: sqlite:, redis://…, memory:")] = "sqlite:"
    blobs: Annotated[str, Meta(description="where bytes live: file: (the data folder), memory:")] = "file:"
    durability: Annotated[Durability, Meta(description="full, group, process or none")] = Durability.FULL
    max_size: Annotated[int, Meta(ge=0, description="largest upload in bytes; 0 for no limit")] = 0
    max_open: Annotated[int, Meta(ge=0, description="uploads that may be unfinished at once; 0 for no limit")] = 0
    reserve: Annotated[
        int, Meta(ge=0, description="bytes that stay free where files are stored; 0 to look at nothing")
    ] = 2**26
    expire_after: Annotated[float, Meta(ge=0, description="seconds an unfinished upload stays; 0 for ever")] = 604800.0
    forget_after: Annotated[float, Meta(ge=0, description="seconds a failed or ended upload answers 410")] = 604800.0
    release_after: Annotated[float, Meta(ge=0, description="seconds partial uploads outlive their final one")] = 300.0
    without: Annotated[str, Meta(description="tus extensions to switch off, comma-separated")] = ""
    quiet_after: Annotated[float, Meta(gt=0, description="seconds without a request until it is told as paused")] = 2.5
    sweep_every: Annotated[float, Meta(gt=0, description="seconds between two sweeps")] = 2.0
    lease_wait: Annotated[float, Meta(gt=0, description="seconds to wait for another request to give way")] = 8.0
    body_idle: Annotated[float, Meta(gt=0, description="seconds without a byte until a body is cut off")] = 30.0
    body_rate: Annotated[int, Meta(ge=0, description="bytes a second that a body must have over that time")] = 1024
    header_wait: Annotated[float, Meta(gt=0, description="seconds until a new connection has sent a request")] = 15.0
    workers: Annotated[int, Meta(ge=1, description="processes that serve; several need a state that they share")] = 1
    connections: Annotated[int, Meta(ge=0, description="connections from one address; 0 for no limit")] = 0
    watchers_per_upload: Annotated[int, Meta(ge=0, description="watchers of one upload here; 0 for no limit")] = 0
    watchers_per_address: Annotated[int, Meta(ge=0, description="watchers from one address; 0 for no limit")] = 0
    drain: Annotated[float, Meta(gt=0, description="seconds that a graceful stop may take")] = 10.0

    def __post_init__(self) -> None:
        if unknown := self.switched_off - {row.name for row in EXTENSIONS}:
            raise ValueError(f"--without knows no extension {', '.join(sorted(unknown))}")
        if self.workers > 1 and self.state.partition(":")[0] not in SHARED:
            raise ValueError(f"--workers={self.workers} needs a state that processes share, as --state=redis://… is")
        if not BASE_PATH.fullmatch(self.base_path):
            raise ValueError("--base-path must be / or a path like /api/files")
        parse_trusted(self.trusted_proxies)
        if EVERY in parse_origins(self.cors_origins) and self.cors_credentials:
            raise ValueError("--cors-credentials needs origins, not *")

    @property
    def prefix(self) -> str:
        """Give the base path without a slash at its end."""
        return self.base_path.rstrip("/")

    @property
    def switched_off(self) -> frozenset[str]:
        """Give the names of the extensions that are switched off."""
        return frozenset(name.strip() for name in self.without.split(",") if name.strip())

    @property
    def limits(self) -> Limits:
        """Give the part of it that the rules need."""
        return Limits(
            max_size=self.max_size or None,
            expire_after=None if "expiration" in self.switched_off else self.expire_after or None,
            forget_after=self.forget_after,
            release_after=self.release_after,
            without=self.switched_off,
            quiet_after=self.quiet_after,
            max_open=self.max_open or None,
            reserve=self.reserve,
        )


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser an option for every field."""
    parser.add_argument("--config", metavar="FILE", help=f"a TOML file [{PREFIX}CONFIG]")
    for field in msgspec.structs.fields(Config):
        meta = msgspec.inspect.type_info(field.type)
        described = (getattr(meta, "extra_json_schema", None) or {}).get("description", "")
        text = f"{described} [{PREFIX}{field.name.upper()}; default: {str(field.default)!r}]".replace("%", "%%")
        parser.add_argument(_option(field.name), dest=field.name, metavar=field.name.upper(), help=text)


def read(options: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Config:
    """Merge options, environment and file; raises ValueError or OSError, with a sentence for people."""
    names = [field.name for field in msgspec.structs.fields(Config)]
    path = options.get("config") or environ.get(f"{PREFIX}CONFIG")
    merged: dict[str, object] = dict(tomllib.loads(Path(path).read_text("utf-8"))) if path else {}
    merged |= {name: environ[f"{PREFIX}{name.upper()}"] for name in names if f"{PREFIX}{name.upper()}" in environ}
    merged |= {name: value for name in names if (value := options.get(name)) is not None}
    return msgspec.convert(merged, Config, strict=False)


def parse(arguments: Sequence[str]) -> Config:
    """Read a configuration from the words of a command line alone, for embedding and tests."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read(vars(parser.parse_args(arguments)))
