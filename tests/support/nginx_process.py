"""nginx in front of a server: the configuration of the documentation, with ports and paths of its own."""

import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from http_connection import poll
from onward_process import ROOT
from ports import free_port
from redis_process import require

EXAMPLE = ROOT / "docs" / "examples" / "nginx.conf"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
Buffering = Literal["off", "on"]
SEVERAL = "server 127.0.0.1:{} fail_timeout=1s;"  # as the configuration says for several servers
MAIN = """daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {{}}
http {{
    {temporary}
    {more}
    include example.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx with a certificate of its own."""

    port: int
    folder: Path

    @property
    def certificate(self) -> Path:
        """Give the certificate, which signs itself."""
        return self.folder / "certificate.pem"

    @property
    def origin(self) -> str:
        """Give the scheme, host and port."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Give what it has logged."""
        return (self.folder / "error.log").read_text()

    def tls(self) -> ssl.SSLContext:
        """Give the settings of a client that trusts the certificate."""
        return ssl.create_default_context(cafile=self.certificate)


def example(changes: dict[str, str]) -> str:
    """Give the documented configuration with a few values changed, each of which it must hold once."""
    text = EXAMPLE.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {EXAMPLE.name}"
        text = text.replace(old, new)
    return text


def _make_certificate(openssl: str, folder: Path) -> None:
    words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=onward", "-addext", "subjectAltName=IP:127.0.0.1,DNS:uploads.example.com"]
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*words, *names, *files], cwd=folder, check=True, capture_output=True)


@contextmanager
def nginx(
    folder: Path,
    target: int | Sequence[int],
    *,
    buffering: Buffering = "off",
    http2: bool = True,
    body_timeout: int = 60,
    more: str = "",
    setting: str = "",
) -> Iterator[Nginx]:
    """Run nginx before a port of this machine, or several, with HTTP/2 or with HTTP/1.1 alone; it is killed at the end.

    `more` are settings for all of HTTP; `setting` takes the place of a setting of the server.
    """
    program, openssl = require("nginx"), require("openssl")
    folder.mkdir()
    _make_certificate(openssl, folder)
    server = Nginx(free_port(), folder)
    one = "server 127.0.0.1:8080;"
    upstream = f"server 127.0.0.1:{target};" if isinstance(target, int) else " ".join(map(SEVERAL.format, target))
    changes = {
        one: upstream,
        "listen 443 ssl http2;": f"listen 127.0.0.1:{server.port} ssl{' http2' if http2 else ''};",
        "/etc/ssl/uploads.example.com.pem": str(server.certificate),
        "/etc/ssl/uploads.example.com.key": str(folder / "key.pem"),
        "proxy_request_buffering off;": f"proxy_request_buffering {buffering};",
        "client_body_timeout 60s;": f"client_body_timeout {body_timeout}s;",
    }
    text = example(changes)
    if setting:
        (old,) = [line for line in text.splitlines() if line.strip().startswith(f"{setting.rpartition(' ')[0]} ")]
        text = text.replace(old, f"    {setting}")
    (folder / "example.conf").write_text(text)
    temporary = " ".join(f"{name}_temp_path {name};" for name in TEMPORARY)
    (folder / "nginx.conf").write_text(MAIN.format(temporary=temporary, more=more))
    words = [program, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            poll(lambda: process.poll() is not None or (folder / "nginx.pid").exists())
            assert process.poll() is None, server.log
            yield server
        finally:
            process.kill()
