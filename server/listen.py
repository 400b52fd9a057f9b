"""Opens the sockets that the server listens on: TCP addresses, or one Unix socket.

`server/serve.py` calls `listen` for one process, `server/workers.py` for several. It reports a wrong address as a value
of the configuration, and a port in use as a plain sentence.
"""

import errno
import socket
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from onward.server.config import Config, ConfigError
from onward.server.option_kinds import EVERY_ADDRESS

BACKLOG = 1024  # connections that wait until they are accepted
TRIES = 10  # attempts to find a port that is free on several addresses
ANY: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - only where the operator asks for it
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})  # the machine has no such address, or no such family
Address = tuple[int, tuple[Any, ...]]  # a family, and an address with a port as that family writes it


def listen(config: Config, count: int = 1) -> list[list[socket.socket]]:
    """Return `count` lists of listening sockets, one list for each process, with one socket for every address.

    Raises ConfigError if there is no such address or path, and OSError, with a readable sentence, if another server
    listens     there already.
    """
    if config.unix_socket:
        return [[_listen_at(Path(config.unix_socket), config.socket_mode)]] * count
    hosts = _addresses(config)
    tries = TRIES if not config.port and sum(map(len, hosts.values())) > 1 else 1
    while True:
        tries -= 1
        try:
            return _listen_to_all(hosts, count)
        except OSError:
            if not tries:
                raise


def listen_for_ops(config: Config, count: int = 1) -> list[list[socket.socket]]:
    """Return what `listen` returns, for --ops-listen; nothing without it. Raises what `listen` raises."""
    if not config.ops_listen:
        return []
    host, _, port = config.ops_listen.rpartition(":")
    try:
        own = replace(config, host=(host.strip("[]"),), port=int(port), unix_socket="")
        return _listen_to_all(_addresses(own), count)
    except ConfigError as wrong:
        raise ConfigError("ops_listen", wrong.why) from None


def urls(config: Config, listeners: Sequence[socket.socket]) -> list[str]:
    """Return the URLs of the uploads, one for each host; `listeners` are those of one process."""
    path = config.prefix or "/"
    if config.unix_socket:
        return [f"unix:{config.unix_socket}{path}"]
    port = listeners[0].getsockname()[1]
    hosts = [host or ANY[listeners[-1].family] for host in config.host]
    return [f"http://{f'[{host}]' if ':' in host else host}:{port}{path}" for host in hosts]


def _addresses(config: Config) -> dict[str, list[Address]]:
    """Return the addresses of each host, without those that a wider address covers; raises ConfigError."""
    found: dict[str, list[Address]] = {}
    for host in config.host:
        if host in (EVERY_ADDRESS, ANY[socket.AF_INET6]):
            found[host] = [(family, (address, config.port)) for family, address in ANY.items()]
            continue
        try:
            infos = socket.getaddrinfo(host, config.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise ConfigError("host", f"{host!r} is not an address or a name of this machine") from None
        found[host] = [(family, address) for family, _, _, _, address in infos]
    taken: set[Address] = set()
    every = {family for each in found.values() for family, address in each if address[0] == ANY.get(family)}
    for host, addresses in found.items():
        wider = [each for each in addresses if each[0] not in every or each[1][0] == ANY[each[0]]]
        found[host] = [each for each in dict.fromkeys(wider) if each not in taken]
        taken.update(found[host])
    return found


def _listen_to_all(hosts: dict[str, list[Address]], count: int) -> list[list[socket.socket]]:
    """Listen on all addresses at one port; a host may lack some of its addresses, but not all of them."""
    opened: list[list[socket.socket]] = []
    with ExitStack() as undo:
        for host, addresses in hosts.items():
            absent: list[ConfigError] = []
            for family, (address, port, *rest) in addresses:
                at = (address, opened[0][0].getsockname()[1] if opened else port, *rest)
                try:
                    listeners = _listen_to(at, family, host, count)
                except ConfigError as wrong:
                    absent.append(wrong)
                    continue
                opened.append([undo.enter_context(listener) for listener in listeners])
            if absent and len(absent) == len(addresses):
                raise absent[0]
        undo.pop_all()
    return [list(each) for each in zip(*opened, strict=True)]


def _listen_to(address: tuple[Any, ...], family: int, host: str, count: int) -> list[socket.socket]:
    try:
        first = socket.create_server(address, family=family, backlog=BACKLOG)
    except PermissionError:
        why = f"{address[1]} can't be listened on without more rights; take one above 1023"
        raise ConfigError("port", why) from None
    except OSError as error:
        if error.errno in _ABSENT:
            raise ConfigError("host", f"{host!r} is not an address of this machine") from None
        why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be listened on: {error.strerror}"
        raise OSError(f"port {address[1]} of {host or address[0]} {why}") from error
    if count > 1:  # set after the bind: set before, it would share a port that another server has
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    address = (address[0], first.getsockname()[1], *address[2:])
    more = (socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=True) for _ in range(count - 1))
    return [first, *more]


def _listen_at(path: Path, mode: int) -> socket.socket:
    try:
        kind = path.stat().st_mode if path.exists() else None
        dead = kind is not None and stat.S_ISSOCK(kind) and _is_dead(path)
        if kind is None or dead:
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            path.chmod(mode)  # in time: no client can connect before listen() below
    except OSError as error:
        raise ConfigError("unix_socket", f"{str(path)!r} can't be made: {error.strerror or error}") from None
    if kind is not None and not dead:
        raise OSError(
            f"another server listens at {path}" if stat.S_ISSOCK(kind) else f"{path} exists, and is not a socket"
        )
    listener.listen(BACKLOG)
    return listener


def _is_dead(path: Path) -> bool:
    """Return whether no process listens on a Unix socket any more."""
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.setblocking(False)  # a full backlog would block it
        try:
            visitor.connect(str(path))
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            pass
    return False
