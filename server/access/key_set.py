"""The public keys of an identity provider: a JSON Web Key Set (RFC 7517), from a file or a URL.

It is read again periodically, and when a token names an unknown key: providers exchange their keys. If it can't be
read, the keys that are known stay.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
from yarl import URL

from onward.protocol.errors import InvalidToken, Unavailable
from onward.server.config import ConfigError
from onward.storage.running.threads import Threads

WITHIN = 5.0  # seconds for one attempt to read the keys
EVERY = 300.0  # seconds between two times that they are read without a reason
AT_MOST_EVERY = 60.0  # seconds; a token with an unknown key has the keys read again no more often than this
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two attempts, if one has failed
LARGEST = 2**18  # bytes of a set
MOST_KEYS = 100
LEAST_RSA_BITS = 2048
# The algorithm of a key, and the members that make it; all others, private ones too, are left out.
KINDS: Mapping[tuple[str, str | None], tuple[str, tuple[str, ...]]] = {
    ("RSA", None): ("RS256", ("n", "e")),
    ("EC", "P-256"): ("ES256", ("crv", "x", "y")),
    ("OKP", "Ed25519"): ("EdDSA", ("crv", "x")),
}
ALGORITHMS = frozenset(algorithm for algorithm, _ in KINDS.values())
Keys = dict[tuple[str, str | None], Any]  # by their algorithm, and the id of the key
log = logging.getLogger("onward")


class KeySet:
    """The keys of a provider; `source` is a path or a URL. `on_change` is called when they have become others."""

    def __init__(self, source: str, on_change: Callable[[], None] = lambda: None) -> None:
        self._url = URL(source) if source.startswith(("http://", "https://")) else None
        self._path = Path(source)
        self._shown = f"at {self._url.host}" if self._url else f"in {source}"  # a URL may have a password
        self._on_change = on_change
        self._keys: Keys = {}
        self._asked = -AT_MOST_EVERY  # the loop's time when an unknown key had the set read
        self._faulty = False
        self._reading: asyncio.Task[bool] | None = None
        self._running: asyncio.Task[None] | None = None
        self._threads = Threads(1, "keys")

    def start(self) -> None:
        """Begin to read the keys in the background. A file is read at once; raises ConfigError if it has no keys."""
        if self._url is None:
            try:
                self._take(self._read_file())
            except (OSError, ValueError) as error:
                raise ConfigError("auth_jwks", f"there are no keys {self._shown}: {_reason(error)}") from None
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop reading the keys."""
        tasks = {task for task in (self._running, self._reading) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown()

    async def find(self, algorithm: str, key_id: str | None) -> Any:
        """Return the key for a token; one that is unknown may have the set read again, and waits for that.

        Raises InvalidToken, and Unavailable while no set has ever been read.
        """
        key = self._pick(algorithm, key_id)
        if key is None and (self._reading is not None or self._may_ask()):
            await asyncio.shield(self._read())
            key = self._pick(algorithm, key_id)
        if key is not None:
            return key
        if not self._keys:
            raise Unavailable("The keys of the identity provider are not known yet.")
        raise InvalidToken("The token is signed with an unknown key.")

    def _pick(self, algorithm: str, key_id: str | None) -> Any:
        """Return a key by its id; without an id, the only one of its algorithm."""
        if key_id is not None:
            return self._keys.get((algorithm, key_id))
        fitting = [key for (of, _), key in self._keys.items() if of == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _may_ask(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._asked < AT_MOST_EVERY:
            return False
        self._asked = now
        return True

    async def _run(self) -> None:
        """Read the keys again and again."""
        if self._url is None:
            await asyncio.sleep(EVERY)
        pause = FIRST_PAUSE
        while True:
            if await asyncio.shield(self._read()):
                pause = FIRST_PAUSE
                await asyncio.sleep(EVERY)
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _read(self) -> asyncio.Task[bool]:
        """Return the attempt to read the keys that is under way, or begin one."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._try_to_read())
            self._reading.add_done_callback(self._have_read)
        return self._reading

    def _have_read(self, _: asyncio.Task[bool]) -> None:
        self._reading = None

    async def _try_to_read(self) -> bool:
        try:
            async with asyncio.timeout(WITHIN):
                text = await (self._fetch() if self._url else self._threads.call(self._read_file))
            self._take(text)
        except (OSError, ValueError, aiohttp.ClientError) as error:  # a TimeoutError is an OSError
            if not self._faulty:
                known = f"; the {len(self._keys)} known ones stay" if self._keys else ""
                why = f"{_reason(error)}{known}"
                log.warning("the keys of the identity provider %s can't be read: %s", self._shown, why)
            self._faulty = True
            return False
        if self._faulty:
            log.info("the keys of the identity provider %s can be read again", self._shown)
        self._faulty = False
        return True

    async def _fetch(self) -> bytes:
        assert self._url is not None  # noqa: S101
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "onward", "Accept": "application/json"}
            ) as session,
            session.get(self._url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"the reply has the status {response.status}")
            text = bytearray()
            async for block in response.content.iter_any():
                text += block
                if len(text) > LARGEST:
                    raise ValueError("the reply is too large")
            return bytes(text)

    def _read_file(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(LARGEST + 1)

    def _take(self, text: bytes) -> None:
        """Use the keys of a set from now on. Raises ValueError if there is none that can be used."""
        keys = read_keys(text)
        changed = keys.keys() != self._keys.keys() or any(keys[name] != self._keys[name] for name in keys)
        self._keys = keys
        if changed:
            self._on_change()


def read_keys(text: bytes) -> Keys:
    """Read the keys of a set that can verify tokens; others are left out. Raises ValueError if none is left."""
    try:
        told = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("it is not a JSON object") from None
    listed = told.get("keys")
    keys: Keys = {}
    for each in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if isinstance(each, dict) and (found := _read_key(each)) is not None:
            algorithm, key = found
            kid = each.get("kid")
            keys[algorithm, kid if isinstance(kid, str) else None] = key
    if not keys:
        raise ValueError("it has no public key for RS256, ES256 or EdDSA")
    return keys


def _read_key(told: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Read one key with the algorithm that its kind has here, or return None if it verifies no tokens."""
    kind, curve = told.get("kty"), told.get("crv")
    found = KINDS.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str | None) else None
    operations = told.get("key_ops", ["verify"])
    is_for_signatures = told.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if found is None or not is_for_signatures:
        return None
    algorithm, members = found
    if told.get("alg", algorithm) not in (algorithm, curve):  # RFC 9864 names EdDSA after its curve
        return None
    with suppress(jwt.PyJWTError, ValueError, TypeError):
        key = jwt.PyJWK.from_dict({"kty": kind, **{name: told.get(name) for name in members}}, algorithm).key
        if getattr(key, "key_size", LEAST_RSA_BITS) >= LEAST_RSA_BITS or kind != "RSA":
            return algorithm, key
    return None


def _reason(error: Exception) -> str:
    """Say what is wrong, without a URL that may hold a password."""
    if isinstance(error, TimeoutError):
        return f"no reply within {WITHIN:g} s"
    if isinstance(error, aiohttp.ClientError):
        return type(error).__name__
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
