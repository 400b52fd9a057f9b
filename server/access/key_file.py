"""The server's own key: 32 random bytes, as one line of base64url in a file that only its user may read.

The first server that starts, or the first `onward grant`, makes the file; all others with the same folder find it.
"""

import logging
import os
import secrets
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

from onward.protocol.tokens import decode_base64url
from onward.server.config import Config, ConfigError

FILE = "auth.key"  # in the data folder, if no other file is configured
SIZE = 32  # bytes of a key
LARGEST = 4096  # bytes of a file that may be one
FIELD = "auth_key_file"
log = logging.getLogger("onward")


def path_of(config: Config) -> Path:
    """Return where the key is."""
    return Path(config.auth_key_file or Path(config.data, FILE))


def read_or_make(path: Path) -> bytes:
    """Return the key in a file; makes the file if there is none. Raises ConfigError."""
    try:
        if not path.exists():
            _make(path)
        return read(path)
    except OSError as error:
        raise ConfigError(FIELD, f"{str(path)!r} can't be used: {error.strerror}") from None


def read(path: Path) -> bytes:
    """Return the key in a file. Raises ConfigError, which shows nothing of the key, and OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status, text = os.fstat(descriptor), file.read(LARGEST + 1) if _is_regular(descriptor) else b""
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(FIELD, f"{str(path)!r} can be changed by other users: chmod 600 it")
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        log.warning("other users can read the key %s, and can make tokens with it: chmod 600 it", path)
    try:
        key = decode_base64url(text.strip().rstrip(b"=").decode("ascii")) if len(text) <= LARGEST else b""
    except ValueError:  # also of binascii, and of what is not ASCII
        key = b""
    if len(key) < SIZE:
        raise ConfigError(FIELD, f"{str(path)!r} has no key: one line of base64url, of {SIZE} bytes or more")
    return key


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _make(path: Path) -> None:
    """Make a key, durable and as a whole; of several processes that try, one succeeds. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(urlsafe_b64encode(secrets.token_bytes(SIZE)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.link(unfinished, path)
        log.info("made the key %s, which signs tokens", path)
    except FileExistsError:  # another process was quicker
        pass
    finally:
        unfinished.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
