"""The sockets that the server listens at."""

import socket
import stat
from pathlib import Path

from server.config import Config

BACKLOG = 1024  # connections that wait until they are taken


def listen(config: Config, count: int = 1) -> list[socket.socket]:
    """Give so many listening sockets for one address; the kernel spreads connections over those of one port."""
    if config.unix_socket:
        return [_listen_at(Path(config.unix_socket))] * count
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sockets: list[socket.socket] = []
    for _ in range(count):
        port = sockets[0].getsockname()[1] if sockets else config.port
        sockets.append(socket.create_server((config.host, port), family=family, backlog=BACKLOG, reuse_port=count > 1))
    return sockets


def _listen_at(path: Path) -> socket.socket:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # a server that has died left it behind
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


def where(config: Config, listener: socket.socket) -> str:
    """Give the URL of the uploads."""
    path = config.prefix or "/"
    if config.unix_socket:
        return f"unix:{config.unix_socket}{path}"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listener.getsockname()[1]}{path}"
