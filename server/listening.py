"""The sockets that the server listens at."""

import errno
import socket
import stat
from pathlib import Path

from server.config import Config

BACKLOG = 1024  # connections that wait until they are taken


def listen(config: Config, count: int = 1) -> list[socket.socket]:
    """Give so many listening sockets for one address; the kernel spreads connections over those of one port.

    Raises OSError, with a sentence for people, where another server listens already.
    """
    if config.unix_socket:
        return [_listen_at(Path(config.unix_socket))] * count
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    first = _listen_to((config.host, config.port), family, reuse_port=False)
    if count > 1:  # shared only once it is ours: it would have joined another server's
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    address = (config.host, first.getsockname()[1])
    return [first, *(_listen_to(address, family, reuse_port=True) for _ in range(count - 1))]


def _listen_to(address: tuple[str, int], family: int, *, reuse_port: bool) -> socket.socket:
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(f"port {address[1]} of {address[0]} is in use") from error


def _listen_at(path: Path) -> socket.socket:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        if not _is_dead(path):
            raise OSError(f"another server listens at {path}")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


def _is_dead(path: Path) -> bool:
    """Tell whether nobody listens at a socket any more."""
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.setblocking(False)  # it would wait where many others wait already
        try:
            visitor.connect(str(path))
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            pass
    return False


def where(config: Config, listener: socket.socket) -> str:
    """Give the URL of the uploads."""
    path = config.prefix or "/"
    if config.unix_socket:
        return f"unix:{config.unix_socket}{path}"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listener.getsockname()[1]}{path}"
